"""What facts about the cluster ask of the tables."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from netloom.datapath.registry import (
    DeviceFlag,
    DeviceKey,
    EndpointFlag,
    EndpointKey,
    IpcacheFlag,
    IpcacheKey,
    PeerKey,
    TunnelKey,
)
from netloom.model.address import host_prefix
from netloom.model.bandwidth import Bandwidth, RateLimit
from netloom.model.endpoint import Attachment, Endpoint, EndpointId, EndpointState, IfIndex
from netloom.model.identity import IdentityId, Reserved
from netloom.model.node import Node, RemoteAddress
from netloom.plan.claims import (
    NO_TUNNEL,
    HostDevice,
    endpoint_claims,
    local_node_claims,
    native_cidr_claims,
    remote_address_claims,
    remote_node_claims,
    world_claims,
)
from netloom.plan.shaping import policer_of
from netloom.plugins.contract import Reach, RouteSpec

NODE = Node(
    name="node1",
    underlay_ipv4=IPv4Address("192.168.77.11"),
    underlay_ipv6=None,
    pod_cidrs=(IPv4Network("10.244.1.0/24"), IPv6Network("fd00:10:244:1::/64")),
    gateways=(IPv4Address("10.244.1.1"), IPv6Address("fd00:10:244:1::1")),
    mode="vxlan",
)
UNDERLAY = IPv4Address("192.168.77.12")
REACH = Reach(tunnels={IPv4Network("10.244.2.0/24"): UNDERLAY}, peers=frozenset({UNDERLAY}))
REMOTE = replace(
    NODE,
    name="node2",
    underlay_ipv4=UNDERLAY,
    pod_cidrs=(IPv4Network("10.244.2.0/24"),),
    gateways=(IPv4Address("10.244.2.1"),),
)
HOST = HostDevice(name="loom_host", ifindex=7, mac=b"\x02\0\0\0\0\x07")
ENDPOINT = Endpoint(
    id=EndpointId(5),
    attachment=Attachment(container_id="c1", ifname="eth0", netns="/run/netns/c1"),
    ipv4=IPv4Address("10.244.1.9"),
    ipv6=IPv6Address("fd00:10:244:1::9"),
    ifindex=IfIndex(12),
    mac=b"\x02\0\0\0\0\x0c",
    node_mac=b"\x02\0\0\0\0\x0d",
    identity=IdentityId(300),
    labels=frozenset(),
    state=EndpointState.READY,
)


def test_an_endpoint_is_delivered_to_by_both_its_addresses() -> None:
    """Same entry under the IPv4 and the IPv6 address."""
    claims = endpoint_claims(ENDPOINT)
    info = claims.endpoints[EndpointKey(IPv4Address("10.244.1.9"))]
    assert claims.endpoints[EndpointKey(IPv6Address("fd00:10:244:1::9"))] == info
    assert (info.ifindex, info.identity, info.id, info.flags) == (12, 300, 5, 0)


def test_an_endpoints_device_may_send_as_that_endpoint_only() -> None:
    """The device's entry holds both addresses and the workload's MAC."""
    sender = endpoint_claims(ENDPOINT).devices[DeviceKey(12)]
    assert (sender.ipv4, sender.ipv6, sender.mac) == (ENDPOINT.ipv4, ENDPOINT.ipv6, ENDPOINT.mac)


def test_an_endpoint_with_limits_is_measured_where_it_sends_and_queued_for_where_it_receives() -> None:
    """Each direction for itself; without a limit nothing is flagged, and nothing is looked up."""
    limit = RateLimit(rate_bps=10**6, burst_bits=10**6)
    sending = endpoint_claims(replace(ENDPOINT, bandwidth=Bandwidth(egress=limit)))
    receiving = endpoint_claims(replace(ENDPOINT, bandwidth=Bandwidth(ingress=limit)))
    for claims, device_flags, flags in ((sending, DeviceFlag.POLICED, 0), (receiving, 0, EndpointFlag.SHAPED)):
        assert claims.devices[DeviceKey(12)].flags == device_flags
        assert {info.flags for info in claims.endpoints.values()} == {flags}
    assert (sending.policers, receiving.policers) == ({DeviceKey(12): policer_of(limit)}, {})


def test_a_policer_at_work_is_the_one_that_is_wanted() -> None:
    """Its clock is the data path's: a resync sees no difference in it, and does not turn it back."""
    wanted = policer_of(RateLimit(rate_bps=10**6, burst_bits=10**6))
    assert replace(wanted, clock_ns=2**60) == wanted


def test_an_endpoint_without_ipv6_claims_one_address() -> None:
    """Nothing is claimed for a family that is not served."""
    claims = endpoint_claims(replace(ENDPOINT, ipv6=None))
    assert len(claims.endpoints) == 1
    assert claims.devices[DeviceKey(12)].ipv6 == IPv6Address("::")


