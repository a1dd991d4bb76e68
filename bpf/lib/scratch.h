/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Room of a program beside its stack.
 *
 * The stack is small; and the verifier knows each constant on it, and goes through what follows once for each
 * combination of them: one packet in IPv6, cut, with its connection known, and so on. Of what stands in a map it knows
 * nothing, so that all packets' ways become one.
 */
#ifndef NETLOOM_SCRATCH_H
#define NETLOOM_SCRATCH_H

#include "gen/maps.h"
#include "lib/common.h"

/* Cost: 1 per-CPU array. A program runs to its end on one CPU, and no other packet's comes between. */
static __always_inline struct scratch *scratch_room(void)
{
	__u32 key = 0;

	return scratch.lookup(&key);
}

/* What was written to the scratch is read from there again, instead of being known to the compiler. */
static __always_inline void forget(void)
{
	asm volatile("" : : : "memory");
}

#endif
