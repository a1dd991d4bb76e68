/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Parsing: from bytes nobody vouches for to the few facts the data path decides on. */
#ifndef NETLOOM_PACKET_H
#define NETLOOM_PACKET_H

#include "gen/reasons.h"
#include "lib/access.h"
#include "lib/addr.h"
#include "lib/flow.h"
#include "lib/scratch.h"

#define L3_OFFSET sizeof(struct eth_header)

/* A fragment at 8 bytes can only be meant to overwrite the TCP flags of the first one (RFC 3128). */
#define OFFSET_OF_OVERWRITE 1

/* What the data path wants to know of an IP packet. */
struct packet {
	struct addr source;
	struct addr destination;
	__u32 l3_bytes;		/* IP header and what follows, as the header says */
	__u32 l4_offset;	/* from the start of the frame */
	__u32 fragment_id;	/* as it stands in the header; of whole packets it says nothing */
	__u8 protocol;		/* of L4: behind all IPv6 extension headers */
	__u8 ttl;
	bool is_ipv6;
	bool has_fragments;	/* one part of a packet that was cut */
	bool is_later_fragment;	/* carries no L4 header */
};

_Static_assert(sizeof(struct packet) <= sizeof(((struct scratch *)0)->packet), "room for a packet");

/* A packet that is to be read: NULL never, but the verifier wants to see the check. */
static __always_inline struct packet *packet_room(void)
{
	struct scratch *room = scratch_room();

	return room ? (struct packet *)room->packet : NULL;
}

/*
 * Room an L4 header needs. A first fragment cut within its ports would hide them from every check
 * there will ever be (RFC 1858); in a whole packet such a header is as useless.
 */
static __always_inline __u32 least_l4_bytes(__u8 protocol)
{
	switch (protocol) {
	case PROTOCOL_TCP:
		return 20;
	case PROTOCOL_SCTP:
		return 12;
	case PROTOCOL_UDP:
	case PROTOCOL_ICMP:
	case PROTOCOL_ICMP6:
		return 8;
	default:
		return 0;
	}
}

/* What stands in the length field, except that a segment-offloaded packet may be too long for it and says 0. */
static __always_inline __u32 true_l3_bytes(struct __sk_buff *skb, __u32 said, bool is_zero)
{
	return is_zero && skb->gso_size ? skb->len - L3_OFFSET : said;
}

/* Checks that both families share, once everything is read. */
static __always_inline int check_packet(struct __sk_buff *skb, struct flow *flow, const struct packet *packet)
{
	__u32 l4_bytes = L3_OFFSET + packet->l3_bytes - packet->l4_offset;

	if (L3_OFFSET + packet->l3_bytes > skb->len || L3_OFFSET + packet->l3_bytes < packet->l4_offset)
		return drop(flow, DROP_INVALID_PACKET);
	if (!packet->is_later_fragment && l4_bytes < least_l4_bytes(packet->protocol))
		return drop(flow, DROP_INVALID_PACKET);
	return 0;
}

static __always_inline int parse_ipv4(struct __sk_buff *skb, struct flow *flow, struct packet *packet)
{
	const struct ipv4_header *ip = header_at(skb, L3_OFFSET, sizeof(*ip));
	__u32 header_bytes, offset;

	if (!ip)
		return drop(flow, DROP_INVALID_PACKET);
	header_bytes = (ip->version_words & 0x0f) * 4;
	if (ip->version_words >> 4 != 4 || header_bytes < sizeof(*ip))
		return drop(flow, DROP_INVALID_PACKET);
	offset = ntohs(ip->fragment) & IPV4_OFFSET_MASK;
	if (offset == OFFSET_OF_OVERWRITE)
		return drop(flow, DROP_INVALID_PACKET);
	packet->is_later_fragment = offset;
	packet->has_fragments = ip->fragment & htons(IPV4_OFFSET_MASK | IPV4_MORE_FRAGMENTS);
	packet->fragment_id = ip->id;
	packet->is_ipv6 = false;
	packet->l3_bytes = true_l3_bytes(skb, ntohs(ip->total_bytes), !ip->total_bytes);
	packet->l4_offset = L3_OFFSET + header_bytes;
	packet->protocol = ip->protocol;
	packet->ttl = ip->ttl;
	addr_from_ipv4(&packet->source, ip->source);
	addr_from_ipv4(&packet->destination, ip->destination);
	return check_packet(skb, flow, packet);
}

/*
 * Step over a fragment header; false when it, or the fragment, is none that can be carried. A fragment within a
 * fragment would show one header here and another one to its receiver.
 */
static __always_inline bool parse_ipv6_fragment(struct __sk_buff *skb, struct packet *packet)
{
	struct ipv6_fragment header;
	__u32 offset;

	if (packet->has_fragments || !copy_from(skb, packet->l4_offset, &header, sizeof(header)))
		return false;
	offset = ntohs(header.offset) >> 3;
	packet->is_later_fragment = offset;
	packet->has_fragments = header.offset & htons(IPV6_FRAGMENT_MASK);
	packet->fragment_id = header.id;
	packet->protocol = header.next_header;
	packet->l4_offset += sizeof(header);
	return offset != OFFSET_OF_OVERWRITE;
}

