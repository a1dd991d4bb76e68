/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The Internet checksum (RFC 1071); sums are kept unfolded in 32 bits. */
#ifndef NETLOOM_CHECKSUM_H
#define NETLOOM_CHECKSUM_H

#include "lib/headers.h"

static __always_inline __sum16 checksum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__sum16)~sum;
}

/* Add `bytes` bytes, a multiple of 4, to a sum. */
static __always_inline __u32 checksum_add(__u32 sum, void *from, __u32 bytes)
{
	return (__u32)bpf_csum_diff(NULL, 0, from, bytes, sum);
}

/* Sum of an IPv4 header without options: of one that carries its checksum, folded, 0. Cheaper than a helper's call. */
static __always_inline __u32 checksum_of_ipv4(const struct ipv4_header *ip)
{
	const __u32 *words = (const void *)ip;
	__u64 sum = (__u64)words[0] + words[1] + words[2] + words[3] + words[4];

	sum = (sum & 0xffffffff) + (sum >> 32);
	return (__u32)((sum & 0xffff) + (sum >> 16));
}

/* A checksum after one 16-bit word it covers has changed: RFC 1624, equation 3. */
static __always_inline __sum16 checksum_update(__sum16 check, __be16 before, __be16 after)
{
	return checksum_fold((__u32)(__u16)~check + (__u16)~before + after);
}

#endif
