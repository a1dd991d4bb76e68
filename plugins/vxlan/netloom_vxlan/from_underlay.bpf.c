// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * tc ingress of the underlay device: tunnel packets of other nodes, delivered past the host's stack and the tunnel
 * device.
 *
 * It judges nobody. A packet that is not beyond doubt what another node's ENCAP stage sends is left as it is: either
 * it is none of ours, or from_overlay will see it, and say why it is refused.
 */
#include "lib/checksum.h"
#include "lib/receive.h"
#include "lib/report.h"
#include "lib/vxlan.h"

/* Entries of the map. */
#define BULK_FLOWS 1024

/* Since Linux 6.3; the compiler's headers do not have it. Kernels without refuse, and the device does the work. */
#define ADJ_ROOM_DECAP_L3_IPV6 (1ULL << 8)

/* An IPv4 packet for our tunnel, in a frame that was sent to this node, whole and as long as it says. */
static __always_inline bool is_tunnel_packet(struct __sk_buff *skb, const struct vxlan_headers *outer,
					     const struct node_config *node)
{
	if (outer->ip.protocol != PROTOCOL_UDP || outer->udp.destination != htons(node->tunnel_port))
		return false;
	if (outer->ip.destination != node->underlay_ipv4.words[3] || skb->pkt_type != PACKET_HOST)
		return false;
	if (outer->ip.version_words != (4 << 4 | sizeof(outer->ip) / 4) ||
	    outer->ip.fragment & ~htons(IPV4_DONT_FRAGMENT) || checksum_fold(checksum_of_ipv4(&outer->ip)))
		return false;
	return ntohs(outer->ip.total_bytes) == skb->len - L3_OFFSET &&
	       ntohs(outer->udp.bytes) == skb->len - L3_OFFSET - sizeof(outer->ip);
}

/* Nothing about it asks for more than taking the headers off: no checksum to verify, no congestion to pass on. */
static __always_inline bool is_plain(const struct vxlan_headers *outer)
{
	return !outer->udp.check && (outer->ip.tos & ECN_MASK) != ECN_CONGESTED &&
	       outer->vxlan.flags == htonl(VXLAN_VNI_PRESENT) && !(outer->vxlan.vni & htonl(0xff)) &&
	       (outer->inner.ethertype == htons(ETHERTYPE_IPV4) || outer->inner.ethertype == htons(ETHERTYPE_IPV6));
}

static __always_inline bool is_trusted(const struct vxlan_headers *outer, struct flow *flow)
{
	struct addr sender;

	flow->source_identity = ntohl(outer->vxlan.vni) >> 8;
	addr_from_ipv4(&sender, outer->ip.source);
	return is_remote_identity(flow->source_identity) && is_peer(&sender);
}

/*
 * Remember which flows come in packets that were put together from several, and go by the device; say whether this
 * packet's is one of them. The device delivers a little later: what came behind must not overtake.
 *
 * A flow is told by the tunnel's source port, in which its sender has put its hash. Two flows that share an entry
 * cost each other a detour. Cost: 1 per-CPU array.
 */
static __always_inline bool is_in_bulk(struct __sk_buff *skb, const struct vxlan_headers *outer)
{
	__u32 key = (ntohs(outer->udp.source) ^ ntohl(outer->ip.source)) % BULK_FLOWS;
	struct bulk_flow *flow = bulk_flows.lookup(&key);
	__u64 now = bpf_jiffies64();

	if (!flow)
		return true;
	if (skb->gso_size) {
		flow->seen_jiffies = now;
		return true;
	}
	/* One tick may be about to end: after two, one has passed as a whole, and the device with its queue. */
	return now - flow->seen_jiffies < 2;
}

/* Take the headers off; false leaves the packet as it was. */
static __always_inline bool strip(struct __sk_buff *skb, struct eth_header inner)
{
	__u64 flags = BPF_F_ADJ_ROOM_NO_CSUM_RESET;
	struct eth_header *eth;

	if (inner.ethertype == htons(ETHERTYPE_IPV6))
		flags |= ADJ_ROOM_DECAP_L3_IPV6;
	if (bpf_skb_adjust_room(skb, -(int)VXLAN_HEADERS_BYTES, BPF_ADJ_ROOM_MAC, flags))
		return false;
	/* A device that has verified checksums counted the outer one, though it was left out. */
	bpf_csum_level(skb, BPF_CSUM_LEVEL_DEC);
	/* What went is all behind the underlay's Ethernet header. */
	eth = header_at(skb, 0, sizeof(*eth));
	if (eth)
		*eth = inner;
	return true;
}

/* Whether a packet has become an inner frame, whose sender can be believed. */
static __always_inline bool decapsulate(struct __sk_buff *skb, struct flow *flow, const struct node_config *node)
{
	const struct vxlan_headers *outer;

	if (!node_is_ready(node) || skb->ifindex != node->underlay_ifindex)
		return false;
	if (skb->protocol != htons(ETHERTYPE_IPV4) || skb->vlan_present)
		return false;
	outer = header_at(skb, L3_OFFSET, VXLAN_HEADERS_BYTES);
	if (!outer || !is_tunnel_packet(skb, outer, node) || !is_plain(outer))
		return false;
	if (!is_trusted(outer, flow) || is_in_bulk(skb, outer))
		return false;
	return strip(skb, outer->inner);
}

int from_underlay(struct __sk_buff *skb)
{
	struct flow flow = { .direction = DIR_INGRESS };
	const struct node_config *node = this_node();

	if (!decapsulate(skb, &flow, node))
		return leave_to_next(skb);
	trace(skb, &flow, OBSERVE_FROM_OVERLAY);
	return finish(skb, &flow, receive(skb, &flow, node));
}
