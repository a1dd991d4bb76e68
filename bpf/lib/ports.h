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
#define TCP_FLAGS_OFFSET 13

struct l4 {
	__be16 source;
	__be16 destination;
	__be16 service;		/* what policies know it by: destination port, or type of ICMP */
	__u8 protocol;
	__u8 tcp_flags;		/* 0 unless TCP */
	bool is_kept;		/* whether what answers it can be told: not for most ICMP */
	bool is_error;		/* ICMP that quotes another packet */
};

static __always_inline bool has_ports(__u8 protocol)
{
	return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP || protocol == PROTOCOL_SCTP;
}

/* Remember what the first fragment shows. Cost: 1 LRU hash. */
static __always_inline void remember_ports(const struct packet *packet, const struct l4 *l4)
{
	struct fragment_key key = {
		.source = packet->source,
		.destination = packet->destination,
		.id = packet->fragment_id,
		.protocol = packet->protocol,
	};
	struct fragment_info info = {
		.source_port = l4->source,
		.destination_port = l4->destination,
		.service = l4->service,
		.is_kept = l4->is_kept,
	};

	fragments.update(&key, &info);
}

/* A later fragment, which goes where the first one goes; out of order it is lost. Cost: 1 LRU hash. */
static __always_inline int recall_ports(struct flow *flow, const struct packet *packet, struct l4 *l4)
{
	struct fragment_key key = {
		.source = packet->source,
		.destination = packet->destination,
		.id = packet->fragment_id,
		.protocol = packet->protocol,
	};
	const struct fragment_info *info = fragments.lookup(&key);

	if (!info)
		return drop(flow, DROP_FRAGMENT_NOT_FOUND);
	l4->source = info->source_port;
	l4->destination = info->destination_port;
	l4->service = info->service;
	l4->is_kept = info->is_kept;
	return 0;
}

/*
 * A query's number stands for a port at the end that asks. The other end has none, so that somebody who was asked
 * cannot ask back by the same number.
 */
static __always_inline void read_icmp(const struct packet *packet, const struct icmp_header *icmp, struct l4 *l4)
{
	__be16 number = (__be16)icmp->rest;	/* the first half on the wire, whatever the byte order */
	bool is_query = false, is_answer = false;

	if (packet->is_ipv6) {
		is_query = icmp->type == ICMP6_ECHO_REQUEST;
		is_answer = icmp->type == ICMP6_ECHO_REPLY;
		l4->is_error = icmp->type < ICMP6_FIRST_INFORMATIONAL;
	} else {
		is_query = icmp->type == ICMP_ECHO_REQUEST || icmp->type == ICMP_TIMESTAMP_REQUEST;
		is_answer = icmp->type == ICMP_ECHO_REPLY || icmp->type == ICMP_TIMESTAMP_REPLY;
		l4->is_error = icmp->type == ICMP_UNREACHABLE || icmp->type == ICMP_TIME_EXCEEDED ||
			       icmp->type == ICMP_PARAMETER_PROBLEM;
	}
	l4->source = is_query ? number : 0;
	l4->destination = is_answer ? number : 0;
	l4->service = htons(icmp->type);
	l4->is_kept = is_query || is_answer;
}

/* Read what a packet shows of its L4 header. */
static __always_inline int read_header(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
				       struct l4 *l4)
{
	__be16 ports[2];

	if (packet->protocol == (packet->is_ipv6 ? PROTOCOL_ICMP6 : PROTOCOL_ICMP)) {
		struct icmp_header icmp;

		if (!copy_from(skb, packet->l4_offset, &icmp, sizeof(icmp)))
			return drop(flow, DROP_INVALID_PACKET);
		read_icmp(packet, &icmp, l4);
		return 0;
	}
	l4->is_kept = true;
	if (!has_ports(packet->protocol))
		return 0;
	if (!copy_from(skb, packet->l4_offset, ports, sizeof(ports)))
		return drop(flow, DROP_INVALID_PACKET);
	l4->source = ports[0];
	l4->destination = ports[1];
	l4->service = ports[1];
	if (packet->protocol == PROTOCOL_TCP &&
	    !copy_from(skb, packet->l4_offset + TCP_FLAGS_OFFSET, &l4->tcp_flags, sizeof(l4->tcp_flags)))
		return drop(flow, DROP_INVALID_PACKET);
	return 0;
}

/* Read what tells a packet's connection; `l4` is zeroed. */
static __always_inline int read_l4(struct __sk_buff *skb, struct flow *flow, const struct packet *packet, struct l4 *l4)
{
	int rc;

	l4->protocol = packet->protocol;
	if (unlikely(packet->is_later_fragment))
		return recall_ports(flow, packet, l4);
	rc = read_header(skb, flow, packet, l4);
	if (unlikely(packet->has_fragments) && !rc)
		remember_ports(packet, l4);
	return rc;
}

#endif
