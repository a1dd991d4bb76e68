// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Slot ENCAP: send a packet to another node, with the identity of its sender as the VNI. */
#include "lib/addr.h"
#include "lib/node.h"
#include "lib/report.h"
#include "lib/stage.h"

#define TUNNEL_TTL 64

/* "host" is true of its own node only: to others it is a remote node. */
static __always_inline __u32 identity_on_wire(const struct flow *flow)
{
	return flow->source_identity == IDENTITY_HOST ? IDENTITY_REMOTE_NODE : flow->source_identity;
}

/*
 * The outer UDP checksum is left out over IPv4, as every overlay does: the inner packet has its own.
 * Over IPv6 it stays (RFC 8200, 8.1), since a device must be told to take a packet without.
 */
static __always_inline int set_tunnel_key(struct __sk_buff *skb, struct flow *flow, const struct addr *tunnel_endpoint)
{
	struct bpf_tunnel_key key = { .tunnel_id = identity_on_wire(flow), .tunnel_ttl = TUNNEL_TTL };
	__u64 flags = BPF_F_ZERO_CSUM_TX;

	if (addr_is_ipv4(tunnel_endpoint)) {
		key.remote_ipv4 = ntohl(tunnel_endpoint->words[3]);
	} else {
		__builtin_memcpy(key.remote_ipv6, tunnel_endpoint->words, sizeof(key.remote_ipv6));
		flags = BPF_F_TUNINFO_IPV6;
	}
	return bpf_skb_set_tunnel_key(skb, &key, sizeof(key), flags) ? drop(flow, DROP_TUNNEL_KEY) : 0;
}

static __always_inline int send(struct __sk_buff *skb, struct flow *flow)
{
	const struct node_config *node = this_node();
	int rc = take_over(flow);

	if (rc)
		return rc;
	if (!node_is_ready(node) || !node->tunnel_ifindex)
		return drop(flow, DROP_NOT_READY);
	rc = set_tunnel_key(skb, flow, &flow->tunnel_endpoint);
	if (rc)
		return rc;
	flow->observation = OBSERVE_TO_OVERLAY;
	return bpf_redirect(node->tunnel_ifindex, 0);
}

int encap(struct __sk_buff *skb)
{
	struct flow flow = {};

	return finish(skb, &flow, send(skb, &flow));
}
