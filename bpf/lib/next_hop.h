/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Out of the node by a device of the underlay, past the host's stack. */
#ifndef NETLOOM_NEXT_HOP_H
#define NETLOOM_NEXT_HOP_H

#include "lib/common.h"

#define FAMILY_IPV4 2		/* AF_INET */
#define FAMILY_IPV6 10		/* AF_INET6 */

/* "loom": tells the guard at an underlay device's egress which packets need no second look. */
#define MARK_SENT 0x6c6f6f6d

/* The compiler's headers declare bpf_redirect_neigh without `bytes`. */
static long (*redirect_neigh)(__u32 ifindex, struct bpf_redir_neigh *next_hop, int bytes,
			      __u64 flags) = (void *)BPF_FUNC_redirect_neigh;

/*
 * Send a frame to a neighbour. The kernel writes the Ethernet header, finds out the neighbour's address if it must, and
 * sees to it that the neighbour is still there, which nobody would who wrote the header himself.
 */
static __always_inline int send_to_next_hop(struct __sk_buff *skb, __u32 ifindex, struct bpf_redir_neigh *next_hop)
{
	skb->mark = MARK_SENT;
	return redirect_neigh(ifindex, next_hop, sizeof(*next_hop), 0);
}

#endif
