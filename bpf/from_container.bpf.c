// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* tc ingress of an endpoint's lxc device: everything the workload sends. */
#include "lib/forward.h"
#include "lib/police.h"
#include "lib/report.h"
#include "lib/sender.h"

/* An IP packet: is it what this workload may send, and where does it go? */
static __always_inline int handle_ip(struct __sk_buff *skb, struct flow *flow, const struct device_info *device,
				     const struct node_config *node)
{
	struct packet *packet = packet_room();
	int rc;
	__u8 nd;

	if (!packet)
		return drop(flow, DROP_NOT_READY);
	rc = parse_packet(skb, flow, packet);
	if (rc)
		return rc;
	nd = nd_type(skb, packet);
	if (nd == ND_SOLICITATION)
		return next_stage(SLOT_NEIGHBOR);
	if (nd)
		return drop(flow, DROP_FORBIDDEN_ICMP6);
	rc = check_sender(skb, flow, packet, device, node);
	if (rc)
		return rc;
	if (unlikely(device->flags & DEVICE_FLAG_POLICED)) {
		rc = police(skb, flow, packet);
		if (rc)
			return rc;
	}
#ifdef CUSTOM_FROM_CONTAINER
	/* A plugin has claimed this slot; its program goes on at SLOT_FORWARD, or drops. */
	return next_stage(SLOT_CUSTOM_FROM_CONTAINER);
#else
	return forward_packet(skb, flow, packet, node);
#endif
}

static __always_inline int handle_frame(struct __sk_buff *skb, struct flow *flow)
{
	const struct node_config *node = this_node();
	const struct device_info *device = device_of(skb);
	int rc;

	if (!node_is_ready(node) || !device)
		return drop(flow, DROP_NOT_READY);
	flow->source_identity = device->identity;
	flow->endpoint_id = device->id;
	trace(skb, flow, OBSERVE_FROM_ENDPOINT);
	rc = check_source_mac(skb, flow, device);
	if (rc)
		return rc;
	if (ethertype_of(skb) == ETHERTYPE_ARP && !skb->vlan_present)
		return next_stage(SLOT_NEIGHBOR);
	return handle_ip(skb, flow, device, node);
}

int from_container(struct __sk_buff *skb)
{
	struct flow flow = { .direction = DIR_EGRESS };

	return finish(skb, &flow, handle_frame(skb, &flow));
}
