/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a workload may not send, whoever it is sent to. */
#ifndef NETLOOM_SENDER_H
#define NETLOOM_SENDER_H

#include "lib/endpoint.h"
#include "lib/node.h"

/* Well-known ports of overlays, besides our own: VXLAN (RFC 7348) and Geneve (RFC 8926). */
#define PORT_VXLAN 4789
#define PORT_GENEVE 6081

/* Neighbour discovery and router messages: `type` of ICMPv6, or 0 for every other packet. */
static __always_inline __u8 nd_type(struct __sk_buff *skb, const struct packet *packet)
{
	__u8 type;

	if (packet->protocol != PROTOCOL_ICMP6 || !packet->is_ipv6 || packet->is_later_fragment)
		return 0;
	if (!copy_from(skb, packet->l4_offset, &type, sizeof(type)))
		return 0;
	return type >= ND_ROUTER_SOLICITATION && type <= ND_REDIRECT ? type : 0;
}

/* Whoever speaks the overlay's protocol to a node could forge any sender's identity. */
static __always_inline int check_encapsulation(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
					       const struct node_config *node)
{
	__be16 ports[2];
	__u16 destination;

	if (packet->protocol != PROTOCOL_UDP || packet->is_later_fragment)
		return 0;
	if (!copy_from(skb, packet->l4_offset, ports, sizeof(ports)))
		return drop(flow, DROP_INVALID_PACKET);
	destination = ntohs(ports[1]);
	if (destination == node->tunnel_port || destination == PORT_VXLAN || destination == PORT_GENEVE)
		return drop(flow, DROP_ENCAP_PROHIBITED);
	return 0;
}

/* All that is known of the device's workload, checked against a packet it sent; 0 when it may pass. */
static __always_inline int check_sender(struct __sk_buff *skb, struct flow *flow, const struct packet *packet,
					const struct device_info *device, const struct node_config *node)
{
	int rc;

	/* Hosts chatter to groups from link-local addresses: no forgery, only nothing we carry. */
	if (addr_is_multicast(&packet->destination) || addr_is_link_local(&packet->destination))
		return drop(flow, DROP_MULTICAST);
	rc = check_source_address(flow, device, &packet->source);
	return rc ? rc : check_encapsulation(skb, flow, packet, node);
}

#endif
