/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What policies say of one end of a packet. */
#ifndef NETLOOM_POLICY_H
#define NETLOOM_POLICY_H

#include "lib/flow.h"
#include "gen/maps.h"
#include "lib/report.h"

#define POLICY_KEY_BITS 64
#define POLICY_ANY_PEER 0
#define POLICY_ENDPOINTS (1U << 31)	/* with the number of a prefix: endpoints and nodes inside it */
#define CIDR_BITS 128

/* One end's question. */
struct question {
	__u32 subject;		/* identity of an endpoint of this node */
	__u32 peer;		/* identity of the other end */
	__u32 cidr;		/* cidr_of() the other end */
	__be16 service;
	__u8 protocol;
	__u8 direction;		/* of the connection, as the subject sees it */
};

/* The map found in a map of maps: the compiler knows no method for it. */
static void *(*lookup_in)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;

/* Whether an identity is that of somebody who is neither endpoint nor node. */
static __always_inline bool is_world(__u32 identity)
{
	return identity == IDENTITY_WORLD || identity == IDENTITY_WORLD_IPV4 || identity == IDENTITY_WORLD_IPV6;
}

/* Number of the most specific prefix that policies name and that holds an address; 0: none. Cost: 1 longest-prefix match. */
static __always_inline __u32 cidr_of(const struct addr *address)
{
	struct cidr_key key = { .prefix = { .prefix_len = CIDR_BITS, .address = *address } };
	const struct cidr_info *info = cidrs.lookup(&key);

	return info ? info->number : 0;
}

/* Cost: 1 longest-prefix match. */
static __always_inline __u8 effects_for(void *table, const struct question *question, __u32 peer)
{
	struct policy_key key = {
		.prefix_bits = POLICY_KEY_BITS,
		.peer = peer,
		.direction = question->direction == DIR_EGRESS,
		.protocol = question->protocol,
		.port = question->service,
	};
	const struct policy_info *info = lookup_in(table, &key);

	return info ? info->effects : 0;
}

/* What all entries say that are about a packet. Cost: 2 longest-prefix matches, 3 where a prefix holds the peer. */
static __always_inline __u8 effects_of(void *table, const struct question *question)
{
	__u8 effects = effects_for(table, question, POLICY_ANY_PEER);
	__u32 cidr = question->cidr;

	if (question->peer != IDENTITY_UNKNOWN)
		effects |= effects_for(table, question, question->peer);
	if (cidr)
		effects |= effects_for(table, question, is_world(question->peer) ? cidr : cidr | POLICY_ENDPOINTS);
	return effects;
}

/* How much a connection needs the proxy. */
#define PROXY_UNNEEDED 0
#define PROXY_WATCHES 1		/* it is to tell of requests, where it is there */
#define PROXY_JUDGES 2		/* without it nothing passes */

#define EFFECTS_ALLOW (EFFECT_ALLOW | EFFECT_REDIRECT)

/* Of what passes with these effects; as needs_proxy() and goes_by_proxy() of netloom.policy.table. */
static __always_inline __u8 need_of(__u8 effects)
{
	if (effects & EFFECT_INSPECT || (effects & EFFECTS_ALLOW) == EFFECT_REDIRECT)
		return PROXY_JUDGES;
	return effects & EFFECT_WATCH ? PROXY_WATCHES : PROXY_UNNEEDED;
}

/* The verdict; the same function of the same two as in netloom.policy.table. 0 or more: `enum policy_verdict`. */
static __always_inline int judge(struct flow *flow, const struct question *question, __u8 effects, __u8 isolation)
{
	if (effects & EFFECT_DENY)
		return drop(flow, DROP_POLICY_DENY);
	if (isolation & ISOLATION_ENFORCED && !(effects & EFFECTS_ALLOW)) {
		if (question->peer == IDENTITY_UNKNOWN)
			return drop(flow, DROP_POLICY_UNKNOWN_PEER);
		return drop(flow, DROP_POLICY);
	}
	if (effects & EFFECT_AUDIT_DENY)
		return POLICY_VERDICT_AUDITED;
	if (isolation & ISOLATION_AUDITED && !(effects & (EFFECTS_ALLOW | EFFECT_AUDIT_ALLOW)))
		return POLICY_VERDICT_AUDITED_BY_DEFAULT;
	return need_of(effects) ? POLICY_VERDICT_REDIRECTED : POLICY_VERDICT_ALLOWED;
}

/* A verdict, or a drop reason. Cost: 1 hash, and where policies say something of the subject, 1 more and effects_of(). */
static __always_inline int ask(struct flow *flow, const struct question *question, __u8 *need)
{
	struct subject_key key = { .identity = question->subject };
	const struct subject_info *subject = subjects.lookup(&key);
	__u8 effects = 0;
	void *table;

	if (!subject)
		return drop(flow, DROP_NO_POLICY);
	if (subject->flags & SUBJECT_FLAG_CLOSED)
		return drop(flow, DROP_POLICY_INCOMPLETE);
	if (subject->flags & SUBJECT_FLAG_HAS_TABLE) {
		table = policies.lookup(&key);
		if (!table)
			return drop(flow, DROP_NO_POLICY);
		effects = effects_of(table, question);
	}
	*need = need_of(effects);
	return judge(flow, question, effects, question->direction == DIR_EGRESS ? subject->egress : subject->ingress);
}

/* Whether one more verdict that allows may be told while nobody listens. Cost: 1 per-CPU array. */
static __always_inline bool may_tell(__u64 now_ns)
{
	__u32 key = 0;
	struct verdict_budget *budget = verdict_budget.lookup(&key);

	if (!budget)
		return false;
	if (now_ns >= budget->second_ends_ns) {
		budget->second_ends_ns = now_ns + NS_PER_S;
		budget->told = 0;
	}
	budget->told += 1;
	return budget->told <= VERDICTS_PER_S;
}

/* Tell of a verdict that lets a packet pass. */
static __always_inline void tell(struct __sk_buff *skb, const struct flow *flow, const struct node_config *node,
				 __u64 now_ns, int verdict)
{
	if (verdict == POLICY_VERDICT_ALLOWED && !(node->trace & TRACE_FLAG_VERDICTS) && !may_tell(now_ns))
		count(skb, flow, DROP_VERDICT_UNTOLD);
	else
		emit(skb, flow, EVENT_TYPE_POLICY_VERDICT, verdict);
}

#endif
