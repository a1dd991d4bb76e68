/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Facts about this node, read from a map: programs are compiled once for all nodes. */
#ifndef NETLOOM_NODE_H
#define NETLOOM_NODE_H

#include "gen/maps.h"
#include "lib/common.h"

/* Cost: 1 array. Never NULL in an array of one, but the verifier wants to see the check. */
static __always_inline struct node_config *this_node(void)
{
	__u32 key = 0;

	return node_config.lookup(&key);
}

/* Whether the agent has written the facts: before, nothing passes. */
static __always_inline bool node_is_ready(const struct node_config *node)
{
	return node && node->host_ifindex;
}

#endif
