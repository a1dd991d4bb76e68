/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Turn a packet into the ICMP error about it (RFC 792, RFC 4443). */
#ifndef NETLOOM_ICMP_H
#define NETLOOM_ICMP_H

#include "lib/checksum.h"
#include "lib/node.h"
#include "lib/packet.h"

/*
 * How much of the packet an error quotes. More than RFC 792 asks for, since the kernel cuts no buffer
 * shorter than the place where its pending L4 checksum goes: 78 bytes behind the longest IPv4 header.
 */
#define QUOTE_BYTES 96
#define ICMP_TTL 64

/* Errors are never about errors, nor about fragments that do not show what they belong to (RFC 1122, 3.2.2). */
static __always_inline bool may_be_told(struct __sk_buff *skb, const struct packet *packet)
{
	__u8 type;

	if (packet->is_later_fragment)
		return false;
	if (packet->protocol != (packet->is_ipv6 ? PROTOCOL_ICMP6 : PROTOCOL_ICMP))
		return true;
	if (!copy_from(skb, packet->l4_offset, &type, sizeof(type)))
		return false;
	if (packet->is_ipv6)
		return type >= ICMP6_FIRST_INFORMATIONAL;
	return type != ICMP_UNREACHABLE && type != ICMP_SOURCE_QUENCH && type != ICMP_REDIRECT &&
	       type != ICMP_TIME_EXCEEDED && type != ICMP_PARAMETER_PROBLEM;
}

/* Copy the start of the packet into a zeroed quote; returns how much, 0 when it cannot be read. */
static __always_inline __u32 quote_packet(struct __sk_buff *skb, const struct packet *packet, __u8 *quote)
{
	return copy_up_to(skb, L3_OFFSET, quote, packet->l3_bytes, QUOTE_BYTES);
}

/* Put the `bytes` first bytes of an error in the packet's place. */
static __always_inline int replace_packet(struct __sk_buff *skb, struct flow *flow, void *error, __u32 bytes)
{
	if (bpf_skb_change_tail(skb, L3_OFFSET + bytes, 0))
		return drop(flow, DROP_WRITE_ERROR);
	if (bpf_skb_store_bytes(skb, L3_OFFSET, error, bytes, 0))
		return drop(flow, DROP_WRITE_ERROR);
	return 0;
}

#endif
