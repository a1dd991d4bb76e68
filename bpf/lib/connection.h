/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Connections: which one a packet belongs to, and what has become of it. */
#ifndef NETLOOM_CONNECTION_H
#define NETLOOM_CONNECTION_H

#include "gen/maps.h"
#include "lib/ports.h"

/* How long an entry lives behind its last packet; figures as in Cilium. */
#define LIFETIME_TCP (21600 * NS_PER_S)
#define LIFETIME_TCP_BEGINNING (60 * NS_PER_S)
#define LIFETIME_TCP_CLOSING (10 * NS_PER_S)
#define LIFETIME_OTHER (60 * NS_PER_S)

#define CONNECTION_CLOSED (CONNECTION_FLAG_CLOSED_BY_SOURCE | CONNECTION_FLAG_CLOSED_BY_DESTINATION)

/* Who is at the two ends, the beginner first, in one word: whoever reads while it changes finds both old or both new. */
union identities {
	struct {
		__u32 source;
		__u32 destination;
	};
	__u64 both;
};

typedef volatile __u64 __attribute__((may_alias)) identities_word;

/* Any order will do, as long as it is the same for both ways; of IPv4 the last word alone differs. */
static __always_inline bool is_higher(const struct addr *one, const struct addr *other)
{
	const __be32 *a = one->words, *b = other->words;

	if (a[3] != b[3])
		return a[3] > b[3];
	if (a[2] != b[2])
		return a[2] > b[2];
	if (a[1] != b[1])
		return a[1] > b[1];
	return a[0] > b[0];
}

/* Write the key of a packet's connection, all but its padding; says whether the source is the higher end. */
static __always_inline __u8 name_connection(struct connection_key *key, const struct addr *source,
					    const struct addr *destination, const struct l4 *l4)
{
	key->protocol = l4->protocol;
	if (is_higher(source, destination)) {
		key->low = *destination;
		key->high = *source;
		key->low_port = l4->destination;
		key->high_port = l4->source;
		return true;
	}
	key->low = *source;
	key->high = *destination;
	key->low_port = l4->source;
	key->high_port = l4->destination;
	return false;
}

/*
 * Merged into one call with a map that is chosen at run time, the two lookups would cost twice as much: the kernel puts
 * the lookup of a map it knows into the program. Cost: 1 LRU hash.
 */
static __always_inline struct connection_info *connection_of(const struct connection_key *key)
{
	struct connection_info *found;

	if (key->protocol != PROTOCOL_TCP)
		return connections_any.lookup((struct connection_key *)key);
	found = connections_tcp.lookup((struct connection_key *)key);
	asm volatile("" : "+r"(found));
	return found;
}

_Static_assert(CONNECTION_FLAG_BEGUN_BY_HIGH == 1, "is_other_way() takes it for a truth value");

/* Whether a packet goes the other way than the first one of its connection. */
static __always_inline __u8 is_other_way(const struct connection_info *entry, __u8 is_from_high)
{
	return (entry->flags & CONNECTION_FLAG_BEGUN_BY_HIGH) ^ is_from_high;
}

static __always_inline __u64 identities_of(const struct connection_info *entry)
{
	return *(const identities_word *)&entry->source_identity;
}

/*
 * SYN alone begins a connection, whatever is left of one before, and whoever began that; except for a SYN that is sent
 * again because nobody has answered yet.
 */
static __always_inline bool begins_anew(const struct connection_info *entry, const struct l4 *l4, __u8 is_reply)
{
	if ((l4->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return false;
	return is_reply || entry->flags & ~CONNECTION_FLAG_BEGUN_BY_HIGH;
}

/* A query by whoever was asked, or an answer by whoever asked. */
static __always_inline bool is_out_of_turn(const struct l4 *l4, __u8 is_reply)
{
	return is_reply ? l4->role == ROLE_QUERY : l4->role == ROLE_ANSWER;
}

/* What a packet adds. Of TCP a connection stands by what comes behind SYN and its answer, which anybody can provoke. */
static __always_inline __u16 flags_of(const struct connection_info *entry, const struct l4 *l4, __u8 is_reply)
{
	__u16 flags = is_reply ? CONNECTION_FLAG_ANSWERED : 0;

	if (l4->tcp_flags & TCP_RST)
		return CONNECTION_FLAG_RESET;
	if (!(l4->tcp_flags & TCP_SYN) && (is_reply || entry->flags & CONNECTION_FLAG_ANSWERED))
		flags |= CONNECTION_FLAG_ESTABLISHED;
	if (l4->tcp_flags & TCP_FIN)
		flags |= is_reply ? CONNECTION_FLAG_CLOSED_BY_DESTINATION : CONNECTION_FLAG_CLOSED_BY_SOURCE;
	return flags;
}

static __always_inline __u64 lifetime_of(__u8 protocol, __u16 flags)
{
	if (protocol != PROTOCOL_TCP)
		return LIFETIME_OTHER;
	if (flags & CONNECTION_FLAG_RESET || (flags & CONNECTION_CLOSED) == CONNECTION_CLOSED)
		return LIFETIME_TCP_CLOSING;
	return flags & CONNECTION_FLAG_ESTABLISHED ? LIFETIME_TCP : LIFETIME_TCP_BEGINNING;
}

/* Account for one more packet of a connection. CPUs may do so at once: sums are exact, the rest is as good by either. */
static __always_inline void note_packet(struct connection_info *entry, const struct l4 *l4, __u8 is_reply, __u64 now_ns,
					__u64 bytes)
{
	__u16 flags = (entry->flags & ~CONNECTION_FLAG_REFUSED) | flags_of(entry, l4, is_reply);

	if (flags != entry->flags)
		entry->flags = flags;
	entry->expires_ns = now_ns + lifetime_of(l4->protocol, flags);
	if (is_reply) {
		__sync_fetch_and_add(&entry->received_packets, 1);
		__sync_fetch_and_add(&entry->received_bytes, bytes);
	} else {
		__sync_fetch_and_add(&entry->sent_packets, 1);
		__sync_fetch_and_add(&entry->sent_bytes, bytes);
	}
}

/* Note between whom a connection was judged, and under which epoch; in this order, since an epoch vouches for them. */
static __always_inline void note_judged(struct connection_info *entry, union identities identities, __u32 epoch)
{
	*(identities_word *)&entry->source_identity = identities.both;
	asm volatile("" : : : "memory");
	entry->epoch = epoch;
}

/* Flags of a connection whose first packet this is. */
static __always_inline __u16 first_flags(const struct l4 *l4, __u8 is_from_high)
{
	__u16 flags = is_from_high ? CONNECTION_FLAG_BEGUN_BY_HIGH : 0;

	if (l4->tcp_flags & TCP_RST)
		flags |= CONNECTION_FLAG_RESET;
	if (l4->tcp_flags & TCP_FIN)
		flags |= CONNECTION_FLAG_CLOSED_BY_SOURCE;
	/* Met in its middle, as after an entry was evicted: it was answered before. */
	if (l4->tcp_flags & TCP_ACK)
		flags |= CONNECTION_FLAG_ANSWERED;
	return flags;
}

#endif
