// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* tc ingress of loom_vxlan: what other nodes send to workloads of this one, and to this node itself. */
#include "lib/receive.h"
#include "lib/report.h"

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
	if (!is_remote_identity(flow->source_identity))
		return drop(flow, DROP_INVALID_IDENTITY);
	return 0;
}

static __always_inline int handle_frame(struct __sk_buff *skb, struct flow *flow)
{
	const struct node_config *node = this_node();
	int rc;

	if (!node_is_ready(node))
		return drop(flow, DROP_NOT_READY);
	rc = check_sender(skb, flow);
	trace(skb, flow, OBSERVE_FROM_OVERLAY);
	return rc ? rc : receive(skb, flow, node);
}

int from_overlay(struct __sk_buff *skb)
{
	struct flow flow = { .direction = DIR_INGRESS };

	return finish(skb, &flow, handle_frame(skb, &flow));
}