#define IPV6_EXTENSIONS_MAX 6

/* Walk behind the extension headers; a chain longer than the bound is refused, not guessed at. */
static __always_inline int skip_ipv6_extensions(struct __sk_buff *skb, struct flow *flow, struct packet *packet)
{
	struct ipv6_extension header;

/* Unrolled, this would be a third of every program, for packets that hardly ever come. */
#pragma clang loop unroll(disable)
	for (int depth = 0; depth <= IPV6_EXTENSIONS_MAX; depth++) {
		if (packet->is_later_fragment)
			return 0;
		switch (packet->protocol) {
		case PROTOCOL_FRAGMENT:
			if (!parse_ipv6_fragment(skb, packet))
				return drop(flow, DROP_INVALID_PACKET);
			continue;
		case PROTOCOL_HOP_BY_HOP:
		case PROTOCOL_ROUTING:
		case PROTOCOL_DESTINATION:
		case PROTOCOL_AUTHENTICATION:
			break;
		default:
			return 0;
		}
		if (!copy_from(skb, packet->l4_offset, &header, sizeof(header)))
			return drop(flow, DROP_INVALID_PACKET);
		if (packet->protocol == PROTOCOL_AUTHENTICATION)
			packet->l4_offset += (header.length + 2) * 4;
		else
			packet->l4_offset += (header.length + 1) * 8;
		packet->protocol = header.next_header;
	}
	return drop(flow, DROP_IPV6_EXTENSION);
}

static __always_inline int parse_ipv6(struct __sk_buff *skb, struct flow *flow, struct packet *packet)
{
	const struct ipv6_header *ip = header_at(skb, L3_OFFSET, sizeof(*ip));
	int rc;

	if (!ip || ntohl(ip->version_class_flow) >> 28 != 6)
		return drop(flow, DROP_INVALID_PACKET);
	packet->is_later_fragment = false;
	packet->has_fragments = false;
	packet->is_ipv6 = true;
	packet->l3_bytes = true_l3_bytes(skb, sizeof(*ip) + ntohs(ip->payload_bytes), !ip->payload_bytes);
	packet->l4_offset = L3_OFFSET + sizeof(*ip);
	packet->protocol = ip->next_header;
	packet->ttl = ip->hop_limit;
	packet->source = ip->source;
	packet->destination = ip->destination;
	/* On the wire v4-mapped addresses mean nothing (RFC 4942, 2.2), but in our maps they mean IPv4. */
	if (addr_is_ipv4(&packet->source) || addr_is_ipv4(&packet->destination))
		return drop(flow, DROP_INVALID_PACKET);
	rc = skip_ipv6_extensions(skb, flow, packet);
	return rc ? rc : check_packet(skb, flow, packet);
}

/* The ethertype in host order; 0 when the frame is cut short. */
static __always_inline __u16 ethertype_of(struct __sk_buff *skb)
{
	const struct eth_header *eth = header_at(skb, 0, sizeof(*eth));

	return eth ? ntohs(eth->ethertype) : 0;
}

/* Read both addresses of a frame and check nothing, for a look at what may be none of ours; false unless it is IP. */
static __always_inline bool glance(struct __sk_buff *skb, struct packet *packet)
{
	const struct ipv6_header *ip6;
	const struct ipv4_header *ip4;

	if (skb->protocol == htons(ETHERTYPE_IPV4)) {
		ip4 = header_at(skb, L3_OFFSET, sizeof(*ip4));
		if (!ip4)
			return false;
		addr_from_ipv4(&packet->source, ip4->source);
		addr_from_ipv4(&packet->destination, ip4->destination);
	} else if (skb->protocol == htons(ETHERTYPE_IPV6)) {
		ip6 = header_at(skb, L3_OFFSET, sizeof(*ip6));
		if (!ip6)
			return false;
		packet->source = ip6->source;
		packet->destination = ip6->destination;
	} else {
		return false;
	}
	forget();
	return true;
}

static __always_inline int parse_l3(struct __sk_buff *skb, struct flow *flow, struct packet *packet)
{
	__u16 ethertype = ethertype_of(skb);

	if (skb->vlan_present)
		return drop(flow, DROP_VLAN);
	switch (ethertype) {
	case ETHERTYPE_IPV4:
		return parse_ipv4(skb, flow, packet);
	case ETHERTYPE_IPV6:
		return parse_ipv6(skb, flow, packet);
	case ETHERTYPE_VLAN:
	case ETHERTYPE_QINQ:
		return drop(flow, DROP_VLAN);
	default:
		return drop(flow, ethertype < ETHERTYPE_MIN ? DROP_UNSUPPORTED_L2 : DROP_UNSUPPORTED_L3);
	}
}

/* Read an IP packet; 0, or a drop reason also for everything that is not IP. */
static __always_inline int parse_packet(struct __sk_buff *skb, struct flow *flow, struct packet *packet)
{
	int rc = parse_l3(skb, flow, packet);

	forget();
	return rc;
}

#endif
