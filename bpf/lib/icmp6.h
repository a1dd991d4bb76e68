/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors of IPv6 (RFC 4443). */
#ifndef NETLOOM_ICMP6_H
#define NETLOOM_ICMP6_H

#include "lib/icmp.h"

struct icmp6_error {
	struct ipv6_header ip;
	struct icmp_header icmp;
	__u8 quote[QUOTE_BYTES];
};

#define ICMP6_SUMMED_BYTES (sizeof(struct icmp6_error) - __builtin_offsetof(struct icmp6_error, ip.source))

/* Everything but the quote, the length and the checksum. */
static __always_inline void describe_icmp6_error(struct icmp6_error *error, const struct flow *flow,
						 const struct packet *packet, const struct node_config *node,
						 int reason)
{
	error->ip.version_class_flow = htonl(6 << 28);
	error->ip.next_header = PROTOCOL_ICMP6;
	error->ip.hop_limit = ICMP_TTL;
	error->ip.source = node->gateway_ipv6;
	error->ip.destination = packet->source;
	if (reason == DROP_TOO_BIG) {
		error->icmp.type = ICMP6_PACKET_TOO_BIG;
		error->icmp.rest = htonl(flow->mtu_bytes);
	} else if (reason == DROP_NO_ROUTE) {
		error->icmp.type = ICMP6_UNREACHABLE; /* code 0: no route */
	} else {
		error->icmp.type = ICMP6_TIME_EXCEEDED;
	}
}

static __always_inline int answer_by_icmp6(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
					   const struct node_config *node, int reason)
{
	struct icmp6_error error = {};
	__u32 quoted = quote_packet(skb, packet, error.quote);
	__u32 payload_bytes = sizeof(error.icmp) + quoted;
	__u32 sum = htons(payload_bytes) + htons(PROTOCOL_ICMP6);

	if (!quoted || addr_is_unset(&node->gateway_ipv6))
		return reason;
	describe_icmp6_error(&error, flow, packet, node, reason);
	error.ip.payload_bytes = htons(payload_bytes);
	/* Both addresses of the pseudo header stand just before the message; the rest of the quote is zero. */
	error.icmp.check = checksum_fold(checksum_add(sum, &error.ip.source, ICMP6_SUMMED_BYTES));
	return replace_packet(skb, flow, &error, sizeof(error.ip) + payload_bytes);
}

#endif
