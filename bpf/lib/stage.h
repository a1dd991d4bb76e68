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
	/* The slots of the fast path have calls of their own: constant, they become plain jumps. */
	if (slot == SLOT_ENCAP) {
		calls.call(skb, SLOT_ENCAP);
		asm volatile("" : : "i"(SLOT_ENCAP));
	} else if (slot == SLOT_NATIVE) {
		calls.call(skb, SLOT_NATIVE);
		asm volatile("" : : "i"(SLOT_NATIVE));
	} else {
		calls.call(skb, slot);
	}
	return drop(flow, DROP_MISSED_TAIL_CALL);
}

/* Stands in skb->cb[0], which nobody else reads at this hook, while a packet is left by the first of two programs. */
#define LEFT_BY_FIRST 0x6e657874

/*
 * End a program at ingress of an underlay device with a packet that is none of its business: the fallback mode's looks
 * at it next, if there is one. The same function ends that one, which is the last, and must not call itself.
 */
static __always_inline int leave_to_next(struct __sk_buff *skb)
{
	if (skb->cb[0] != LEFT_BY_FIRST) {
		skb->cb[0] = LEFT_BY_FIRST;
		calls.call(skb, SLOT_NEXT_AT_UNDERLAY);
	}
	skb->cb[0] = 0;
	return TC_ACT_UNSPEC;
}

#endif
