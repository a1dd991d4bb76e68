// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Slot PROXY: sends a packet of a connection whose requests are judged to the node's proxy. */
#include "lib/proxy.h"
#include "lib/report.h"

static __always_inline int handle_packet(struct __sk_buff *skb, struct flow *flow)
{
	const struct node_config *node = this_node();
	int rc = take_over(flow);

	if (rc)
		return rc;
	return node_is_ready(node) ? send_to_proxy(skb, flow, node) : drop(flow, DROP_NOT_READY);
}

int proxy(struct __sk_buff *skb)
{
	struct flow flow = {};

	return finish(skb, &flow, handle_packet(skb, &flow));
}
