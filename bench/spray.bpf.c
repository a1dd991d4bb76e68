// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * XDP of the benchmark: gives each frame another source address, and hands it on: to the program in slot 0 of
 * spray_next, or to the stack when there is none. So whatever drops the frames, they come from as many addresses.
 */
#include "lib/headers.h"
#include "lib/xdp.h"

int spray(struct xdp_md *xdp)
{
	struct cursor cursor = frame_of(xdp);
	struct eth_header *eth = (void *)take(&cursor, sizeof(*eth));
	struct ipv4_header *ip = (void *)take(&cursor, sizeof(*ip));
	struct spray_plan *plan;
	__u32 key = 0;

	plan = spray_plan.lookup(&key);
	if (!eth || !ip || !plan)
		return XDP_ABORTED;
	plan->at += plan->stride;
	if (plan->at >= plan->count)
		plan->at -= plan->count;
	ip->source = htonl(plan->first + plan->at * plan->step);
	spray_next.call(xdp, 0);
	return XDP_PASS;
}
