// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Slot NATIVE: send a workload's packet to another node as it is, by the node's routes and past the host's stack.
 *
 * The kernel's routes say which device and next hop a packet takes, of several the one of its connection, and how much
 * fits. What they want that only the host's stack can do is left to the stack, unchanged, and counted.
 *
 * The stage before has left in the scratch what it knows of the packet: nothing is read twice.
 */
#include "lib/admit.h"
#include "lib/deliver.h"
#include "lib/hop.h"
#include "lib/next_hop.h"
#include "lib/report.h"
#include "lib/stage.h"

/* Only devices of the underlay are sent out by directly: what is to be done at others is the stack's to know. */
static __always_inline bool is_uplink(const struct node_config *node, __u32 ifindex)
{
#pragma unroll
	for (int at = 0; at < sizeof(node->uplinks) / sizeof(node->uplinks[0]); at++) {
		if (node->uplinks[at] == ifindex)
			return true;
		if (!node->uplinks[at])
			break;
	}
	return false;
}

/*
 * What the kernel is asked. The packet counts as come by loom_host, as it does when the stack routes it: so the same rules
 * and routes hold both ways, and forwarding is on there, which the kernel asks of the device a packet came by. Ports let
 * connections spread over several next hops (net.ipv4.fib_multipath_hash_policy 1).
 */
static __always_inline void ask_for_route(struct __sk_buff *skb, struct bpf_fib_lookup *route,
					  const struct packet *packet, const struct node_config *node)
{
	const struct l4 *l4 = &admission_beside(packet)->l4;
	__u32 bytes = wire_l3_bytes(skb, packet);

	route->ifindex = node->host_ifindex;
	route->l4_protocol = packet->protocol;
	route->tot_len = bytes < 0xffff ? bytes : 0xffff;
	if (has_ports(packet->protocol)) {
		route->sport = l4->source;
		route->dport = l4->destination;
	}
}

/* Ask for the route; what bpf_fib_lookup() says. Cost: 1 route lookup. */
static __always_inline int find_route(struct __sk_buff *skb, struct bpf_fib_lookup *route, const struct packet *packet)
{
	const struct ipv6_header *ip6;
	const struct ipv4_header *ip4;

	if (packet->is_ipv6) {
		ip6 = header_at(skb, L3_OFFSET, sizeof(*ip6));
		if (!ip6)
			return BPF_FIB_LKUP_RET_NOT_FWDED;
		route->family = FAMILY_IPV6;
		route->flowinfo = ip6->version_class_flow & htonl(IPV6_FLOW_MASK);
		__builtin_memcpy(route->ipv6_src, packet->source.words, sizeof(route->ipv6_src));
		__builtin_memcpy(route->ipv6_dst, packet->destination.words, sizeof(route->ipv6_dst));
	} else {
		ip4 = header_at(skb, L3_OFFSET, sizeof(*ip4));
		if (!ip4)
			return BPF_FIB_LKUP_RET_NOT_FWDED;
		route->family = FAMILY_IPV4;
		route->tos = ip4->tos;
		route->ipv4_src = packet->source.words[3];
		route->ipv4_dst = packet->destination.words[3];
	}
	return bpf_fib_lookup(skb, route, sizeof(*route), 0);
}

/* The stack takes the hop, and tells the workload what goes wrong. */
static __always_inline int leave_to_stack(struct __sk_buff *skb, struct flow *flow, const struct node_config *node)
{
	count(skb, flow, DROP_BY_STACK);
	return deliver_to_host(skb, flow, node, OBSERVE_TO_STACK);
}

static __always_inline int send_out(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
				    const struct node_config *node, const struct bpf_fib_lookup *route)
{
	/* IPv4 may go by a next hop of IPv6. */
	struct bpf_redir_neigh next_hop = { .nh_family = route->family };
	const struct eth_header *eth;
	int rc = decrement_ttl(skb, flow, packet);

	if (rc)
		return rc;
	eth = header_at(skb, 0, sizeof(*eth));
	if (!eth)
		return drop(flow, DROP_WRITE_ERROR);
	/* Whatever the workload has written there: the kernel would not replace the address of a group. */
	if (unlikely(eth->destination[0] & 1)) {
		rc = rewrite_macs(skb, flow, node->host_mac, node->host_mac);
		if (rc)
			return rc;
	}
	__builtin_memcpy(next_hop.ipv6_nh, route->ipv6_dst, sizeof(next_hop.ipv6_nh));
	flow->observation = OBSERVE_TO_NETWORK;
	return send_to_next_hop(skb, route->ifindex, &next_hop);
}

static __always_inline int follow(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
				  const struct node_config *node)
{
	struct bpf_fib_lookup route = {};

	if (packet->ttl <= 1)
		return drop_with_icmp_error(flow, drop(flow, DROP_TTL_EXCEEDED));
	ask_for_route(skb, &route, packet, node);
	switch (find_route(skb, &route, packet)) {
	case BPF_FIB_LKUP_RET_SUCCESS:
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		break;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		return drop_too_big(flow, route.mtu_result);
	case BPF_FIB_LKUP_RET_BLACKHOLE: /* which swallows without a word */
		return drop(flow, DROP_NO_ROUTE);
	case BPF_FIB_LKUP_RET_UNREACHABLE:
	case BPF_FIB_LKUP_RET_PROHIBIT:
		return drop_with_icmp_error(flow, drop(flow, DROP_NO_ROUTE));
	default:
		return leave_to_stack(skb, flow, node);
	}
	if (likely(is_uplink(node, route.ifindex)))
		return send_out(skb, flow, packet, node, &route);
	/* The stack would send it to loom_host again. */
	if (route.ifindex == node->host_ifindex)
		return drop(flow, DROP_NO_ROUTE);
	return leave_to_stack(skb, flow, node);
}

static __always_inline int send(struct __sk_buff *skb, struct flow *flow)
{
	const struct node_config *node = this_node();
	const struct packet *packet = packet_room();
	int rc = take_over(flow);

	if (rc)
		return rc;
	if (!node_is_ready(node) || !packet)
		return drop(flow, DROP_NOT_READY);
	return follow(skb, flow, packet, node);
}

int native(struct __sk_buff *skb)
{
	struct flow flow = {};

	return finish(skb, &flow, send(skb, &flow));
}
