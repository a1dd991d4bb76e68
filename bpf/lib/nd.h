/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Answer a workload's neighbour solicitations (RFC 4861) with the host side of its own interface. */
#ifndef NETLOOM_ND_H
#define NETLOOM_ND_H

#include "lib/checksum.h"
#include "lib/deliver.h"
#include "lib/endpoint.h"

/* The answer, from IP on. */
struct nd_answer {
	struct ipv6_header ip;
	struct nd_header nd;
	struct nd_option_mac option;
};

#define ND_ANSWER_BYTES (sizeof(struct nd_answer) - sizeof(struct ipv6_header))

/* Is it a solicitation by this workload for somebody else's address? 0, or a drop reason. */
static __always_inline int check_solicitation(struct flow *flow, const struct device_info *device,
					      const struct packet *packet, const struct nd_header *nd)
{
	/* RFC 4861, 7.1.1; extension headers are legal there, but no stack sends any. */
	if (packet->ttl != ND_HOP_LIMIT || nd->icmp.code || packet->l4_offset != L3_OFFSET + sizeof(struct ipv6_header))
		return drop(flow, DROP_INVALID_PACKET);
	if (addr_is_multicast(&nd->target))
		return drop(flow, DROP_INVALID_PACKET);
	/* Duplicate address detection asks from `::`: no answer is the good one. */
	if (addr_is_unset(&packet->source) || addr_equal(&nd->target, &device->ipv6))
		return drop(flow, DROP_MULTICAST);
	if (addr_is_link_local(&packet->source))
		return 0;
	return check_source_address(flow, device, &packet->source);
}

/*
 * The advertisement that says: reach `target` by this device. It comes from a router: Linux forgets within half a
 * minute what it was told of a path (its MTU) by a gateway that does not say so.
 */
static __always_inline void make_advertisement(struct nd_answer *answer, const struct device_info *device,
					       const struct packet *packet, const struct addr *target)
{
	__u32 sum = htons(ND_ANSWER_BYTES) + htons(PROTOCOL_ICMP6);

	__builtin_memset(answer, 0, sizeof(*answer));
	answer->ip.version_class_flow = htonl(6 << 28);
	answer->ip.payload_bytes = htons(ND_ANSWER_BYTES);
	answer->ip.next_header = PROTOCOL_ICMP6;
	answer->ip.hop_limit = ND_HOP_LIMIT;
	answer->ip.source = *target;
	answer->ip.destination = packet->source;
	answer->nd.icmp.type = ND_ADVERTISEMENT;
	answer->nd.icmp.rest = htonl(ND_ROUTER | ND_SOLICITED | ND_OVERRIDE);
	answer->nd.target = *target;
	answer->option.type = ND_OPTION_TARGET_MAC;
	answer->option.length = 1;
	mac_copy(answer->option.mac, device->node_mac);
	/* Both addresses of the pseudo header stand just before the message. */
	sum = checksum_add(sum, &answer->ip.source, 2 * sizeof(struct addr) + ND_ANSWER_BYTES);
	answer->nd.icmp.check = checksum_fold(sum);
}

static __always_inline int answer_solicitation(struct __sk_buff *skb, struct flow *flow,
					       const struct device_info *device)
{
	struct packet *packet = packet_room();
	struct nd_answer answer;
	struct nd_header nd;
	int rc;

	if (!packet)
		return drop(flow, DROP_NOT_READY);
	rc = parse_packet(skb, flow, packet);
	if (rc)
		return rc;
	if (!copy_from(skb, packet->l4_offset, &nd, sizeof(nd)))
		return drop(flow, DROP_INVALID_PACKET);
	rc = check_solicitation(flow, device, packet, &nd);
	if (rc)
		return rc;
	make_advertisement(&answer, device, packet, &nd.target);
	if (bpf_skb_change_tail(skb, L3_OFFSET + sizeof(answer), 0) ||
	    bpf_skb_store_bytes(skb, L3_OFFSET, &answer, sizeof(answer), 0))
		return drop(flow, DROP_WRITE_ERROR);
	return send_back(skb, flow, device);
}

#endif
