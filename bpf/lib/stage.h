/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From one stage of the pipeline to the next: tail calls, and the flow that goes with them. */
#ifndef NETLOOM_STAGE_H
#define NETLOOM_STAGE_H

#include "gen/maps.h"
#include "lib/flow.h"

/* Cost: 1 per-CPU array. Stages of one packet run on one CPU, and no other packet comes between them. */
static __always_inline struct flow *handed_flow(void)
{
	__u32 key = 0;

	return handoff.lookup(&key);
}

/* Start a later stage: take the flow that the stage before has left. */
static __always_inline int take_over(struct flow *flow)
{
	const struct flow *handed = handed_flow();

	if (!handed)
		return drop(flow, DROP_NOT_READY);
	*flow = *handed;
	return 0;
}

/* End a stage: leave the flow and go on at `slot`. Returns only when no program stands there. */
static __always_inline int enter_stage(struct __sk_buff *skb, struct flow *flow, __u32 slot)
{
	struct flow *handed = handed_flow();

	if (!handed)
		return drop(flow, DROP_NOT_READY);
	*handed = *flow;
	if (slot == SLOT_ENCAP) {
		/* The one slot of the fast path has a call of its own: constant, it becomes a plain jump. */
		calls.call(skb, SLOT_ENCAP);
		asm volatile("" : : "i"(SLOT_ENCAP));
	} else {
		calls.call(skb, slot);
	}
	return drop(flow, DROP_MISSED_TAIL_CALL);
}

#endif
