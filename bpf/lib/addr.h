/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses in their one 16-byte form: IPv4 stands v4-mapped, ::ffff:a.b.c.d. */
#ifndef NETLOOM_ADDR_H
#define NETLOOM_ADDR_H

#include "lib/headers.h"

#define V4_MAPPED_WORD htonl(0x0000ffff)

static __always_inline void addr_from_ipv4(struct addr *addr, __be32 ipv4)
{
	addr->words[0] = 0;
	addr->words[1] = 0;
	addr->words[2] = V4_MAPPED_WORD;
	addr->words[3] = ipv4;
}

static __always_inline bool addr_is_ipv4(const struct addr *addr)
{
	return !addr->words[0] && !addr->words[1] && addr->words[2] == V4_MAPPED_WORD;
}

/* `::`, which in maps says "none". */
static __always_inline bool addr_is_unset(const struct addr *addr)
{
	return !(addr->words[0] | addr->words[1] | addr->words[2] | addr->words[3]);
}

static __always_inline bool addr_equal(const struct addr *a, const struct addr *b)
{
	return !((a->words[0] ^ b->words[0]) | (a->words[1] ^ b->words[1]) |
		 (a->words[2] ^ b->words[2]) | (a->words[3] ^ b->words[3]));
}

/* fe80::/10 */
static __always_inline bool addr_is_link_local(const struct addr *addr)
{
	return (addr->words[0] & htonl(0xffc00000)) == htonl(0xfe800000);
}

/* 224.0.0.0/4, 255.255.255.255 or ff00::/8 */
static __always_inline bool addr_is_multicast(const struct addr *addr)
{
	if (!addr_is_ipv4(addr))
		return (addr->words[0] & htonl(0xff000000)) == htonl(0xff000000);
	return (addr->words[3] & htonl(0xf0000000)) == htonl(0xe0000000) || addr->words[3] == htonl(0xffffffff);
}

/* MAC addresses stand at even offsets in all headers and maps, so three words serve for six bytes. */
typedef __u16 __attribute__((may_alias)) mac_word;

static __always_inline bool mac_equal(const void *a, const void *b)
{
	const mac_word *x = a, *y = b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]));
}

static __always_inline void mac_copy(void *to, const void *from)
{
	const mac_word *source = from;
	mac_word *destination = to;

	destination[0] = source[0];
	destination[1] = source[1];
	destination[2] = source[2];
}

#endif
