// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * tc ingress of an underlay device: what other nodes' workloads, other nodes themselves and the native prefixes outside
 * send to workloads of this node as it is; delivered past the host's stack.
 *
 * The sender's address says who it is: the network between nodes must not carry forged ones. Believed is whoever is
 * answered past the stack too. All others are left to the stack: it must see both ways of a connection, or none.
 */
#include "lib/admit.h"
#include "lib/deliver.h"
#include "lib/remote.h"
#include "lib/report.h"

/* How a sender is looked at. */
#define SENDER_OTHER 0		/* none of ours */
#define SENDER_BELIEVED 1
#define SENDER_FORGED 2		/* an address of this node or its workloads, which never comes from another */

/* The workload a frame is for; NULL for every frame that is not plainly for one. Cost: 1 hash. */
static __always_inline const struct endpoint_info *receiver_of(struct __sk_buff *skb, struct packet *packet)
{
	const struct endpoint_info *endpoint;

	if (skb->pkt_type != PACKET_HOST || skb->vlan_present || !glance(skb, packet))
		return NULL;
	endpoint = endpoint_of(&packet->destination);
	return endpoint && !(endpoint->flags & ENDPOINT_FLAG_HOST) ? endpoint : NULL;
}

/* Cost: 1 longest-prefix match; 1 hash more for what does not come natively. */
static __always_inline int look_at_sender(struct flow *flow, const struct addr *source)
{
	const struct ipcache_info *entry = ipcache_of(source);

	if (!entry)
		return SENDER_OTHER;
	flow->source_identity = entry->identity;
	/* Addresses of this node are neither: an entry for one address is preferred to a prefix that holds it. */
	if (entry->flags & IPCACHE_FLAG_NATIVE || !addr_is_unset(&entry->tunnel_endpoint))
		return SENDER_BELIEVED;
	if (entry->flags & IPCACHE_FLAG_LOCAL_POD_CIDR || endpoint_of(source))
		return SENDER_FORGED;
	return SENDER_OTHER;
}

static __always_inline int receive(struct __sk_buff *skb, struct flow *flow, struct packet *packet,
				   const struct node_config *node, const struct endpoint_info *endpoint)
{
	int rc = parse_packet(skb, flow, packet);

	if (!rc)
		rc = admit(skb, flow, packet, node, endpoint, 0);
	return rc ? rc : deliver_from_ingress(skb, flow, endpoint);
}

int from_netdev(struct __sk_buff *skb)
{
	struct flow flow = { .direction = DIR_INGRESS };
	const struct node_config *node = this_node();
	struct packet *packet = packet_room();
	const struct endpoint_info *endpoint;
	int sender;

	if (!node_is_ready(node) || !packet)
		return leave_to_next(skb);
	endpoint = receiver_of(skb, packet);
	if (!endpoint)
		return leave_to_next(skb);
	sender = look_at_sender(&flow, &packet->source);
	if (sender == SENDER_OTHER)
		return leave_to_next(skb);
	flow.destination_identity = endpoint->identity;
	flow.endpoint_id = endpoint->id;
	trace(skb, &flow, OBSERVE_FROM_NETWORK);
	if (sender == SENDER_FORGED)
		return finish(skb, &flow, drop(&flow, DROP_INVALID_SOURCE_IP));
	return finish(skb, &flow, receive(skb, &flow, packet, node, endpoint));
}
