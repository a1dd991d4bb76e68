// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Slot ICMP_ERROR: drop a workload's packet, and tell the workload why. */
#include "lib/deliver.h"
#include "lib/icmp4.h"
#include "lib/icmp6.h"
#include "lib/report.h"
#include "lib/stage.h"

/* Make the answer of the packet and send it back; a drop reason when nothing can or may be answered. */
static __always_inline int answer(struct __sk_buff *skb, struct flow *flow, int reason)
{
	const struct node_config *node = this_node();
	const struct device_info *device = device_of(skb);
	struct packet *packet = packet_room();
	int rc;

	if (!packet || !node || !device)
		return reason;
	rc = parse_packet(skb, flow, packet);
	if (rc || !may_be_told(skb, packet))
		return reason;
	if (packet->is_ipv6)
		rc = answer_by_icmp6(skb, flow, packet, node, reason);
	else
		rc = answer_by_icmp4(skb, flow, packet, node, reason);
	return rc ? rc : send_back(skb, flow, device);
}

/* The drop is reported first, so that its event shows the packet and not the answer. */
int icmp_error(struct __sk_buff *skb)
{
	struct flow flow = {};
	int verdict = take_over(&flow);

	if (verdict)
		return finish(skb, &flow, verdict);
	report_drop(skb, &flow, -flow.reason);
	verdict = answer(skb, &flow, -flow.reason);
	return verdict == TC_ACT_REDIRECT ? TC_ACT_REDIRECT : TC_ACT_SHOT;
}
