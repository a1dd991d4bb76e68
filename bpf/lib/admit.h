/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whether a packet may go on: by its connection, and for what is new or has changed, by policies. */
#ifndef NETLOOM_ADMIT_H
#define NETLOOM_ADMIT_H

#include "lib/connection.h"
#include "lib/policy.h"
#include "lib/quoted.h"

/* Which ends of a packet are endpoints of this node, whose policies are to be asked here. */
#define LOCAL_SOURCE 1
#define LOCAL_DESTINATION 2

/* The two ends of a connection, turned so that `source` is whoever began it. */
struct ends {
	const struct addr *source_address;
	const struct addr *destination_address;
	__u32 source;
	__u32 destination;
	__u8 local;
};

/*
 * Turn a packet's ends. What comes from the host's stack as the world's may be the answer of a node, which only the
 * address told that it was sent to: then the entry knows better who it is.
 */
static __always_inline void turn(struct ends *ends, const struct tracked *tracked, const struct packet *packet,
				 const struct flow *flow, __u8 local)
{
	if (!tracked->is_reply) {
		ends->source_address = &packet->source;
		ends->destination_address = &packet->destination;
		ends->source = flow->source_identity;
		ends->destination = flow->destination_identity;
		ends->local = local;
		return;
	}
	ends->source_address = &packet->destination;
	ends->destination_address = &packet->source;
	ends->source = flow->destination_identity;
	ends->destination = flow->source_identity;
	if (tracked->entry && ends->destination == IDENTITY_WORLD)
		ends->destination = tracked->entry->destination_identity;
	ends->local = (local & LOCAL_SOURCE ? LOCAL_DESTINATION : 0) | (local & LOCAL_DESTINATION ? LOCAL_SOURCE : 0);
}

/* Ask the policies of one end; 0 when the packet may go on. */
static __always_inline int ask_end(struct __sk_buff *skb, struct flow *flow, const struct node_config *node,
				   const struct tracked *tracked, const struct ends *ends, __u8 direction)
{
	bool is_egress = direction == DIR_EGRESS;
	struct question question = {
		.subject = is_egress ? ends->source : ends->destination,
		.peer = is_egress ? ends->destination : ends->source,
		.peer_address = is_egress ? ends->destination_address : ends->source_address,
		.service = tracked->service,
		.protocol = tracked->protocol,
		.direction = direction,
	};
	__u8 packet_direction = flow->direction;
	int verdict;

	flow->direction = direction;
	verdict = ask(flow, &question);
	if (verdict < 0)
		return verdict;
	/* One that was judged before and is allowed still is no news. */
	if (!tracked->entry || verdict != POLICY_VERDICT_ALLOWED)
		tell(skb, flow, node, tracked->now_ns, verdict);
	flow->direction = packet_direction;
	return 0;
}

/* Cost: that of ask() for each end that is an endpoint of this node. */
static __always_inline int ask_ends(struct __sk_buff *skb, struct flow *flow, const struct node_config *node,
				    const struct tracked *tracked, const struct ends *ends)
{
	int rc;

	if (ends->local & LOCAL_SOURCE) {
		rc = ask_end(skb, flow, node, tracked, ends, DIR_EGRESS);
		if (rc)
			return rc;
	}
	return ends->local & LOCAL_DESTINATION ? ask_end(skb, flow, node, tracked, ends, DIR_INGRESS) : 0;
}

/* Whether an entry still answers for its connection: the same ends, and no policy has changed since. */
static __always_inline bool is_answered_for(const struct connection_info *entry, const struct ends *ends,
					    const struct node_config *node)
{
	if (entry->source_identity != ends->source || entry->destination_identity != ends->destination)
		return false;
	return entry->epoch == node->policy_epoch || node->policy_flags & POLICY_FLAG_KEEP_CONNECTIONS;
}

/* Ask again about a connection that was allowed. */
static __always_inline int renew(struct __sk_buff *skb, struct flow *flow, const struct node_config *node,
				 struct tracked *tracked, const struct ends *ends)
{
	struct connection_info *entry = tracked->entry;
	__u32 epoch = node->policy_epoch;
	int rc;

	tracked->service = entry->service;
	flow->service = entry->service;
	rc = ask_ends(skb, flow, node, tracked, ends);
	if (rc) {
		/* Nothing more passes by it, whichever way: the next packet is as good as the first. */
		entry->expires_ns = 0;
		return rc;
	}
	entry->source_identity = ends->source;
	entry->destination_identity = ends->destination;
	entry->epoch = epoch;
	return 0;
}

/* An ICMP error passes with the connection it is about. Cost: 1 LRU hash, for such errors alone. */
static __always_inline bool is_related(struct __sk_buff *skb, const struct packet *packet,
				       const struct node_config *node, struct tracked *tracked)
{
	const struct connection_info *entry;

	/* An error has no connection of its own, so its key is free. */
	if (!quoted_key(skb, packet, &tracked->key))
		return false;
	entry = connection_of(&tracked->key);
	if (!entry || tracked->now_ns >= entry->expires_ns)
		return false;
	return entry->epoch == node->policy_epoch || node->policy_flags & POLICY_FLAG_KEEP_CONNECTIONS;
}

/* What there is no connection for yet. */
static __always_inline int admit_new(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
				     const struct node_config *node, struct tracked *tracked, const struct l4 *l4,
				     const struct ends *ends)
{
	__u32 epoch = node->policy_epoch;
	int rc;

	if (l4->is_error && is_related(skb, packet, node, tracked)) {
		flow->tracking = TRACKING_RELATED;
		return 0;
	}
	rc = ask_ends(skb, flow, node, tracked, ends);
	if (rc || !tracked->is_kept)
		return rc;
	return begin(tracked, l4, flow, epoch, skb->len - flow->outer_bytes) ? 0 : drop(flow, DROP_CONNECTION_NOT_MADE);
}

/*
 * 0 when the packet may go on; its identities are known. `local` says which of its ends are endpoints of this node, at
 * least one. Cost: 1 LRU hash for a packet of a connection that is known.
 */
static __always_inline int admit(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
				 const struct node_config *node, __u8 local)
{
	struct tracked tracked = {};
	struct ends ends = {};
	struct l4 l4 = {};
	int rc = read_l4(skb, flow, packet, &l4);

	if (rc)
		return rc;
	track(&tracked, packet, &l4);
	turn(&ends, &tracked, packet, flow, local);
	flow->service = l4.service;
	if (unlikely(!tracked.entry)) {
		flow->tracking = TRACKING_NEW;
		return admit_new(skb, flow, packet, node, &tracked, &l4, &ends);
	}
	flow->tracking = tracked.is_reply ? TRACKING_REPLY : TRACKING_ESTABLISHED;
	if (unlikely(!is_answered_for(tracked.entry, &ends, node))) {
		rc = renew(skb, flow, node, &tracked, &ends);
		if (rc)
			return rc;
	}
	note_packet(&tracked, &l4, skb->len - flow->outer_bytes);
	return 0;
}

#endif
