/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What stands between the Ethernet header of the underlay and the workload's IP packet: VXLAN over IPv4. */
#ifndef NETLOOM_VXLAN_H
#define NETLOOM_VXLAN_H

#include "lib/headers.h"

struct vxlan_headers {
	struct ipv4_header ip;
	struct udp_header udp;
	struct vxlan_header vxlan;
	struct eth_header inner;
};

/* Not sizeof(), which counts padding. */
#define VXLAN_HEADERS_BYTES (__builtin_offsetof(struct vxlan_headers, inner) + sizeof(struct eth_header))

/* Explicit congestion notification (RFC 3168): the lower two bits of TOS. */
#define ECN_MASK 3
#define ECN_CAPABLE 2
#define ECN_CONGESTED 3

#endif