def test_the_nodes_own_addresses_lead_to_the_host() -> None:
    """Gateway and underlay addresses carry the HOST flag and identity."""
    claims = local_node_claims(NODE, HOST, [IPv4Address("192.168.77.11")], 1450)
    for address in (*NODE.gateways, IPv4Address("192.168.77.11")):
        info = claims.endpoints[EndpointKey(address)]
        assert info.flags == EndpointFlag.HOST
        assert info.identity == Reserved.HOST


def test_own_pod_prefixes_are_local_and_routed_to_loom_host() -> None:
    """IPv4 by way of the gateway as Cilium does, IPv6 on the device."""
    claims = local_node_claims(NODE, HOST, [], 1450)
    for cidr in NODE.pod_cidrs:
        assert claims.ipcache[IpcacheKey(cidr)].flags == IpcacheFlag.LOCAL_POD_CIDR
    assert claims.routes[IPv4Network("10.244.1.0/24")] == RouteSpec(
        prefix=IPv4Network("10.244.1.0/24"),
        device="loom_host",
        via=IPv4Address("10.244.1.1"),
        source=IPv4Address("10.244.1.1"),
        mtu_bytes=1450,
    )
    assert claims.routes[IPv6Network("fd00:10:244:1::/64")].via is None


def test_a_remote_node_is_reached_by_its_tunnel_and_known_by_its_addresses() -> None:
    """Gateway behind the tunnel, underlay address not."""
    claims = remote_node_claims(REMOTE, REACH)
    assert claims.tunnels[TunnelKey(IPv4Network("10.244.2.0/24"))].tunnel_endpoint == UNDERLAY
    assert PeerKey(UNDERLAY) in claims.peers
    gateway = claims.ipcache[IpcacheKey(host_prefix(IPv4Address("10.244.2.1")))]
    underlay = claims.ipcache[IpcacheKey(host_prefix(UNDERLAY))]
    assert (gateway.identity, gateway.tunnel_endpoint) == (Reserved.REMOTE_NODE, UNDERLAY)
    assert (underlay.identity, underlay.tunnel_endpoint) == (Reserved.REMOTE_NODE, NO_TUNNEL)


def test_a_remote_address_brings_its_identity_and_its_nodes_tunnel() -> None:
    """The tunnel is that of the prefix that holds the address."""
    remote = RemoteAddress(address=IPv4Address("10.244.2.9"), identity=301, node="node2")
    info = remote_address_claims(remote, REACH).ipcache[IpcacheKey(host_prefix(remote.address))]
    assert (info.identity, info.tunnel_endpoint) == (301, UNDERLAY)


NATIVE = Reach(native=frozenset({*REMOTE.pod_cidrs, host_prefix(UNDERLAY)}))


def test_a_node_reached_natively_is_known_by_its_prefix_and_by_name_to_nobody_yet() -> None:
    """Its own addresses are its own, by whichever prefix they are reached."""
    ipcache = remote_node_claims(REMOTE, NATIVE).ipcache
    found = {str(key): (info.identity, info.flags, info.tunnel_endpoint) for key, info in ipcache.items()}
    assert found == {
        "10.244.2.0/24": (Reserved.UNKNOWN, IpcacheFlag.NATIVE, NO_TUNNEL),
        "10.244.2.1/32": (Reserved.REMOTE_NODE, IpcacheFlag.NATIVE, NO_TUNNEL),
        "192.168.77.12/32": (Reserved.REMOTE_NODE, IpcacheFlag.NATIVE, NO_TUNNEL),
    }
    assert not remote_node_claims(REMOTE, NATIVE).tunnels


def test_a_remote_address_in_a_native_prefix_is_reached_natively() -> None:
    remote = RemoteAddress(address=IPv4Address("10.244.2.7"), identity=300, node="node2")
    (info,) = remote_address_claims(remote, NATIVE).ipcache.values()
    assert (info.identity, info.flags, info.tunnel_endpoint) == (300, IpcacheFlag.NATIVE, NO_TUNNEL)


def test_native_prefixes_outside_are_the_world() -> None:
    cidr = IPv4Network("198.51.100.0/24")
    (info,) = native_cidr_claims([cidr]).ipcache.values()
    assert (info.identity, info.flags, info.tunnel_endpoint) == (Reserved.WORLD, IpcacheFlag.NATIVE, NO_TUNNEL)


def test_everything_else_is_the_world() -> None:
    """Both families have a default."""
    infos = world_claims().ipcache
    assert {info.identity for info in infos.values()} == {Reserved.WORLD}
    assert {key.prefix.prefixlen for key in infos} == {0}
