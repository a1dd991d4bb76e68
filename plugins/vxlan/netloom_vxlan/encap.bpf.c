// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Slot ENCAP: send a packet to another node, with the identity of its sender as the VNI.
 *
 * Directly where that can be done: the headers are made here, and the packet leaves by the underlay device, past the
 * tunnel device and the host's stack. By the tunnel device otherwise; on the wire the two look alike.
 */
#include "lib/checksum.h"
#include "lib/deliver.h"
#include "lib/next_hop.h"
#include "lib/node.h"
#include "lib/report.h"
#include "lib/stage.h"
#include "lib/vxlan.h"

#define TUNNEL_TTL 64
#define LOOPBACK_IFINDEX 1	/* where the kernel takes its own packets to come from when it looks up routes */

/* The kernel's range for source ports of tunnels, unless net.ipv4.ip_local_port_range was changed. */
#define FIRST_SOURCE_PORT 32768
#define LAST_SOURCE_PORT 60999

/*
 * Headers with all the marks that segmentation offload wants. Segments keep their size, since the overlay's MTU has
 * left room for the headers; the workload's checksum is as it was, or will be made where it stood.
 */
#define ENCAP_FLAGS                                                                                                    \
	(BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 |                      \
	 BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2_ETH |                                                   \
	 BPF_F_ADJ_ROOM_ENCAP_L2(sizeof(struct eth_header)))

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

static __always_inline int send_by_device(struct __sk_buff *skb, struct flow *flow, const struct node_config *node)
{
	int rc = set_tunnel_key(skb, flow, &flow->tunnel_endpoint);

	return rc ? rc : (int)bpf_redirect(node->tunnel_ifindex, 0);
}

/* The port the tunnel device would take, so that a flow keeps to one path of the underlay whichever way it goes. */
static __always_inline __be16 source_port(struct __sk_buff *skb)
{
	__u32 hash = bpf_get_hash_recalc(skb);

	hash ^= hash << 16;
	return htons(FIRST_SOURCE_PORT + ((__u64)hash * (LAST_SOURCE_PORT - FIRST_SOURCE_PORT) >> 32));
}

/* TOS of the outer header: DSCP 0, and ECN as in RFC 6040, 4.1, except that Linux lets congestion begin anew. */
static __always_inline __u8 outer_tos(const struct ipv4_header *inner)
{
	__u8 tos = inner->version_words >> 4 == 4 ? inner->tos : ntohl(*(const __be32 *)inner) >> 20;

	return (tos & ECN_MASK) == ECN_CONGESTED ? ECN_CAPABLE : tos & ECN_MASK;
}

/* Make the headers for a whole IP packet in its frame; false when together they are too long for IPv4. */
static __always_inline bool make_headers(struct __sk_buff *skb, struct vxlan_headers *outer, const struct flow *flow,
					 const struct node_config *node)
{
	const struct eth_header *eth = header_at(skb, 0, sizeof(*eth) + sizeof(struct ipv4_header));
	__u32 bytes = skb->len - sizeof(*eth) + VXLAN_HEADERS_BYTES;

	if (!eth || bytes > 0xffff)
		return false;
	outer->ip.version_words = 4 << 4 | sizeof(outer->ip) / 4;
	outer->ip.tos = outer_tos((const void *)(eth + 1));
	outer->ip.total_bytes = htons(bytes);
	outer->ip.id = bpf_get_prandom_u32(); /* it may be fragmented on its way, like what the device sends */
	outer->ip.ttl = TUNNEL_TTL;
	outer->ip.protocol = PROTOCOL_UDP;
	outer->ip.source = node->underlay_ipv4.words[3];
	outer->ip.destination = flow->tunnel_endpoint.words[3];
	outer->ip.check = checksum_fold(checksum_of_ipv4(&outer->ip));
	outer->udp.source = source_port(skb);
	outer->udp.destination = htons(node->tunnel_port);
	outer->udp.bytes = htons(bytes - sizeof(outer->ip));
	outer->vxlan.flags = htonl(VXLAN_VNI_PRESENT);
	outer->vxlan.vni = htonl(identity_on_wire(flow) << 8);
	outer->inner = *eth;
	return true;
}

/*
 * Find the next hop; false unless it is behind the underlay device, takes the longest packet of the overlay, and is a
 * known neighbour. What must be fragmented or goes through somebody else's tunnel is the stack's, and so is what must
 * wait for a neighbour: once it is known, the kernel sends what waited by the route the packet had before, which for
 * the host's own packets is that to loom_host. Cost: 1 route lookup.
 */
static __always_inline bool find_next_hop(struct __sk_buff *skb, const struct vxlan_headers *outer,
					  const struct node_config *node, struct bpf_redir_neigh *next_hop)
{
	struct bpf_fib_lookup route = {
		.family = FAMILY_IPV4,
		.l4_protocol = PROTOCOL_UDP,
		.sport = outer->udp.source,
		.dport = outer->udp.destination,
		.tot_len = node->tunnel_mtu_bytes + VXLAN_HEADERS_BYTES,
		.ifindex = LOOPBACK_IFINDEX,
		.ipv4_src = outer->ip.source,
		.ipv4_dst = outer->ip.destination,
	};

	if (bpf_fib_lookup(skb, &route, sizeof(route), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return false;
	next_hop->nh_family = FAMILY_IPV4;
	next_hop->ipv4_nh = route.ipv4_dst;
	return route.family == FAMILY_IPV4 && route.ifindex == node->underlay_ifindex;
}

/*
 * Put the headers before the packet, and send it to the next hop. 0 when the packet, unchanged, is for the device.
 */
static __always_inline int send_directly(struct __sk_buff *skb, struct flow *flow, const struct node_config *node)
{
	struct vxlan_headers outer = {};
	struct bpf_redir_neigh next_hop = {};
	int rc;

	if (!node->underlay_ifindex || !addr_is_ipv4(&flow->tunnel_endpoint))
		return 0;
	if (!make_headers(skb, &outer, flow, node) || !find_next_hop(skb, &outer, node, &next_hop))
		return 0;
	/* The kernel refuses what it could not segment again, and what is in a tunnel already. */
	if (bpf_skb_adjust_room(skb, VXLAN_HEADERS_BYTES, BPF_ADJ_ROOM_MAC, ENCAP_FLAGS))
		return 0;
	flow->outer_bytes = VXLAN_HEADERS_BYTES;
	/* Whatever the workload has written there: the kernel would not replace the address of a group. */
	rc = rewrite_macs(skb, flow, node->host_mac, node->host_mac);
	if (rc)
		return rc;
	if (bpf_skb_store_bytes(skb, L3_OFFSET, &outer, VXLAN_HEADERS_BYTES, 0))
		return drop(flow, DROP_WRITE_ERROR);
	return send_to_next_hop(skb, node->underlay_ifindex, &next_hop);
}

static __always_inline int send(struct __sk_buff *skb, struct flow *flow)
{
	const struct node_config *node = this_node();
	int rc = take_over(flow);

	if (rc)
		return rc;
	if (!node_is_ready(node) || !node->tunnel_ifindex)
		return drop(flow, DROP_NOT_READY);
	flow->observation = OBSERVE_TO_OVERLAY;
	rc = send_directly(skb, flow, node);
	return rc ? rc : send_by_device(skb, flow, node);
}

int encap(struct __sk_buff *skb)
{
	struct flow flow = {};

	return finish(skb, &flow, send(skb, &flow));
}
