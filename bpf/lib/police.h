/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a workload may send at most. The queue on its own interface keeps it to its rate; this is the law behind it,
 * since a container with the right to change its network can take that queue away, or send past it.
 */
#ifndef NETLOOM_POLICE_H
#define NETLOOM_POLICE_H

#include "lib/endpoint.h"
#include "lib/hop.h"

/* `policer_info.ns_per_64kib` is the time of as many bytes as a number of 16 bits can tell apart. */
#define BITS_OF_64KIB 16

/* No buffer comes to more; a time that is too long for 64 bits would count for nothing. */
#define WIRE_BYTES_MAX (1 << 24)

/* How often to try again when another CPU has moved the clock meanwhile; each time, that one's packet has passed. */
#define POLICE_ATTEMPTS 4

/*
 * Bytes of all frames this buffer will be, as a queue counts them: the headers stand in each segment. Segments are
 * counted from the packet, since a workload may give their number as it likes.
 */
static __always_inline __u64 wire_bytes(struct __sk_buff *skb, const struct packet *packet)
{
	__u32 header_bytes, size = skb->gso_size;

	if (!size || size == GSO_BY_FRAGS)
		return skb->len;
	header_bytes = packet->l4_offset + repeated_l4_bytes(skb, packet);
	if (skb->len <= header_bytes)
		return skb->len;
	return skb->len + (skb->len - header_bytes - 1) / size * (__u64)header_bytes;
}

/*
 * The generic cell rate algorithm (ITU-T I.371, annex A) in the form of a virtual clock: a packet passes unless the
 * clock is ahead of the time by more than the burst. No two packets move the clock from the same place, on whatever
 * CPUs they are. Cost: 1 hash.
 */
static __always_inline int police(struct __sk_buff *skb, struct flow *flow, const struct packet *packet)
{
	struct device_key key = { .ifindex = skb->ifindex };
	struct policer_info *policer = policers.lookup(&key);
	__u64 bytes = wire_bytes(skb, packet);
	__u64 cost, now, clock, start, seen;

	if (!policer)
		return drop(flow, DROP_NOT_READY);
	if (bytes > WIRE_BYTES_MAX)
		return drop(flow, DROP_RATE_LIMITED);
	cost = bytes * policer->ns_per_64kib >> BITS_OF_64KIB;
	now = bpf_ktime_get_ns();
	clock = policer->clock_ns;
#pragma clang loop unroll(disable)
	for (int attempt = 0; attempt < POLICE_ATTEMPTS; attempt++) {
		start = clock > now ? clock : now;
		if (start - now > policer->burst_ns)
			return drop(flow, DROP_RATE_LIMITED);
		seen = __sync_val_compare_and_swap(&policer->clock_ns, clock, start + cost);
		if (seen == clock)
			return 0;
		clock = seen;
	}
	return drop(flow, DROP_RATE_LIMITED);
}

#endif
