/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Protocol headers as they stand on the wire; multi-byte fields are in network order. */
#ifndef NETLOOM_HEADERS_H
#define NETLOOM_HEADERS_H

#include "gen/layouts.h"
#include "lib/common.h"

#define MAC_BYTES 6

/* Ethernet II. A "type" below ETHERTYPE_MIN is the length of an 802.3 frame. */
#define ETHERTYPE_MIN 0x0600
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8
#define ETHERTYPE_IPV6 0x86dd

struct eth_header {
	__u8 destination[MAC_BYTES];
	__u8 source[MAC_BYTES];
	__be16 ethertype;
};

/* RFC 826, for IPv4 over Ethernet. */
#define ARP_HARDWARE_ETHERNET 1
#define ARP_REQUEST 1
#define ARP_REPLY 2

struct arp_header {
	__be16 hardware_type;
	__be16 protocol_type;
	__u8 hardware_bytes;
	__u8 protocol_bytes;
	__be16 operation;
	__u8 sender_mac[MAC_BYTES];
	__be32 sender;
	__u8 target_mac[MAC_BYTES];
	__be32 target;
} __packed;

/* RFC 791. */
#define IPV4_DONT_FRAGMENT 0x4000
#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV4_OFFSET_MASK 0x1fff

struct ipv4_header {
	__u8 version_words;	/* version, and header length in 32-bit words */
	__u8 tos;
	__be16 total_bytes;
	__be16 id;
	__be16 fragment;	/* flags, and offset in units of 8 bytes */
	__u8 ttl;
	__u8 protocol;
	__sum16 check;
	__be32 source;
	__be32 destination;
};

/* RFC 8200. */
#define IPV6_FLOW_MASK 0x0fffffff	/* class and label */

struct ipv6_header {
	__be32 version_class_flow;
	__be16 payload_bytes;
	__u8 next_header;
	__u8 hop_limit;
	struct addr source;
	struct addr destination;
};

/* Start of every extension header; what `length` counts depends on its kind. */
struct ipv6_extension {
	__u8 next_header;
	__u8 length;
};

/* Offset, and "more"; without either the packet is whole (RFC 6946). */
#define IPV6_FRAGMENT_MASK 0xfff9

struct ipv6_fragment {
	__u8 next_header;
	__u8 reserved;
	__be16 offset;		/* offset in units of 8 bytes in the upper 13 bits, "more" in the lowest */
	__be32 id;
};

/* IANA protocol numbers; the IPv6 extension headers share their space. */
#define PROTOCOL_HOP_BY_HOP 0
#define PROTOCOL_ICMP 1
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ROUTING 43
#define PROTOCOL_FRAGMENT 44
#define PROTOCOL_AUTHENTICATION 51
#define PROTOCOL_ICMP6 58
#define PROTOCOL_DESTINATION 60
#define PROTOCOL_SCTP 132

/* RFC 768. */
struct udp_header {
	__be16 source;
	__be16 destination;
	__be16 bytes;		/* with this header */
	__sum16 check;		/* 0: none */
};

/* RFC 7348. */
#define VXLAN_VNI_PRESENT 0x08000000

struct vxlan_header {
	__be32 flags;
	__be32 vni;		/* in the upper 24 bits */
};

/* RFC 792 and RFC 4443; `rest` is the MTU where the type carries one (RFC 1191, RFC 4443 section 3.2). */
#define ICMP_ECHO_REPLY 0
#define ICMP_UNREACHABLE 3
#define ICMP_HOST_UNREACHABLE 1
#define ICMP_FRAGMENTATION_NEEDED 4
#define ICMP_SOURCE_QUENCH 4
#define ICMP_REDIRECT 5
#define ICMP_ECHO_REQUEST 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
#define ICMP_TIMESTAMP_REQUEST 13
#define ICMP_TIMESTAMP_REPLY 14
#define ICMP6_UNREACHABLE 1
#define ICMP6_PACKET_TOO_BIG 2
#define ICMP6_TIME_EXCEEDED 3
#define ICMP6_PARAMETER_PROBLEM 4
#define ICMP6_FIRST_INFORMATIONAL 128
#define ICMP6_ECHO_REQUEST 128
#define ICMP6_ECHO_REPLY 129

struct icmp_header {
	__u8 type;
	__u8 code;
	__sum16 check;
	__be32 rest;
};

/* RFC 4861: every neighbour-discovery message is sent with the greatest hop limit, so none came through a router. */
#define ND_ROUTER_SOLICITATION 133
#define ND_SOLICITATION 135
#define ND_ADVERTISEMENT 136
#define ND_REDIRECT 137
#define ND_HOP_LIMIT 255
#define ND_ROUTER 0x80000000
#define ND_SOLICITED 0x40000000
#define ND_OVERRIDE 0x20000000
#define ND_OPTION_TARGET_MAC 2

/* A solicitation, or an advertisement without its option. */
struct nd_header {
	struct icmp_header icmp;
	struct addr target;
};

struct nd_option_mac {
	__u8 type;
	__u8 length;		/* in units of 8 bytes */
	__u8 mac[MAC_BYTES];
};

#endif
