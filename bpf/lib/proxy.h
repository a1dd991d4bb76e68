/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* To the node's proxy, and from it. */
#ifndef NETLOOM_PROXY_H
#define NETLOOM_PROXY_H

#include "lib/deliver.h"

/*
 * Into the host's stack, where to_proxy finds the socket: the one place for whatever way a packet came, since sockets
 * can be chosen at ingress alone, and the routes that keep such packets here go by the mark.
 */
static __always_inline int send_to_proxy(struct __sk_buff *skb, struct flow *flow, const struct node_config *node)
{
	skb->mark = MARK_TO_PROXY;
	return deliver_to_host(skb, flow, node, OBSERVE_TO_PROXY);
}

/* Cost: 1 array. */
static __always_inline struct bpf_sock *listener_of(bool is_ipv6)
{
	__u32 key = is_ipv6 ? PROXY_IPV6 : PROXY_IPV4;

	return (struct bpf_sock *)proxy_listeners.lookup(&key);
}

static __always_inline bool proxy_is_there(bool is_ipv6)
{
	struct bpf_sock *listener = listener_of(is_ipv6);

	if (listener)
		bpf_sk_release(listener);
	return listener;
}

/* No workload's packet has a mark: the kernel takes it off on the way out of its namespace. */
static __always_inline bool is_from_proxy(const struct __sk_buff *skb)
{
	return unlikely(skb->mark == MARK_FROM_PROXY);
}

#endif
