/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What other nodes send to workloads of this one, and to this node itself. */
#ifndef NETLOOM_RECEIVE_H
#define NETLOOM_RECEIVE_H

#include "lib/admit.h"
#include "lib/deliver.h"
#include "lib/node.h"

/* Cost: 1 hash. */
static __always_inline bool is_peer(const struct addr *address)
{
	struct peer_key key = { .address = *address };

	return peers.lookup(&key);
}

/* No packet from another node is nobody's, or that node's own "host", which to this one is a remote node. */
static __always_inline bool is_remote_identity(__u32 identity)
{
	return identity != IDENTITY_UNKNOWN && identity != IDENTITY_HOST;
}

/* Deliver a frame whose sender is a known node. Cost: 2 hashes, and that of admit(). */
static __always_inline int receive(struct __sk_buff *skb, struct flow *flow, const struct node_config *node)
{
	struct packet *packet = packet_room();
	const struct endpoint_info *endpoint;
	int rc;

	if (!packet)
		return drop(flow, DROP_NOT_READY);
	rc = parse_packet(skb, flow, packet);
	if (rc)
		return rc;
	/* Addresses of this node never come from another. */
	if (endpoint_of(&packet->source))
		return drop(flow, DROP_INVALID_SOURCE_IP);
	endpoint = endpoint_of(&packet->destination);
	if (!endpoint)
		return drop(flow, DROP_NO_LOCAL_ENDPOINT);
	flow->destination_identity = endpoint->identity;
	if (endpoint->flags & ENDPOINT_FLAG_HOST)
		return deliver_to_host(skb, flow, node, OBSERVE_TO_HOST);
	flow->endpoint_id = endpoint->id;
	rc = admit(skb, flow, packet, node, endpoint, 0);
	return rc ? rc : deliver_from_ingress(skb, flow, endpoint);
}

#endif
