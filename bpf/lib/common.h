/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Words of the compiler, of byte order and of tc that every other header uses. */
#ifndef NETLOOM_COMMON_H
#define NETLOOM_COMMON_H

/*
 * The compiler knows no BPF-to-BPF calls, so whatever is not a program must be inlined. A program needs
 * not every function of a header, and headers become part of its text: unused ones are no mistake.
 */
#define __always_inline inline __attribute__((always_inline, unused))

#define __packed __attribute__((packed))
#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define htons(value) ((__be16)__builtin_bswap16(value))
#define htonl(value) ((__be32)__builtin_bswap32(value))
#else
#define htons(value) ((__be16)(value))
#define htonl(value) ((__be32)(value))
#endif
#define ntohs(value) ((__u16)htons(value))
#define ntohl(value) ((__u32)htonl(value))

/*
 * What a direct-action program may tell tc (linux/pkt_cls.h), as far as ours do. What has become ours is never left
 * to the stack; UNSPEC is for packets on somebody else's device that are none of our business.
 */
#define TC_ACT_UNSPEC (-1)
#define TC_ACT_SHOT 2
#define TC_ACT_REDIRECT 7

#define NS_PER_S 1000000000ULL

/* skb->pkt_type of a frame that is addressed to the receiving device (linux/if_packet.h). */
#define PACKET_HOST 0

#endif
