/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Endpoints of this node: by address when they receive, by device when they send. */
#ifndef NETLOOM_ENDPOINT_H
#define NETLOOM_ENDPOINT_H

#include "gen/maps.h"
#include "lib/packet.h"

/* Cost: 1 hash. */
static __always_inline const struct endpoint_info *endpoint_of(const struct addr *address)
{
	struct endpoint_key key = { .address = *address };

	return endpoints.lookup(&key);
}

/* Cost: 1 hash. */
static __always_inline const struct device_info *device_of(struct __sk_buff *skb)
{
	struct device_key key = { .ifindex = skb->ifindex };

	return devices.lookup(&key);
}

static __always_inline bool is_address_of(const struct device_info *device, const struct addr *address)
{
	return addr_equal(address, &device->ipv4) || addr_equal(address, &device->ipv6);
}

/* A workload sends from its own MAC address; the frame is known to hold an Ethernet header. */
static __always_inline int check_source_mac(struct __sk_buff *skb, struct flow *flow, const struct device_info *device)
{
	const struct eth_header *eth = header_at(skb, 0, sizeof(*eth));

	if (!eth)
		return drop(flow, DROP_INVALID_PACKET);
	return mac_equal(eth->source, device->mac) ? 0 : drop(flow, DROP_INVALID_SOURCE_MAC);
}

/* A workload sends from its own IP address. `::` is nobody's, though a device without IPv6 says so. */
static __always_inline int check_source_address(struct flow *flow, const struct device_info *device,
						const struct addr *source)
{
	if (addr_is_unset(source) || !is_address_of(device, source))
		return drop(flow, DROP_INVALID_SOURCE_IP);
	return 0;
}

#endif
