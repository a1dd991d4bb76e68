/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Decide where a workload's packet goes, its sender being proven. */
#ifndef NETLOOM_FORWARD_H
#define NETLOOM_FORWARD_H

#include "lib/deliver.h"
#include "lib/hop.h"
#include "lib/remote.h"

static __always_inline int forward_to_endpoint(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
					       const struct node_config *node, const struct endpoint_info *endpoint)
{
	int rc;

	flow->destination_identity = endpoint->identity;
	if (endpoint->flags & ENDPOINT_FLAG_HOST)
		return deliver_to_host(skb, flow, node, OBSERVE_TO_HOST);
	/* A workload reaches itself by its loopback: by wire, this is somebody's forged answer. */
	if (endpoint->ifindex == skb->ifindex)
		return drop(flow, DROP_INVALID_PACKET);
	rc = take_hop(skb, flow, packet, node);
	return rc ? rc : deliver_from_ingress(skb, flow, endpoint);
}

static __always_inline int forward_away(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
					const struct node_config *node)
{
	struct addr tunnel_endpoint;
	int rc = locate(flow, &packet->destination, &tunnel_endpoint);

	if (rc < 0)
		return rc;
	/* The host's stack routes it, takes the hop, and masquerades. */
	if (rc == LOCATED_OUTSIDE)
		return deliver_to_host(skb, flow, node, OBSERVE_TO_STACK);
	rc = take_hop(skb, flow, packet, node);
	return rc ? rc : encapsulate_to(flow, &tunnel_endpoint);
}

/* Cost: 1 hash for an endpoint of this node, and 1 or 2 longest-prefix matches more for any other. */
static __always_inline int forward_packet(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
					  const struct node_config *node)
{
	const struct endpoint_info *endpoint = endpoint_of(&packet->destination);

	if (endpoint)
		return forward_to_endpoint(skb, flow, packet, node, endpoint);
	return forward_away(skb, flow, packet, node);
}

#endif
