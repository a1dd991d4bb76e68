/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whether a packet may go on: by its connection, and for what is new or has changed, by policies. */
#ifndef NETLOOM_ADMIT_H
#define NETLOOM_ADMIT_H

#include "lib/connection.h"
#include "lib/policy.h"
#include "lib/proxy.h"
#include "lib/quoted.h"
#include "lib/remote.h"

/* Which ends of a packet are endpoints of this node, whose policies are to be asked here. */
#define LOCAL_SOURCE 1
#define LOCAL_DESTINATION 2

/* What is found out about a packet; stands in the scratch, beside the packet. */
struct admission {
	struct connection_key key;
	struct connection_info fresh;	/* an entry that is to be made */
	struct quote quote;
	__u64 now_ns;		/* in ticks: much cheaper than to the nanosecond, and as good for lifetimes */
	union identities identities;
	struct l4 l4;
	__u16 receiver_id;	/* of an endpoint of this node */
	__u8 local;
	__u8 is_from_high;	/* sent by the higher end of the key */
	__u8 is_known;		/* there is a connection */
	__u8 is_reply;		/* and this packet is sent by the end that did not begin it */
	__u16 known_flags;	/* of that connection */
	__u8 proxy_need;	/* of the end that needs it most */
};
_Static_assert(sizeof(struct admission) <= sizeof(((struct scratch *)0)->admission), "room for an admission");

static __always_inline struct admission *admission_beside(const struct packet *packet)
{
	return (struct admission *)((struct scratch *)packet)->admission;
}

/* Find a packet's connection; NULL when there is none that is alive. Cost: 1 LRU hash. */
static __always_inline struct connection_info *track(struct admission *admission, const struct packet *packet)
{
	const struct l4 *l4 = &admission->l4;
	struct connection_info *entry;
	__u8 is_reply;

	admission->now_ns = bpf_ktime_get_coarse_ns();
	admission->is_known = false;
	admission->is_reply = false;
	admission->is_from_high = name_connection(&admission->key, &packet->source, &packet->destination, l4);
	forget();
	if (l4->role == ROLE_NONE || l4->role == ROLE_ERROR)
		return NULL;
	entry = connection_of(&admission->key);
	if (!entry || admission->now_ns >= entry->expires_ns)
		return NULL;
	is_reply = is_other_way(entry, admission->is_from_high);
	if (begins_anew(entry, l4, is_reply) || is_out_of_turn(l4, is_reply))
		return NULL;
	admission->is_known = true;
	admission->is_reply = is_reply;
	admission->known_flags = entry->flags;
	return entry;
}

/*
 * Who an end is, of which a reply tells `seen` and the connection's entry `known`. What the host's stack hands over is
 * the world's, whoever sent it, while an address that is sent to tells a node: so of these two the entry's holds.
 * And an identity that was proven when the connection began is not lost while the tables have not heard of it yet.
 */
static __always_inline __u32 settle(__u32 seen, __u32 known)
{
	bool is_by_stack = seen == IDENTITY_WORLD || seen == IDENTITY_REMOTE_NODE;

	if (is_by_stack && (known == IDENTITY_WORLD || known == IDENTITY_REMOTE_NODE))
		return known;
	return seen == IDENTITY_UNKNOWN ? known : seen;
}

/* Who is at the two ends, turned so that the source is whoever began. */
static __always_inline void identify(struct admission *admission, const struct flow *flow,
				     const struct connection_info *entry)
{
	union identities seen, known;

	if (!admission->is_reply) {
		admission->identities.source = flow->source_identity;
		admission->identities.destination = flow->destination_identity;
		return;
	}
	seen.source = flow->destination_identity;
	seen.destination = flow->source_identity;
	known.both = entry ? identities_of(entry) : seen.both;
	if (unlikely(known.both != seen.both)) {
		seen.source = settle(seen.source, known.source);
		seen.destination = settle(seen.destination, known.destination);
	}
	admission->identities.both = seen.both;
}

/* Whether policies are as they were when an entry was made, or changes do not concern it. */
static __always_inline bool is_current(const struct connection_info *entry, const struct node_config *node)
{
	return entry->epoch == node->policy_epoch || node->policy_flags & POLICY_FLAG_KEEP_CONNECTIONS;
}

/* Ask the policies of one end, which `flow` tells of meanwhile; 0 when the packet may go on. */
static __always_inline int ask_end(struct __sk_buff *skb, struct flow *flow, const struct node_config *node,
				   const struct question *question, struct admission *admission)
{
	__u8 need = PROXY_UNNEEDED;
	int verdict = ask(flow, question, &need);

	if (verdict < 0)
		return verdict;
	if (need > admission->proxy_need)
		admission->proxy_need = need;
	/* One that was judged before and is allowed still is no news. */
	if (!admission->is_known || (verdict != POLICY_VERDICT_ALLOWED && verdict != POLICY_VERDICT_REDIRECTED))
		tell(skb, flow, node, admission->now_ns, verdict);
	return 0;
}

