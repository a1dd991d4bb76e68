/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Verdicts, and how a decision travels to the one place that acts on it. */
#ifndef NETLOOM_FLOW_H
#define NETLOOM_FLOW_H

#include "gen/layouts.h"
#include "gen/reasons.h"
#include "gen/slots.h"
#include "lib/common.h"

/*
 * Functions that decide about a packet return a verdict:
 *
 *	0		nothing is decided yet
 *	TC_ACT_REDIRECT	it goes on, by the helper that was called last
 *	next_stage(s)	it goes on in the program at that slot
 *	drop(...)	a drop reason, negative
 *
 * and finish() acts on it. Along with it they fill struct flow with what the report shall say.
 */
#define NEXT_STAGE 0x100
#define next_stage(slot) (NEXT_STAGE + (slot))

/* The only source of drop reasons, so that each event names the line that decided. */
#define drop(flow, reason) ((flow)->line = __LINE__, (int)(reason))

/* Drop, and let the workload know by ICMP why. */
static __always_inline int drop_with_icmp_error(struct flow *flow, int reason)
{
	flow->reason = -reason;
	return next_stage(SLOT_ICMP_ERROR);
}

#endif
