/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The last step of a packet on this node: to a workload, or to the host's stack. */
#ifndef NETLOOM_DELIVER_H
#define NETLOOM_DELIVER_H

#include "lib/endpoint.h"
#include "lib/report.h"

static __always_inline int rewrite_macs(struct __sk_buff *skb, struct flow *flow, const __u8 *destination,
					const __u8 *source)
{
	struct eth_header *eth = header_at(skb, 0, sizeof(*eth));

	if (!eth)
		return drop(flow, DROP_WRITE_ERROR);
	mac_copy(eth->destination, destination);
	mac_copy(eth->source, source);
	return 0;
}

/* Address the frame to a workload, as if the host side of its own interface had sent it. */
static __always_inline int address_to_endpoint(struct __sk_buff *skb, struct flow *flow,
					       const struct endpoint_info *endpoint)
{
	int rc = rewrite_macs(skb, flow, endpoint->mac, endpoint->node_mac);

	if (rc)
		return rc;
	flow->destination_identity = endpoint->identity;
	flow->endpoint_id = endpoint->id;
	flow->observation = OBSERVE_TO_ENDPOINT;
	return 0;
}

/* From an ingress hook: straight into the workload's namespace, past the host's stack, and past queues unless one limits. */
static __always_inline int deliver_from_ingress(struct __sk_buff *skb, struct flow *flow,
						const struct endpoint_info *endpoint)
{
	int rc = address_to_endpoint(skb, flow, endpoint);

	if (rc)
		return rc;
	if (unlikely(endpoint->flags & ENDPOINT_FLAG_SHAPED))
		return bpf_redirect(endpoint->ifindex, 0);
	/*
	 * The device the frame came by has compared its address already, and may have marked it as somebody
	 * else's. Kernels that do not scrub what is redirected would have the workload's stack drop it.
	 */
	if (skb->pkt_type != PACKET_HOST)
		bpf_skb_change_type(skb, PACKET_HOST);
	return bpf_redirect_peer(endpoint->ifindex, 0);
}

/* From an egress hook, where the kernel offers no way past the queue. */
static __always_inline int deliver_from_egress(struct __sk_buff *skb, struct flow *flow,
					       const struct endpoint_info *endpoint)
{
	int rc = address_to_endpoint(skb, flow, endpoint);

	return rc ? rc : (int)bpf_redirect(endpoint->ifindex, 0);
}

/* Out of the device the frame came by, as an answer from it to its workload. */
static __always_inline int send_back(struct __sk_buff *skb, struct flow *flow, const struct device_info *device)
{
	int rc = rewrite_macs(skb, flow, device->mac, device->node_mac);

	if (rc)
		return rc;
	flow->observation = OBSERVE_TO_ENDPOINT;
	return bpf_redirect(skb->ifindex, 0);
}

/* Into the host's stack as received by loom_host, so that reverse-path filtering agrees with the routes. */
static __always_inline int deliver_to_host(struct __sk_buff *skb, struct flow *flow, const struct node_config *node,
					   __u8 observation)
{
	int rc = rewrite_macs(skb, flow, node->host_mac, node->host_mac);

	if (rc)
		return rc;
	flow->observation = observation;
	return bpf_redirect(node->host_ifindex, BPF_F_INGRESS);
}

#endif
