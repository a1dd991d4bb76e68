/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What of a packet's L4 header tells its connection, also for the fragments that do not show it. */
#ifndef NETLOOM_PORTS_H
#define NETLOOM_PORTS_H

#include "gen/maps.h"
#include "lib/packet.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

struct l4 {
	__be16 source;
	__be16 destination;
	__be16 service;		/* what policies know it by: destination port, or type of ICMP */
	__u8 protocol;
	__u8 tcp_flags;		/* 0 unless TCP */
	__u8 role;		/* enum role */
};

/* As much of a header as tells a connection. */
struct tcp_start {
	__be16 source;
	__be16 destination;
	__u8 numbers[9];	/* sequence, acknowledgement, length of the header */
	__u8 flags;
};

static __always_inline bool has_ports(__u8 protocol)
{
	return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP || protocol == PROTOCOL_SCTP;
}

/*
 * One cut packet. IPv6 tells them apart without a protocol (RFC 8200, 4.5), and it is right to: what a fragment header
 * names may be an extension header that stands in the first fragment alone.
 */
static __always_inline void name_fragments(struct fragment_key *key, const struct packet *packet)
{
	key->source = packet->source;
	key->destination = packet->destination;
	key->id = packet->fragment_id;
	key->protocol = packet->is_ipv6 ? 0 : packet->protocol;
}

/* Remember what the first fragment shows. Cost: 1 LRU hash. */
static __always_inline void remember_ports(const struct packet *packet, const struct l4 *l4)
{
	struct fragment_key key = {};
	struct fragment_info info = {
		.source_port = l4->source,
		.destination_port = l4->destination,
		.service = l4->service,
		.protocol = l4->protocol,
		/* What an error quotes stands in its first fragment alone. */
		.role = l4->role == ROLE_ERROR ? ROLE_NONE : l4->role,
	};

	name_fragments(&key, packet);
	fragments.update(&key, &info);
}

/*
 * A later fragment: policies say of it what they say of the first one, and no receiver makes a packet of it without
 * that. Out of order it is lost. Cost: 1 LRU hash.
 */
static __always_inline int recall_ports(struct flow *flow, const struct packet *packet, struct l4 *l4)
{
	struct fragment_key key = {};
	const struct fragment_info *info;

	name_fragments(&key, packet);
	info = fragments.lookup(&key);
	if (!info)
		return drop(flow, DROP_FRAGMENT_NOT_FOUND);
	l4->source = info->source_port;
	l4->destination = info->destination_port;
	l4->service = info->service;
	l4->protocol = info->protocol;
	l4->role = info->role;
	return 0;
}

/* What an ICMP answer answers; 0, which in neither family is a query, for everything else. */
static __always_inline __u8 query_of(const struct packet *packet, __u8 type)
{
	if (packet->is_ipv6)
		return type == ICMP6_ECHO_REPLY ? ICMP6_ECHO_REQUEST : 0;
	if (type == ICMP_ECHO_REPLY)
		return ICMP_ECHO_REQUEST;
	return type == ICMP_TIMESTAMP_REPLY ? ICMP_TIMESTAMP_REQUEST : 0;
}

static __always_inline __u8 role_of_icmp(const struct packet *packet, __u8 type)
{
	if (query_of(packet, type))
		return ROLE_ANSWER;
	if (packet->is_ipv6) {
		if (type == ICMP6_ECHO_REQUEST)
			return ROLE_QUERY;
		return type && type <= ICMP6_PARAMETER_PROBLEM ? ROLE_ERROR : ROLE_NONE;
	}
	if (type == ICMP_ECHO_REQUEST || type == ICMP_TIMESTAMP_REQUEST)
		return ROLE_QUERY;
	if (type == ICMP_UNREACHABLE || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER_PROBLEM)
		return ROLE_ERROR;
	return ROLE_NONE;
}

/*
 * A query's number stands for a port at the end that asks, and its type for one at the end that is asked: so a
 * connection is of one type alone.
 */
static __always_inline void read_icmp(const struct packet *packet, const struct icmp_header *icmp, struct l4 *l4)
{
	__be16 number = (__be16)icmp->rest;	/* the first half on the wire, whatever the byte order */

	l4->service = htons(icmp->type);
	l4->role = role_of_icmp(packet, icmp->type);
	if (l4->role == ROLE_QUERY) {
		l4->source = number;
		l4->destination = l4->service;
	} else if (l4->role == ROLE_ANSWER) {
		l4->source = htons(query_of(packet, icmp->type));
		l4->destination = number;
	}
}

/* Ports, and TCP's flags. */
static __always_inline bool read_ports(struct __sk_buff *skb, __u32 offset, struct l4 *l4)
{
	struct tcp_start start = {};

	if (l4->protocol == PROTOCOL_TCP ? !copy_from(skb, offset, &start, sizeof(start)) :
					   !copy_from(skb, offset, &start, 2 * sizeof(__be16)))
		return false;
	l4->source = start.source;
	l4->destination = start.destination;
	l4->service = start.destination;
	l4->tcp_flags = start.flags;
	return true;
}

/* Read what a packet shows of its L4 header. */
static __always_inline int read_header(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
				       struct l4 *l4)
{
	struct icmp_header icmp;

	if (packet->protocol == (packet->is_ipv6 ? PROTOCOL_ICMP6 : PROTOCOL_ICMP)) {
		if (!copy_from(skb, packet->l4_offset, &icmp, sizeof(icmp)))
			return drop(flow, DROP_INVALID_PACKET);
		read_icmp(packet, &icmp, l4);
		return 0;
	}
	l4->role = ROLE_EITHER;
	if (has_ports(packet->protocol) && !read_ports(skb, packet->l4_offset, l4))
		return drop(flow, DROP_INVALID_PACKET);
	return 0;
}

/* Read what tells a packet's connection. */
static __always_inline int read_l4(struct __sk_buff *skb, struct flow *flow, const struct packet *packet, struct l4 *l4)
{
	int rc;

	*l4 = (struct l4){ .protocol = packet->protocol };
	if (unlikely(packet->is_later_fragment)) {
		rc = recall_ports(flow, packet, l4);
	} else {
		rc = read_header(skb, flow, packet, l4);
		if (unlikely(packet->has_fragments) && !rc)
			remember_ports(packet, l4);
	}
	forget();
	return rc;
}

#endif
