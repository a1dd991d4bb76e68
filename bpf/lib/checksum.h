/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The Internet checksum (RFC 1071); sums are kept unfolded in 32 bits. */
#ifndef NETLOOM_CHECKSUM_H
#define NETLOOM_CHECKSUM_H

#include "lib/common.h"

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

/* A checksum after one 16-bit word it covers has changed: RFC 1624, equation 3. */
static __always_inline __sum16 checksum_update(__sum16 check, __be16 before, __be16 after)
{
	return checksum_fold((__u32)(__u16)~check + (__u16)~before + after);
}

#endif
