// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Slot FORWARD: where a custom stage hands a workload's packet back, checked and unchanged or rewritten. */
#include "lib/forward.h"
#include "lib/report.h"

static __always_inline int handle_packet(struct __sk_buff *skb, struct flow *flow)
{
	const struct node_config *node = this_node();
	struct packet *packet = packet_room();
	int rc = take_over(flow);

	if (rc)
		return rc;
	if (!node_is_ready(node) || !packet)
		return drop(flow, DROP_NOT_READY);
	rc = parse_packet(skb, flow, packet);
	return rc ? rc : forward_packet(skb, flow, packet, node);
}

int forward(struct __sk_buff *skb)
{
	struct flow flow = {};

	return finish(skb, &flow, handle_packet(skb, &flow));
}
