/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Bounded access to the bytes of a frame that is no packet of the kernel's yet. */
#ifndef NETLOOM_XDP_H
#define NETLOOM_XDP_H

#include "lib/common.h"

/* Where reading goes on, and where the frame's first buffer ends: headers are never split over two. */
struct cursor {
	void *at;
	void *end;
};

/* In assembly for the reason that lib/access.h gives. */
static __always_inline struct cursor frame_of(struct xdp_md *xdp)
{
	struct cursor cursor;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		     : "=r"(cursor.at)
		     : "r"(xdp), "i"(__builtin_offsetof(struct xdp_md, data)));
	asm volatile("%0 = *(u32 *)(%1 + %2)"
		     : "=r"(cursor.end)
		     : "r"(xdp), "i"(__builtin_offsetof(struct xdp_md, data_end)));
	return cursor;
}

/* The next `bytes` bytes, or NULL when the frame ends before. */
static __always_inline const void *take(struct cursor *cursor, __u32 bytes)
{
	const void *start = cursor->at;

	if (unlikely(cursor->at + bytes > cursor->end))
		return NULL;
	cursor->at += bytes;
	return start;
}

#endif
