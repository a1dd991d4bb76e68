// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * XDP of the underlay device: frames from addresses that the operator refuses end here, before the kernel makes packets
 * of them.
 *
 * It judges by the source address alone. Whatever it cannot read, and whatever is not IP, is left to those who can. What
 * it drops is counted and not told of one by one: under attack that would be the attack's second half.
 */
#include "gen/maps.h"
#include "gen/reasons.h"
#include "lib/headers.h"
#include "lib/xdp.h"

/* A customer's tag in a provider's (IEEE 802.1ad); nobody's network has more. */
#define TAGS_MAX 2

struct vlan_tag {
	__be16 tci;
	__be16 ethertype;	/* of what is behind it */
};

/* The ethertype behind the tags, as on the wire; 0 when the frame is cut short. The cursor is behind it afterwards. */
static __always_inline __be16 take_ethertype(struct cursor *cursor)
{
	const struct eth_header *eth = take(cursor, sizeof(*eth));
	const struct vlan_tag *tag;
	__be16 ethertype;

	if (!eth)
		return 0;
	ethertype = eth->ethertype;
#pragma unroll
	for (int depth = 0; depth < TAGS_MAX; depth++) {
		if (ethertype != htons(ETHERTYPE_VLAN) && ethertype != htons(ETHERTYPE_QINQ))
			break;
		tag = take(cursor, sizeof(*tag));
		if (!tag)
			return 0;
		ethertype = tag->ethertype;
	}
	return ethertype;
}

/* Cost: 1 hash of 4 bytes, 1 LPM. */
static __always_inline bool is_refused4(__be32 source)
{
	struct prefilter_ip4 address = { .address = source };
	struct prefilter_net4 range = { .prefix = { .prefix_len = 32, .address = source } };

	return prefilter_ip4.lookup(&address) || prefilter_net4.lookup(&range);
}

/* Cost: 1 hash of 16 bytes, 1 LPM. */
static __always_inline bool is_refused6(const struct addr *source)
{
	struct prefilter_ip6 address = { .address = *source };
	struct prefilter_net6 range = { .prefix = { .prefix_len = 128, .address = *source } };

	return prefilter_ip6.lookup(&address) || prefilter_net6.lookup(&range);
}

/* Cost: 1 per-CPU array. */
static __always_inline int refuse(struct xdp_md *xdp)
{
	__u32 key = -DROP_PREFILTERED * METRICS_DIRECTIONS + DIR_INGRESS;
	struct counter *counter = metrics.lookup(&key);

	if (counter) {
		counter->packets += 1;
		counter->bytes += bpf_xdp_get_buff_len(xdp);
	}
	return XDP_DROP;
}

int prefilter(struct xdp_md *xdp)
{
	struct cursor cursor = frame_of(xdp);
	__be16 ethertype = take_ethertype(&cursor);

	if (ethertype == htons(ETHERTYPE_IPV4)) {
		const struct ipv4_header *ip = take(&cursor, sizeof(*ip));

		return ip && is_refused4(ip->source) ? refuse(xdp) : XDP_PASS;
	}
	if (ethertype == htons(ETHERTYPE_IPV6)) {
		const struct ipv6_header *ip = take(&cursor, sizeof(*ip));

		return ip && is_refused6(&ip->source) ? refuse(xdp) : XDP_PASS;
	}
	return XDP_PASS;
}
