/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The packet that an ICMP error is about, from the part of it that the error quotes. */
#ifndef NETLOOM_QUOTED_H
#define NETLOOM_QUOTED_H

#include "lib/connection.h"

struct quote {
	struct addr source;
	struct addr destination;
	struct l4 l4;		/* without flags: of TCP no more is quoted than the ports for sure */
};

/* Both addresses of a quote; the offset of its L4 header, or 0. Headers without extensions, as nearly all packets have them. */
static __always_inline __u32 read_quoted_ip(struct __sk_buff *skb, const struct packet *packet, struct quote *quote)
{
	__u32 offset = packet->l4_offset + sizeof(struct icmp_header);
	struct ipv4_header ip;

	if (packet->is_ipv6) {
		if (!copy_from(skb, offset + __builtin_offsetof(struct ipv6_header, next_header), &quote->l4.protocol,
			       sizeof(quote->l4.protocol)) ||
		    !copy_from(skb, offset + __builtin_offsetof(struct ipv6_header, source), &quote->source,
			       2 * sizeof(struct addr)))
			return 0;
		return offset + sizeof(struct ipv6_header);
	}
	if (!copy_from(skb, offset, &ip, sizeof(ip)) || ip.fragment & htons(IPV4_OFFSET_MASK))
		return 0;
	quote->l4.protocol = ip.protocol;
	addr_from_ipv4(&quote->source, ip.source);
	addr_from_ipv4(&quote->destination, ip.destination);
	return offset + (ip.version_words & 0x0f) * 4;
}

/* Read a quote; false when it does not tell its connection. */
static __always_inline bool read_quote(struct __sk_buff *skb, const struct packet *packet, struct quote *quote)
{
	struct icmp_header icmp;
	__be16 ports[2];
	__u32 offset;

	quote->l4 = (struct l4){ .role = ROLE_EITHER };
	offset = read_quoted_ip(skb, packet, quote);
	if (!offset)
		return false;
	if (quote->l4.protocol == packet->protocol) {
		if (!copy_from(skb, offset, &icmp, sizeof(icmp)))
			return false;
		read_icmp(packet, &icmp, &quote->l4);
		return quote->l4.role == ROLE_QUERY || quote->l4.role == ROLE_ANSWER;
	}
	if (has_ports(quote->l4.protocol)) {
		if (!copy_from(skb, offset, ports, sizeof(ports)))
			return false;
		quote->l4.source = ports[0];
		quote->l4.destination = ports[1];
	}
	return true;
}

#endif
