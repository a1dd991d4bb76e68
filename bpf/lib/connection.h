/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Connections: which one a packet belongs to, and what has become of it. */
#ifndef NETLOOM_CONNECTION_H
#define NETLOOM_CONNECTION_H

#include "gen/maps.h"
#include "lib/ports.h"

#define NS_PER_S 1000000000ULL

/* How long an entry lives behind its last packet; figures as in Cilium. */
#define LIFETIME_TCP (21600 * NS_PER_S)
#define LIFETIME_TCP_BEGINNING (60 * NS_PER_S)
#define LIFETIME_TCP_CLOSING (10 * NS_PER_S)
#define LIFETIME_OTHER (60 * NS_PER_S)

#define CONNECTION_CLOSED (CONNECTION_FLAG_CLOSED_BY_SOURCE | CONNECTION_FLAG_CLOSED_BY_DESTINATION)

/* A packet's place in its connection. */
struct tracked {
	struct connection_key key;
	struct connection_info *entry;	/* NULL: none that is alive */
	__u64 now_ns;
	__be16 service;		/* as policies see it: destination port, or type of ICMP */
	__u8 protocol;
	bool is_from_high;
	bool is_reply;		/* with an entry: sent by the end that did not begin */
	bool is_kept;		/* whether an entry may be made: its answers can be told */
};

/* Any order will do, as long as it is the same for both ways; of IPv4 the last word alone differs. */
static __always_inline bool is_unsorted(const struct connection_key *key)
{
	const __be32 *low = key->low.words, *high = key->high.words;

	if (low[3] != high[3])
		return low[3] > high[3];
	if (low[2] != high[2])
		return low[2] > high[2];
	if (low[1] != high[1])
		return low[1] > high[1];
	if (low[0] != high[0])
		return low[0] > high[0];
	return key->low_port > key->high_port;
}

/* Make a key of one whose lower end is the source; says whether the source is the higher one. */
static __always_inline bool sort_key(struct connection_key *key)
{
	struct addr address = key->low;
	__be16 port = key->low_port;

	if (!is_unsorted(key))
		return false;
	key->low = key->high;
	key->low_port = key->high_port;
	key->high = address;
	key->high_port = port;
	return true;
}

/* Cost: 1 LRU hash. */
static __always_inline struct connection_info *connection_of(const struct connection_key *key)
{
	if (key->protocol == PROTOCOL_TCP)
		return connections_tcp.lookup((struct connection_key *)key);
	return connections_any.lookup((struct connection_key *)key);
}

static __always_inline bool is_begun_by_high(const struct connection_info *entry)
{
	return entry->flags & CONNECTION_FLAG_BEGUN_BY_HIGH;
}

/* SYN alone begins; where everything was over it begins anew, whatever is left of the connection before. */
static __always_inline bool begins_anew(const struct connection_info *entry, const struct l4 *l4)
{
	if (l4->protocol != PROTOCOL_TCP || (l4->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return false;
	return entry->flags & CONNECTION_FLAG_RESET ||
	       (entry->flags & CONNECTION_CLOSED) == CONNECTION_CLOSED;
}

/* Find a packet's connection. */
static __always_inline void track(struct tracked *tracked, const struct packet *packet, const struct l4 *l4)
{
	tracked->now_ns = bpf_ktime_get_ns();
	tracked->service = l4->service;
	tracked->protocol = l4->protocol;
	tracked->is_kept = l4->is_kept;
	tracked->is_reply = false;
	tracked->entry = NULL;
	tracked->key.low = packet->source;
	tracked->key.high = packet->destination;
	tracked->key.low_port = l4->source;
	tracked->key.high_port = l4->destination;
	tracked->key.protocol = l4->protocol;
	tracked->is_from_high = sort_key(&tracked->key);
	if (!l4->is_kept)
		return;
	tracked->entry = connection_of(&tracked->key);
	if (!tracked->entry)
		return;
	if (tracked->now_ns >= tracked->entry->expires_ns || begins_anew(tracked->entry, l4))
		tracked->entry = NULL;
	else
		tracked->is_reply = tracked->is_from_high != is_begun_by_high(tracked->entry);
}

/* What a TCP packet changes; flags only ever come. */
static __always_inline __u16 flags_of(const struct tracked *tracked, const struct l4 *l4)
{
	__u16 flags = 0;

	if (tracked->is_reply && !(l4->tcp_flags & TCP_RST))
		flags |= CONNECTION_FLAG_ANSWERED;
	if (l4->tcp_flags & TCP_RST)
		flags |= CONNECTION_FLAG_RESET;
	if (l4->tcp_flags & TCP_FIN)
		flags |= tracked->is_reply ? CONNECTION_FLAG_CLOSED_BY_DESTINATION : CONNECTION_FLAG_CLOSED_BY_SOURCE;
	return flags;
}

static __always_inline __u64 lifetime_of(__u8 protocol, __u16 flags)
{
	if (protocol != PROTOCOL_TCP)
		return LIFETIME_OTHER;
	if (flags & CONNECTION_FLAG_RESET || (flags & CONNECTION_CLOSED) == CONNECTION_CLOSED)
		return LIFETIME_TCP_CLOSING;
	return flags & CONNECTION_FLAG_ANSWERED ? LIFETIME_TCP : LIFETIME_TCP_BEGINNING;
}

/* Account for one more packet of a connection. CPUs may do so at once: sums are exact, the rest is as good by either. */
static __always_inline void note_packet(const struct tracked *tracked, const struct l4 *l4, __u64 bytes)
{
	struct connection_info *entry = tracked->entry;
	__u16 flags = entry->flags | flags_of(tracked, l4);

	if (flags != entry->flags)
		entry->flags = flags;
	entry->expires_ns = tracked->now_ns + lifetime_of(l4->protocol, flags);
	if (tracked->is_reply) {
		__sync_fetch_and_add(&entry->received_packets, 1);
		__sync_fetch_and_add(&entry->received_bytes, bytes);
	} else {
		__sync_fetch_and_add(&entry->sent_packets, 1);
		__sync_fetch_and_add(&entry->sent_bytes, bytes);
	}
}

/* Remember a connection by its first packet; false when the kernel has no room. */
static __always_inline bool begin(const struct tracked *tracked, const struct l4 *l4, const struct flow *flow,
				  __u32 epoch, __u64 bytes)
{
	struct connection_info fresh = {
		.sent_packets = 1,
		.sent_bytes = bytes,
		.source_identity = flow->source_identity,
		.destination_identity = flow->destination_identity,
		.epoch = epoch,
		.service = l4->service,
	};

	if (l4->tcp_flags & TCP_RST)
		fresh.flags |= CONNECTION_FLAG_RESET;
	if (l4->tcp_flags & TCP_FIN)
		fresh.flags |= CONNECTION_FLAG_CLOSED_BY_SOURCE;
	/* Met in its middle, as after an entry was evicted: it was answered before. */
	if (l4->tcp_flags & TCP_ACK)
		fresh.flags |= CONNECTION_FLAG_ANSWERED;
	fresh.expires_ns = tracked->now_ns + lifetime_of(l4->protocol, fresh.flags);
	if (tracked->is_from_high)
		fresh.flags |= CONNECTION_FLAG_BEGUN_BY_HIGH;
	if (l4->protocol == PROTOCOL_TCP)
		return !connections_tcp.update((struct connection_key *)&tracked->key, &fresh);
	return !connections_any.update((struct connection_key *)&tracked->key, &fresh);
}

#endif
