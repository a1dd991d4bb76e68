/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Bounded access to the bytes of a packet. */
#ifndef NETLOOM_ACCESS_H
#define NETLOOM_ACCESS_H

#include "lib/common.h"

/*
 * The two ends of a packet's linear part. Written in C, the compiler takes these 32-bit fields for
 * numbers and widens them by shifts, which the verifier does not allow on what to it are pointers.
 */
static __always_inline void *data_of(struct __sk_buff *skb)
{
	void *data;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		     : "=r"(data)
		     : "r"(skb), "i"(__builtin_offsetof(struct __sk_buff, data)));
	return data;
}

static __always_inline void *data_end_of(struct __sk_buff *skb)
{
	void *data_end;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		     : "=r"(data_end)
		     : "r"(skb), "i"(__builtin_offsetof(struct __sk_buff, data_end)));
	return data_end;
}

/*
 * Pointer to `bytes` bytes at a constant `offset`, or NULL when the packet is shorter. Headers may lie
 * outside of the linear part, as in packets a workload splices: they are pulled into it, which ends
 * the validity of every pointer got before.
 */
static __always_inline void *header_at(struct __sk_buff *skb, __u32 offset, __u32 bytes)
{
	void *start = data_of(skb) + offset;

	if (likely(start + bytes <= data_end_of(skb)))
		return start;
	if (bpf_skb_pull_data(skb, offset + bytes))
		return NULL;
	start = data_of(skb) + offset;
	return start + bytes <= data_end_of(skb) ? start : NULL;
}

/* Copy a fixed number of bytes from any offset; false when the packet is shorter. Dearer than header_at(). */
static __always_inline bool copy_from(struct __sk_buff *skb, __u32 offset, void *to, __u32 bytes)
{
	return !bpf_skb_load_bytes(skb, offset, to, bytes);
}

/*
 * Copy the first `bytes` behind `offset`, but no more than `room`; returns how many, 0 when there is
 * nothing to read. The bounds are set in assembly, since the compiler proves them in ways the verifier cannot follow:
 * before Linux 6.8 it learns nothing about the least value from a comparison with 0 for equality.
 */
static __always_inline __u64 copy_up_to(struct __sk_buff *skb, __u32 offset, void *to, __u64 bytes, __u32 room)
{
	asm volatile("if %0 <= %1 goto +1\n\t%0 = %1" : "+r"(bytes) : "i"(room));
	if (!bytes)
		return 0;
	asm volatile("if %0 > 0 goto +1\n\t%0 = 1" : "+r"(bytes));
	return bpf_skb_load_bytes(skb, offset, to, bytes) ? 0 : bytes;
}

#endif
