/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The packet that an ICMP error is about, from the part of it that the error quotes. */
#ifndef NETLOOM_QUOTED_H
#define NETLOOM_QUOTED_H

#include "lib/connection.h"

/* Where the L4 header is in a quote, and whose it is: headers without extensions, as nearly all packets have them. */
struct quoted_l4 {
	__u32 offset;
	__u8 protocol;
};

/* Both addresses of a quote, the source as the lower end of a key yet to be sorted. */
static __always_inline bool read_quoted_ip(struct __sk_buff *skb, const struct packet *packet,
					   struct connection_key *key, struct quoted_l4 *l4)
{
	__u32 offset = packet->l4_offset + sizeof(struct icmp_header);
	struct ipv4_header ip;

	if (packet->is_ipv6) {
		l4->offset = offset + sizeof(struct ipv6_header);
		return copy_from(skb, offset + __builtin_offsetof(struct ipv6_header, next_header), &l4->protocol,
				 sizeof(l4->protocol)) &&
		       copy_from(skb, offset + __builtin_offsetof(struct ipv6_header, source), &key->low,
				 2 * sizeof(struct addr));
	}
	if (!copy_from(skb, offset, &ip, sizeof(ip)) || ip.fragment & htons(IPV4_OFFSET_MASK))
		return false;
	l4->offset = offset + (ip.version_words & 0x0f) * 4;
	l4->protocol = ip.protocol;
	addr_from_ipv4(&key->low, ip.source);
	addr_from_ipv4(&key->high, ip.destination);
	return true;
}

/* The key of the connection an error is about; false when the quote does not tell, or was not sent by whom it is told. */
static __always_inline bool quoted_key(struct __sk_buff *skb, const struct packet *packet, struct connection_key *key)
{
	struct quoted_l4 quoted = {};
	struct l4 l4 = {};
	__be16 ports[2];

	if (!read_quoted_ip(skb, packet, key, &quoted) || !addr_equal(&key->low, &packet->destination))
		return false;
	if (quoted.protocol == packet->protocol) {
		struct icmp_header icmp;

		if (!copy_from(skb, quoted.offset, &icmp, sizeof(icmp)))
			return false;
		read_icmp(packet, &icmp, &l4);
		if (!l4.is_kept)
			return false;
	} else if (has_ports(quoted.protocol)) {
		if (!copy_from(skb, quoted.offset, ports, sizeof(ports)))
			return false;
		l4.source = ports[0];
		l4.destination = ports[1];
	}
	key->low_port = l4.source;
	key->high_port = l4.destination;
	key->protocol = quoted.protocol;
	sort_key(key);
	return true;
}

#endif