/*
 * Ask for the ends of a packet that are endpoints of this node, the sending one first: in the direction of the
 * connection, which for a reply is not the packet's. Cost: for each 1 longest-prefix match, and that of ask().
 */
static __always_inline int ask_ends(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
				    const struct node_config *node, struct admission *admission)
{
	struct question question = { .service = flow->service, .protocol = admission->l4.protocol };
	__u16 endpoint_id = flow->endpoint_id;
	__u8 direction = flow->direction;
	int rc;

	admission->proxy_need = PROXY_UNNEEDED;
#pragma clang loop unroll(disable)
	for (__u32 end = LOCAL_SOURCE; end <= LOCAL_DESTINATION; end++) {
		bool is_sender = end == LOCAL_SOURCE;
		bool is_beginner = is_sender != admission->is_reply;
		const union identities *who = &admission->identities;

		if (!(admission->local & end))
			continue;
		question.subject = is_beginner ? who->source : who->destination;
		question.peer = is_beginner ? who->destination : who->source;
		question.cidr = cidr_of(is_sender ? &packet->destination : &packet->source);
		question.direction = is_beginner ? DIR_EGRESS : DIR_INGRESS;
		flow->direction = question.direction;
		if (!is_sender)
			flow->endpoint_id = admission->receiver_id;
		rc = ask_end(skb, flow, node, &question, admission);
		if (rc)
			return rc;
	}
	flow->direction = direction;
	flow->endpoint_id = endpoint_id;
	return 0;
}

/* Whose errors may be about other people's packets: a workload's are about its own. */
static __always_inline bool is_router(__u32 identity)
{
	return identity == IDENTITY_HOST || identity == IDENTITY_REMOTE_NODE || is_world(identity);
}

/*
 * An ICMP error passes with the connection it is about, to the end whose packet it quotes, from the other end or from
 * a router. Cost: 1 LRU hash, for such errors alone.
 */
static __always_inline bool is_related(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow,
				       const struct node_config *node, struct admission *admission)
{
	struct quote *quote = &admission->quote;
	const struct connection_info *entry;
	union identities known;
	__u8 is_reply;
	__u32 told;

	if (!read_quote(skb, packet, quote) || !addr_equal(&quote->source, &packet->destination))
		return false;
	if (!addr_equal(&quote->destination, &packet->source) && !is_router(flow->source_identity))
		return false;
	/* An error has no connection of its own, so its key is free. */
	admission->is_from_high = name_connection(&admission->key, &quote->source, &quote->destination, &quote->l4);
	forget();
	entry = connection_of(&admission->key);
	if (!entry || admission->now_ns >= entry->expires_ns || !is_current(entry, node))
		return false;
	is_reply = is_other_way(entry, admission->is_from_high);
	known.both = identities_of(entry);
	told = is_reply ? known.destination : known.source;
	return !is_out_of_turn(&quote->l4, is_reply) && settle(flow->destination_identity, told) == told;
}

/*
 * Note what was found about a connection that there is: `rc` is 0, or why its packet is refused. Gives its entry
 * again: entries change hands when the kernel needs room, and asking took a while, so that the one from before may be
 * another connection's by now. Cost: 1 LRU hash.
 */
static __always_inline struct connection_info *renew(const struct admission *admission, __u32 epoch, int rc)
{
	struct connection_info *entry = connection_of(&admission->key);

	if (!entry)
		return NULL;
	/* A refused one is not forgotten: else the next packet of the other end could pass for the beginning of its own. */
	if (rc)
		entry->flags |= CONNECTION_FLAG_REFUSED;
	else
		note_judged(entry, admission->identities, epoch);
	return entry;
}

/*
 * Remember a connection by its first packet; fails when the kernel has no room. `kind`: flags besides those that the
 * packet tells. Cost: 1 LRU hash.
 */
static __always_inline int begin(struct flow *flow, struct admission *admission, __u32 epoch, __u64 bytes, __u16 kind)
{
	__u16 flags = first_flags(&admission->l4, admission->is_from_high) | kind;
	int rc;

	admission->fresh = (struct connection_info){
		.expires_ns = admission->now_ns + lifetime_of(admission->l4.protocol, flags),
		.sent_packets = 1,
		.sent_bytes = bytes,
		.source_identity = admission->identities.source,
		.destination_identity = admission->identities.destination,
		.epoch = epoch,
		.service = admission->l4.service,
		.flags = flags,
	};
	if (admission->l4.protocol == PROTOCOL_TCP) {
		rc = connections_tcp.update(&admission->key, &admission->fresh);
		/* A call of its own, as in connection_of(). */
		asm volatile("" : "+r"(rc));
	} else {
		rc = connections_any.update(&admission->key, &admission->fresh);
	}
	return rc ? drop(flow, DROP_CONNECTION_NOT_MADE) : 0;
}

