// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * tc ingress of loom_host: gives the proxy's packets to its sockets. Everything else is left as it comes.
 *
 * One end of a proxied connection has a socket of the proxy that bears the other end's address: found by the packet's
 * own addresses and ports. A packet without one begins a connection, and is the listener's; the kernel answers with a
 * reset what belongs to no connection.
 */
#include "lib/ports.h"
#include "lib/proxy.h"
#include "lib/report.h"

#define BPF_STATE_TIME_WAIT 6	/* BPF_TCP_TIME_WAIT */
#define BPF_STATE_LISTEN 10	/* BPF_TCP_LISTEN */

/* Sizes of struct bpf_sock_tuple say the family. */
#define TUPLE_IPV4_BYTES sizeof(((struct bpf_sock_tuple *)0)->ipv4)
#define TUPLE_IPV6_BYTES sizeof(((struct bpf_sock_tuple *)0)->ipv6)

static __always_inline struct bpf_sock *socket_of(struct __sk_buff *skb, const struct packet *packet,
						  const struct tcp_start *tcp)
{
	struct bpf_sock_tuple tuple = {};

	if (packet->is_ipv6) {
		__builtin_memcpy(tuple.ipv6.saddr, packet->source.words, sizeof(tuple.ipv6.saddr));
		__builtin_memcpy(tuple.ipv6.daddr, packet->destination.words, sizeof(tuple.ipv6.daddr));
		tuple.ipv6.sport = tcp->source;
		tuple.ipv6.dport = tcp->destination;
		return bpf_skc_lookup_tcp(skb, &tuple, TUPLE_IPV6_BYTES, BPF_F_CURRENT_NETNS, 0);
	}
	tuple.ipv4.saddr = packet->source.words[3];
	tuple.ipv4.daddr = packet->destination.words[3];
	tuple.ipv4.sport = tcp->source;
	tuple.ipv4.dport = tcp->destination;
	return bpf_skc_lookup_tcp(skb, &tuple, TUPLE_IPV4_BYTES, BPF_F_CURRENT_NETNS, 0);
}

static __always_inline int assign(struct __sk_buff *skb, struct flow *flow, struct bpf_sock *socket)
{
	int rc = bpf_sk_assign(skb, socket, 0);

	bpf_sk_release(socket);
	return rc ? drop(flow, DROP_PROXY_UNREACHED) : 0;
}

/* Cost: 1 socket lookup, and for what begins a connection 1 array. */
static __always_inline int find_socket(struct __sk_buff *skb, struct flow *flow, const struct packet *packet)
{
	struct bpf_sock *socket;
	struct tcp_start tcp;

	if (packet->protocol != PROTOCOL_TCP || packet->is_later_fragment)
		return drop(flow, DROP_INVALID_PACKET);
	if (!copy_from(skb, packet->l4_offset, &tcp, sizeof(tcp)))
		return drop(flow, DROP_INVALID_PACKET);
	socket = socket_of(skb, packet, &tcp);
	if (socket) {
		/* Somebody of this host may listen at all addresses, and what ended may begin again. */
		if (socket->state != BPF_STATE_LISTEN &&
		    (socket->state != BPF_STATE_TIME_WAIT || !(tcp.flags & TCP_SYN)))
			return assign(skb, flow, socket);
		bpf_sk_release(socket);
	}
	socket = listener_of(packet->is_ipv6);
	return socket ? assign(skb, flow, socket) : drop(flow, DROP_PROXY_AWAY);
}

static __always_inline int handle_packet(struct __sk_buff *skb, struct flow *flow)
{
	struct packet *packet = packet_room();
	int rc;

	if (!packet)
		return drop(flow, DROP_NOT_READY);
	rc = parse_packet(skb, flow, packet);
	return rc ? rc : find_socket(skb, flow, packet);
}

int to_proxy(struct __sk_buff *skb)
{
	struct flow flow = { .direction = DIR_INGRESS };
	int rc;

	if (likely(skb->mark != MARK_TO_PROXY))
		return TC_ACT_UNSPEC;
	rc = handle_packet(skb, &flow);
	return rc ? finish(skb, &flow, rc) : TC_ACT_UNSPEC;
}
