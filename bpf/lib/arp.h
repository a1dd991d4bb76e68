/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Answer a workload's ARP requests (RFC 826) with the host side of its own interface. */
#ifndef NETLOOM_ARP_H
#define NETLOOM_ARP_H

#include "lib/deliver.h"
#include "lib/endpoint.h"

static __always_inline bool is_ipv4_over_ethernet(const struct arp_header *arp)
{
	return arp->hardware_type == htons(ARP_HARDWARE_ETHERNET) && arp->protocol_type == htons(ETHERTYPE_IPV4) &&
	       arp->hardware_bytes == MAC_BYTES && arp->protocol_bytes == sizeof(arp->sender);
}

/* Is it a request of this workload for somebody else's address? 0, or a drop reason. */
static __always_inline int check_arp_request(struct flow *flow, const struct device_info *device,
					     const struct arp_header *arp)
{
	struct addr sender, target;

	if (!is_ipv4_over_ethernet(arp))
		return drop(flow, DROP_INVALID_PACKET);
	if (!mac_equal(arp->sender_mac, device->mac))
		return drop(flow, DROP_INVALID_SOURCE_MAC);
	addr_from_ipv4(&sender, arp->sender);
	addr_from_ipv4(&target, arp->target);
	/* Announcements and probes for a double address (RFC 5227): on a link of two, nobody needs them. */
	if (arp->operation != htons(ARP_REQUEST) || !arp->sender || addr_equal(&target, &device->ipv4))
		return drop(flow, DROP_MULTICAST);
	return addr_equal(&sender, &device->ipv4) ? 0 : drop(flow, DROP_INVALID_SOURCE_IP);
}

/* Make the answer of the request, in its place. */
static __always_inline void turn_arp_request(const struct device_info *device, struct arp_header *arp)
{
	__be32 asked = arp->target;

	arp->operation = htons(ARP_REPLY);
	arp->target = arp->sender;
	arp->sender = asked;
	mac_copy(arp->target_mac, device->mac);
	mac_copy(arp->sender_mac, device->node_mac);
}

static __always_inline int answer_arp(struct __sk_buff *skb, struct flow *flow, const struct device_info *device)
{
	struct arp_header *arp = header_at(skb, L3_OFFSET, sizeof(*arp));
	int rc;

	if (!arp)
		return drop(flow, DROP_INVALID_PACKET);
	rc = check_arp_request(flow, device, arp);
	if (rc)
		return rc;
	turn_arp_request(device, arp);
	return send_back(skb, flow, device);
}

#endif