/* Whether a connection that begins is the proxy's; whoever only watches is not waited for. */
static __always_inline bool goes_to_proxy(const struct packet *packet, const struct admission *admission)
{
	if (likely(admission->proxy_need == PROXY_UNNEEDED))
		return false;
	return admission->proxy_need == PROXY_JUDGES || proxy_is_there(packet->is_ipv6);
}

/* Ask about what is new or has changed; leaves in `entry` what the packet is to be noted in, if anything. */
static __always_inline int admit_by_policy(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
					   const struct node_config *node, struct connection_info **entry)
{
	struct admission *admission = admission_beside(packet);
	__u32 epoch = node->policy_epoch;
	__u8 role = admission->l4.role;
	int rc;

	*entry = NULL;
	if (role == ROLE_ERROR && is_related(skb, packet, flow, node, admission)) {
		flow->tracking = TRACKING_RELATED;
		return 0;
	}
	if (admission->is_known && admission->known_flags & CONNECTION_FLAG_BY_PROXY) {
		*entry = renew(admission, epoch, 0);
		return 0;
	}
	rc = ask_ends(skb, flow, packet, node, admission);
	if (admission->is_known) {
		if (!rc && admission->proxy_need == PROXY_JUDGES && !(admission->known_flags & CONNECTION_FLAG_PROXIED))
			rc = drop(flow, DROP_PROXY_TOO_LATE);
		*entry = renew(admission, epoch, rc);
	} else if (!rc && (role == ROLE_EITHER || role == ROLE_QUERY)) {
		bool is_proxied = goes_to_proxy(packet, admission);

		rc = begin(flow, admission, epoch, skb->len - flow->outer_bytes, is_proxied ? CONNECTION_FLAG_PROXIED : 0);
		if (!rc && is_proxied)
			rc = next_stage(SLOT_PROXY);
	}
	return rc;
}

/*
 * 0 when the packet may go on; its identities are known, and it stands in the scratch. At least one of its ends is an
 * endpoint of this node: the sender, which `flow` names, where `local` says so, and a `receiver` that is not NULL.
 * Cost: 1 LRU hash for a packet of a connection that is known.
 */
static __always_inline int admit(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
				 const struct node_config *node, const struct endpoint_info *receiver, __u8 local)
{
	struct admission *admission = admission_beside(packet);
	struct connection_info *entry;
	int rc = read_l4(skb, flow, packet, &admission->l4);

	if (rc)
		return rc;
	entry = track(admission, packet);
	identify(admission, flow, entry);
	admission->local = receiver ? local | LOCAL_DESTINATION : local;
	admission->receiver_id = receiver ? receiver->id : 0;
	forget();
	flow->service = entry ? entry->service : admission->l4.service;
	flow->tracking = !admission->is_known ? TRACKING_NEW : admission->is_reply ? TRACKING_REPLY : TRACKING_ESTABLISHED;
	if (unlikely(!entry || identities_of(entry) != admission->identities.both || !is_current(entry, node))) {
		rc = admit_by_policy(skb, flow, packet, node, &entry);
		if (rc || !entry)
			return rc;
	}
	note_packet(entry, &admission->l4, admission->is_reply, admission->now_ns, skb->len - flow->outer_bytes);
	return unlikely(entry->flags & CONNECTION_FLAG_PROXIED) ? next_stage(SLOT_PROXY) : 0;
}

/*
 * A packet of the proxy's: it has judged what it sends. Who sends it stands in the entry of its connection, whose
 * packets from elsewhere come to the proxy; where there is none, whoever has the address. What the proxy asks in the
 * name of this node is a connection of its own, whose answers go to this node. Cost: 1 LRU hash.
 */
static __always_inline int admit_from_proxy(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
					    const struct node_config *node)
{
	struct admission *admission = admission_beside(packet);
	const struct endpoint_info *sender;
	const struct ipcache_info *known;
	struct connection_info *entry;
	int rc = read_l4(skb, flow, packet, &admission->l4);

	if (rc)
		return rc;
	entry = track(admission, packet);
	if (entry) {
		flow->source_identity = admission->is_reply ? entry->destination_identity : entry->source_identity;
		flow->destination_identity = admission->is_reply ? entry->source_identity : entry->destination_identity;
		/* Of a connection from the world no other packets may come by here. */
		entry->expires_ns = admission->now_ns + lifetime_of(PROTOCOL_TCP, entry->flags);
		return 0;
	}
	sender = endpoint_of(&packet->source);
	known = sender ? NULL : ipcache_of(&packet->source);
	flow->source_identity = sender ? sender->identity : known ? known->identity : IDENTITY_WORLD;
	if (!sender || !(sender->flags & ENDPOINT_FLAG_HOST))
		return 0;
	admission->identities.source = flow->source_identity;
	admission->identities.destination = flow->destination_identity;
	return begin(flow, admission, node->policy_epoch, 0, CONNECTION_FLAG_BY_PROXY);
}

#endif
