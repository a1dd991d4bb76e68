// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* tc egress of loom_host: everything the host's stack routes to workloads, on this node and on others. */
#include "lib/admit.h"
#include "lib/deliver.h"
#include "lib/hop.h"
#include "lib/remote.h"
#include "lib/report.h"

/*
 * Only this node's own addresses prove an identity here. Any other source came through the host's
 * stack from outside, whatever it claims.
 */
static __always_inline __u32 identity_of_source(const struct addr *source)
{
	const struct endpoint_info *endpoint = endpoint_of(source);

	return endpoint && endpoint->flags & ENDPOINT_FLAG_HOST ? IDENTITY_HOST : IDENTITY_WORLD;
}

static __always_inline int send(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
				const struct node_config *node)
{
	const struct endpoint_info *endpoint = endpoint_of(&packet->destination);
	int rc;

	if (endpoint && endpoint->flags & ENDPOINT_FLAG_HOST)
		return drop(flow, DROP_INVALID_PACKET);
	if (endpoint) {
		flow->destination_identity = endpoint->identity;
		flow->endpoint_id = endpoint->id;
		rc = is_from_proxy(skb) ? admit_from_proxy(skb, flow, packet, node) : admit(skb, flow, packet, node, endpoint, 0);
		return rc ? rc : deliver_from_egress(skb, flow, endpoint);
	}
	rc = is_from_proxy(skb) ? admit_from_proxy(skb, flow, packet, node) : 0;
	if (!rc)
		rc = locate(flow, &packet->destination);
	if (rc < 0)
		return rc;
	if (rc == LOCATED_OUTSIDE)
		return drop(flow, DROP_UNROUTABLE);
	/* The node's routes lead there by other devices: by this one comes what has none, and it would come again. */
	if (rc == LOCATED_NATIVE)
		return drop(flow, DROP_NO_ROUTE);
	if (!fits(skb, packet, node->tunnel_mtu_bytes))
		return drop(flow, DROP_TOO_BIG);
	return next_stage(SLOT_ENCAP);
}

static __always_inline int handle_frame(struct __sk_buff *skb, struct flow *flow)
{
	const struct node_config *node = this_node();
	struct packet *packet = packet_room();
	int rc;

	if (!node_is_ready(node) || !packet)
		return drop(flow, DROP_NOT_READY);
	rc = parse_packet(skb, flow, packet);
	if (rc)
		return rc;
	flow->source_identity = identity_of_source(&packet->source);
	trace(skb, flow, is_from_proxy(skb) ? OBSERVE_FROM_PROXY : OBSERVE_FROM_HOST);
	if (addr_is_multicast(&packet->destination) || addr_is_link_local(&packet->destination))
		return drop(flow, DROP_MULTICAST);
	/* The stack has taken the hop, and knows the MTU by its routes: nobody is left to be told. */
	if (!fits(skb, packet, node->mtu_bytes))
		return drop(flow, DROP_TOO_BIG);
	return send(skb, flow, packet, node);
}

int from_host(struct __sk_buff *skb)
{
	struct flow flow = { .direction = DIR_EGRESS };

	return finish(skb, &flow, handle_frame(skb, &flow));
}
