/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Decide where a workload's packet goes, its sender being proven. */
#ifndef NETLOOM_FORWARD_H
#define NETLOOM_FORWARD_H

#include "lib/admit.h"
#include "lib/deliver.h"
#include "lib/hop.h"
#include "lib/remote.h"

static __always_inline int forward_to_endpoint(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
					       const struct node_config *node, const struct endpoint_info *endpoint)
{
	int rc;

	if (endpoint->flags & ENDPOINT_FLAG_HOST)
		return deliver_to_host(skb, flow, node, OBSERVE_TO_HOST);
	rc = take_hop(skb, flow, packet, node->mtu_bytes);
	return rc ? rc : deliver_from_ingress(skb, flow, endpoint);
}

static __always_inline int forward_away(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
					const struct node_config *node, int place)
{
	int rc;

	/* The host's stack routes it, takes the hop, and masquerades. */
	if (place == LOCATED_OUTSIDE)
		return deliver_to_host(skb, flow, node, OBSERVE_TO_STACK);
	/* The hop is taken there, once the route has said how much it takes. The packet stands in the scratch. */
	if (place == LOCATED_NATIVE)
		return next_stage(SLOT_NATIVE);
	rc = take_hop(skb, flow, packet, node->tunnel_mtu_bytes);
	return rc ? rc : next_stage(SLOT_ENCAP);
}

/* Ask for both ends that are workloads of this node: past the receiver's own interface nobody asks again. */
static __always_inline int admit_from_workload(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
					       const struct node_config *node, const struct endpoint_info *endpoint)
{
	if (endpoint && endpoint->flags & ENDPOINT_FLAG_HOST)
		endpoint = NULL;
	return admit(skb, flow, packet, node, endpoint, LOCAL_SOURCE);
}

/* Cost: 1 hash for an endpoint of this node, 1 or 2 longest-prefix matches more for any other, and that of admit(). */
static __always_inline int forward_packet(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
					  const struct node_config *node)
{
	const struct endpoint_info *endpoint = endpoint_of(&packet->destination);
	int place = LOCATED_HERE;
	int rc;

	if (endpoint) {
		flow->destination_identity = endpoint->identity;
		/* A workload reaches itself by its loopback: by wire, this is somebody's forged answer. */
		if (endpoint->ifindex == skb->ifindex)
			return drop(flow, DROP_INVALID_PACKET);
	} else {
		place = locate(flow, &packet->destination);
		if (place < 0)
			return place;
	}
	rc = admit_from_workload(skb, flow, packet, node, endpoint);
	if (rc)
		return rc;
	if (endpoint)
		return forward_to_endpoint(skb, flow, packet, node, endpoint);
	return forward_away(skb, flow, packet, node, place);
}

#endif
