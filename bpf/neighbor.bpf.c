// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Slot NEIGHBOR: ARP and neighbour discovery. To a workload everything is on the other side of its
 * own interface, so every question for an address has one answer: the MAC of the lxc device.
 */
#include "lib/arp.h"
#include "lib/nd.h"
#include "lib/report.h"
#include "lib/stage.h"

static __always_inline int answer(struct __sk_buff *skb, struct flow *flow)
{
	const struct device_info *device = device_of(skb);
	int rc = take_over(flow);

	if (rc)
		return rc;
	if (!device)
		return drop(flow, DROP_NOT_READY);
	if (ethertype_of(skb) == ETHERTYPE_ARP)
		return answer_arp(skb, flow, device);
	return answer_solicitation(skb, flow, device);
}

int neighbor(struct __sk_buff *skb)
{
	struct flow flow = {};

	return finish(skb, &flow, answer(skb, &flow));
}
