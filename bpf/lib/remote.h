/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where an address lives that no endpoint of this node has. */
#ifndef NETLOOM_REMOTE_H
#define NETLOOM_REMOTE_H

#include "gen/maps.h"
#include "lib/addr.h"
#include "lib/flow.h"

#define ADDR_BITS 128

/* What locate() found; a negative value is a drop reason. */
#define LOCATED_REMOTE 0	/* behind flow->tunnel_endpoint */
#define LOCATED_OUTSIDE 1	/* nowhere in the cluster */
#define LOCATED_HERE 2		/* never by locate(): an endpoint of this node */
#define LOCATED_NATIVE 3	/* where the node's routes lead, as it is */

/* Cost: 1 longest-prefix match. */
static __always_inline const struct ipcache_info *ipcache_of(const struct addr *address)
{
	struct ipcache_key key = { .prefix = { .prefix_len = ADDR_BITS, .address = *address } };

	return ipcache.lookup(&key);
}

/* Cost: 1 longest-prefix match. */
static __always_inline const struct tunnel_info *tunnel_of(const struct addr *address)
{
	struct tunnel_key key = { .prefix = { .prefix_len = ADDR_BITS, .address = *address } };

	return tunnels.lookup(&key);
}

/*
 * The ipcache knows single endpoints with their identities. Of an endpoint whose identity has not come yet whole pod
 * prefixes are known: those reached natively to the ipcache too, with no identity, so that one lookup does; those
 * behind tunnels to a table of their own. Cost: 1 longest-prefix match, 2 for what is neither native nor known.
 */
static __always_inline int locate(struct flow *flow, const struct addr *address)
{
	const struct ipcache_info *entry = ipcache_of(address);
	const struct tunnel_info *tunnel;

	flow->destination_identity = entry ? entry->identity : IDENTITY_WORLD;
	if (entry && entry->flags & IPCACHE_FLAG_NATIVE)
		return LOCATED_NATIVE;
	if (entry && !addr_is_unset(&entry->tunnel_endpoint)) {
		flow->tunnel_endpoint = entry->tunnel_endpoint;
		return LOCATED_REMOTE;
	}
	if (entry && entry->flags & IPCACHE_FLAG_LOCAL_POD_CIDR)
		return drop(flow, DROP_UNKNOWN_TARGET);
	tunnel = tunnel_of(address);
	if (!tunnel)
		return LOCATED_OUTSIDE;
	flow->destination_identity = IDENTITY_UNKNOWN;
	if (addr_is_unset(&tunnel->tunnel_endpoint))
		return drop(flow, DROP_NO_TUNNEL_ENDPOINT);
	flow->tunnel_endpoint = tunnel->tunnel_endpoint;
	return LOCATED_REMOTE;
}

#endif
