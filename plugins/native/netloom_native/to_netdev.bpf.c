// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * tc egress of an underlay device: a guard. While masquerading is on, no workload's address leaves the cluster, whatever
 * became of the rules that should have replaced it. Answers do: the world has asked by that address.
 */
#include "lib/admit.h"
#include "lib/endpoint.h"
#include "lib/next_hop.h"
#include "lib/remote.h"
#include "lib/report.h"

/* Whether somebody else began: who has asked a workload by its own address is answered with it. Cost: 1 LRU hash. */
static __always_inline bool is_answer(struct __sk_buff *skb, struct flow *flow, struct packet *packet)
{
	struct admission *admission = admission_beside(packet);

	if (parse_packet(skb, flow, packet) || read_l4(skb, flow, packet, &admission->l4))
		return false;
	return track(admission, packet) && admission->is_reply;
}

/*
 * Whether a frame has a workload's address, and goes where that is not to be seen. Cost: 1 hash; for workloads' 1 LPM,
 * and is_answer() for those that leave the cluster.
 */
static __always_inline bool is_leak(struct __sk_buff *skb, struct flow *flow)
{
	const struct node_config *node = this_node();
	struct packet *packet = packet_room();
	const struct endpoint_info *endpoint;
	const struct ipcache_info *entry;

	if (!node_is_ready(node) || !(node->flags & NODE_FLAG_MASQUERADE) || !packet || !glance(skb, packet))
		return false;
	endpoint = endpoint_of(&packet->source);
	if (!endpoint || endpoint->flags & ENDPOINT_FLAG_HOST)
		return false;
	entry = ipcache_of(&packet->destination);
	flow->source_identity = endpoint->identity;
	flow->endpoint_id = endpoint->id;
	flow->destination_identity = entry ? entry->identity : IDENTITY_WORLD;
	return (!entry || !(entry->flags & IPCACHE_FLAG_NATIVE)) && !is_answer(skb, flow, packet);
}

int to_netdev(struct __sk_buff *skb)
{
	struct flow flow = { .direction = DIR_EGRESS };

	if (skb->mark == MARK_SENT || !is_leak(skb, &flow))
		return TC_ACT_UNSPEC;
	return finish(skb, &flow, drop(&flow, DROP_UNMASQUERADED));
}
