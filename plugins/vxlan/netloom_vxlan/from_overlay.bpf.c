// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* tc ingress of loom_vxlan: what other nodes send to workloads of this one, and to this node itself. */
#include "lib/deliver.h"
#include "lib/node.h"
#include "lib/report.h"

/* Cost: 1 hash. */
static __always_inline bool is_peer(const struct addr *address)
{
	struct peer_key key = { .address = *address };

	return peers.lookup(&key);
}

/* The outer source address and the VNI, which the device has kept beside the packet; the underlay is of either family. */
static __always_inline int read_tunnel_key(struct __sk_buff *skb, struct flow *flow, struct addr *sender)
{
	struct bpf_tunnel_key key = {};

	if (!bpf_skb_get_tunnel_key(skb, &key, sizeof(key), 0))
		addr_from_ipv4(sender, htonl(key.remote_ipv4));
	else if (!bpf_skb_get_tunnel_key(skb, &key, sizeof(key), BPF_F_TUNINFO_IPV6))
		__builtin_memcpy(sender->words, key.remote_ipv6, sizeof(sender->words));
	else
		return drop(flow, DROP_TUNNEL_KEY);
	flow->source_identity = key.tunnel_id;
	return 0;
}

/* Believe a sender only if it is a node, and does not claim to be this one. */
static __always_inline int check_sender(struct __sk_buff *skb, struct flow *flow)
{
	struct addr sender;
	int rc = read_tunnel_key(skb, flow, &sender);

	if (rc)
		return rc;
	if (!is_peer(&sender))
		return drop(flow, DROP_UNKNOWN_SENDER);
	if (flow->source_identity == IDENTITY_UNKNOWN || flow->source_identity == IDENTITY_HOST)
		return drop(flow, DROP_INVALID_IDENTITY);
	return 0;
}

static __always_inline int deliver(struct __sk_buff *skb, struct flow *flow, const struct node_config *node)
{
	const struct endpoint_info *endpoint;
	struct packet packet;
	int rc = parse_packet(skb, flow, &packet);

	if (rc)
		return rc;
	/* Addresses of this node never come from another. */
	if (endpoint_of(&packet.source))
		return drop(flow, DROP_INVALID_SOURCE_IP);
	endpoint = endpoint_of(&packet.destination);
	if (!endpoint)
		return drop(flow, DROP_NO_LOCAL_ENDPOINT);
	flow->destination_identity = endpoint->identity;
	if (endpoint->flags & ENDPOINT_FLAG_HOST)
		return deliver_to_host(skb, flow, node, OBSERVE_TO_HOST);
	return deliver_from_ingress(skb, flow, endpoint);
}

static __always_inline int handle_frame(struct __sk_buff *skb, struct flow *flow)
{
	const struct node_config *node = this_node();
	int rc;

	if (!node_is_ready(node))
		return drop(flow, DROP_NOT_READY);
	rc = check_sender(skb, flow);
	trace(skb, flow, OBSERVE_FROM_OVERLAY);
	return rc ? rc : deliver(skb, flow, node);
}

int from_overlay(struct __sk_buff *skb)
{
	struct flow flow = { .direction = DIR_INGRESS };

	return finish(skb, &flow, handle_frame(skb, &flow));
}
