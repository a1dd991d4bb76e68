/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors of IPv4 (RFC 792, RFC 1191, RFC 1812). */
#ifndef NETLOOM_ICMP4_H
#define NETLOOM_ICMP4_H

#include "lib/icmp.h"

struct icmp4_error {
	struct ipv4_header ip;
	struct icmp_header icmp;
	__u8 quote[QUOTE_BYTES];
};

#define ICMP4_HEADERS_BYTES __builtin_offsetof(struct icmp4_error, quote)
#define TOS_INTERNETWORK_CONTROL 0xc0	/* RFC 1812, 4.3.2.5 */

/*
 * Everything but the quote and the checksums. A packet that may be fragmented is answered like one that
 * may not: fragments would cost every one of its successors, and stacks heed the answer all the same.
 */
static __always_inline void describe_icmp4_error(struct icmp4_error *error, const struct flow *flow,
						 const struct packet *packet, const struct node_config *node,
						 int reason)
{
	error->ip.version_words = 4 << 4 | sizeof(error->ip) / 4;
	error->ip.tos = TOS_INTERNETWORK_CONTROL;
	error->ip.fragment = htons(IPV4_DONT_FRAGMENT);
	error->ip.ttl = ICMP_TTL;
	error->ip.protocol = PROTOCOL_ICMP;
	error->ip.source = node->gateway_ipv4.words[3];
	error->ip.destination = packet->source.words[3];
	if (reason == DROP_TOO_BIG) {
		error->icmp.type = ICMP_UNREACHABLE;
		error->icmp.code = ICMP_FRAGMENTATION_NEEDED;
		error->icmp.rest = htonl(flow->mtu_bytes);
	} else if (reason == DROP_NO_ROUTE) {
		error->icmp.type = ICMP_UNREACHABLE;
		error->icmp.code = ICMP_HOST_UNREACHABLE;
	} else {
		error->icmp.type = ICMP_TIME_EXCEEDED;
	}
}

static __always_inline int answer_by_icmp4(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
					   const struct node_config *node, int reason)
{
	struct icmp4_error error = {};
	__u32 quoted = quote_packet(skb, packet, error.quote);
	__u32 bytes = ICMP4_HEADERS_BYTES + quoted;

	if (!quoted || addr_is_unset(&node->gateway_ipv4))
		return reason;
	describe_icmp4_error(&error, flow, packet, node, reason);
	error.ip.total_bytes = htons(bytes);
	error.ip.check = checksum_fold(checksum_add(0, &error.ip, sizeof(error.ip)));
	/* What the quote does not fill is zero, and adds nothing. */
	error.icmp.check = checksum_fold(checksum_add(0, &error.icmp, sizeof(error.icmp) + QUOTE_BYTES));
	return replace_packet(skb, flow, &error, bytes);
}

#endif
