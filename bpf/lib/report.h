/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counters and events: the one way out of every program. */
#ifndef NETLOOM_REPORT_H
#define NETLOOM_REPORT_H

#include "gen/maps.h"
#include "lib/access.h"
#include "lib/flow.h"
#include "lib/node.h"
#include "lib/stage.h"

struct event {
	struct event_header header;
	__u8 packet[CAPTURE_BYTES];
};

/* Add the packet to a counter; `reason` is negative, or DROP_FORWARDED. Cost: 1 per-CPU array. */
static __always_inline void count(struct __sk_buff *skb, const struct flow *flow, int reason)
{
	__u32 key = -reason * METRICS_DIRECTIONS + flow->direction;
	struct counter *counter = metrics.lookup(&key);

	if (!counter)
		return;
	counter->packets += 1;
	counter->bytes += skb->len - flow->outer_bytes;
}

static __always_inline void emit(struct __sk_buff *skb, const struct flow *flow, __u8 type, __u8 code)
{
	struct event *event = events.ringbuf_reserve(sizeof(struct event));

	if (!event) {
		count(skb, flow, DROP_EVENT_LOST);
		return;
	}
	event->header.type = type;
	event->header.code = code;
	event->header.direction = flow->direction;
	event->header.source_identity = flow->source_identity;
	event->header.destination_identity = flow->destination_identity;
	event->header.endpoint_id = flow->endpoint_id;
	event->header.packet_bytes = skb->len - flow->outer_bytes;
	event->header.ifindex = skb->ifindex;
	event->header.hash = bpf_get_hash_recalc(skb);
	event->header.line = flow->line;
	event->header.service = flow->service;
	event->header.tracking = flow->tracking;
	event->header.captured_bytes = copy_up_to(skb, flow->outer_bytes, event->packet, event->header.packet_bytes, CAPTURE_BYTES);
	events.ringbuf_submit(event, 0);
}

/* Tell where a packet was seen: while nobody listens this costs one comparison. */
static __always_inline void trace(struct __sk_buff *skb, const struct flow *flow, __u8 observation)
{
	const struct node_config *node = this_node();

	if (unlikely(node && node->trace & TRACE_FLAG_PACKETS))
		emit(skb, flow, EVENT_TYPE_TRACE, observation);
}

/* Count and report a drop; `reason` is negative. */
static __always_inline void report_drop(struct __sk_buff *skb, const struct flow *flow, int reason)
{
	count(skb, flow, reason);
	emit(skb, flow, EVENT_TYPE_DROP, -reason);
}

/* A packet between two endpoints of this node leaves the one and enters the other: it counts in both directions. */
static __always_inline void report_forward(struct __sk_buff *skb, struct flow *flow)
{
	count(skb, flow, DROP_FORWARDED);
	if (flow->observation == OBSERVE_TO_ENDPOINT && flow->direction == DIR_EGRESS) {
		flow->direction = DIR_INGRESS; /* as seen from the endpoint that gets it */
		count(skb, flow, DROP_FORWARDED);
	}
	trace(skb, flow, flow->observation);
}

/*
 * End a program: act on its verdict, account for it, and return what tc knows. Whatever was not decided
 * is dropped: the stack behind this hook would route what nobody has checked.
 */
static __always_inline int finish(struct __sk_buff *skb, struct flow *flow, int verdict)
{
	if (verdict >= NEXT_STAGE)
		verdict = enter_stage(skb, flow, verdict - NEXT_STAGE);
	if (likely(verdict == TC_ACT_REDIRECT)) {
		report_forward(skb, flow);
		return TC_ACT_REDIRECT;
	}
	report_drop(skb, flow, verdict < 0 ? verdict : drop(flow, DROP_NO_VERDICT));
	return TC_ACT_SHOT;
}

#endif
