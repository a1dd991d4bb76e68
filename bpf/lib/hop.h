/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a router does at every hop: size and TTL. */
#ifndef NETLOOM_HOP_H
#define NETLOOM_HOP_H

#include "lib/checksum.h"
#include "lib/packet.h"
#include "lib/node.h"

/* skb->gso_size of a packet whose segments are listed, not cut (linux/skbuff.h): SCTP. */
#define GSO_BY_FRAGS 0xffff

/* The L4 header that segmentation offload will repeat in every segment. */
static __always_inline __u32 repeated_l4_bytes(struct __sk_buff *skb, const struct packet *packet)
{
	__u8 data_offset;

	if (packet->protocol != PROTOCOL_TCP)
		return packet->protocol == PROTOCOL_UDP ? 8 : 0;
	if (!copy_from(skb, packet->l4_offset + 12, &data_offset, sizeof(data_offset)))
		return 0;
	return (data_offset >> 4) * 4;
}

/* Size of the greatest IP packet this buffer will be on the wire. */
static __always_inline __u32 wire_l3_bytes(struct __sk_buff *skb, const struct packet *packet)
{
	if (!skb->gso_size)
		return packet->l3_bytes;
	/* Their sizes stand in no field we may read; the workload's own MTU has bounded them. */
	if (skb->gso_size == GSO_BY_FRAGS)
		return 0;
	return packet->l4_offset - L3_OFFSET + repeated_l4_bytes(skb, packet) + skb->gso_size;
}

static __always_inline bool fits(struct __sk_buff *skb, const struct packet *packet, __u32 mtu_bytes)
{
	return wire_l3_bytes(skb, packet) <= mtu_bytes;
}

static __always_inline int decrement_ipv4_ttl(struct __sk_buff *skb, struct flow *flow)
{
	struct ipv4_header *ip = header_at(skb, L3_OFFSET, sizeof(*ip));
	__be16 before, after;

	if (!ip)
		return drop(flow, DROP_WRITE_ERROR);
	before = htons(ip->ttl << 8 | ip->protocol);
	ip->ttl -= 1;
	after = htons(ip->ttl << 8 | ip->protocol);
	ip->check = checksum_update(ip->check, before, after);
	return 0;
}

static __always_inline int decrement_hop_limit(struct __sk_buff *skb, struct flow *flow, const struct packet *packet)
{
	__u32 offset = L3_OFFSET + __builtin_offsetof(struct ipv6_header, hop_limit);
	__u8 hop_limit = packet->ttl - 1;

	/* No header checksum makes up for the change, so that of the whole packet, if a device left one, must. */
	if (bpf_skb_store_bytes(skb, offset, &hop_limit, sizeof(hop_limit), BPF_F_RECOMPUTE_CSUM))
		return drop(flow, DROP_WRITE_ERROR);
	return 0;
}

static __always_inline int decrement_ttl(struct __sk_buff *skb, struct flow *flow, const struct packet *packet)
{
	return packet->is_ipv6 ? decrement_hop_limit(skb, flow, packet) : decrement_ipv4_ttl(skb, flow);
}

/* Refuse a packet for its size, of which the way takes no more than `mtu_bytes`. */
static __always_inline int drop_too_big(struct flow *flow, __u32 mtu_bytes)
{
	flow->mtu_bytes = mtu_bytes;
	return drop_with_icmp_error(flow, drop(flow, DROP_TOO_BIG));
}

/*
 * Be the one router between a workload and its peer, wherever that is: the hop is always taken where
 * the packet is sent, so that what goes wrong can be told to the workload next door.
 */
static __always_inline int take_hop(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
				    __u32 mtu_bytes)
{
	if (packet->ttl <= 1)
		return drop_with_icmp_error(flow, drop(flow, DROP_TTL_EXCEEDED));
	if (!fits(skb, packet, mtu_bytes))
		return drop_too_big(flow, mtu_bytes);
	return decrement_ttl(skb, flow, packet);
}

#endif
