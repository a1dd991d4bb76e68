"""Workloads: an interface that works when it is said to be made, and nothing at all when it cannot be."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from netloom.edge import sysctl
from netloom.edge import workload as module
from netloom.edge.netlink import Netlink
from netloom.edge.sysctl import read_sysctl
from netloom.edge.workload import Workload, WorkloadSpec, adopt_workload, create_workload, delete_workload
from netloom.model.address import Address
from netloom.model.errors import Conflict, Invalid, KernelError, NotFound, Unsupported
from support.bpf import load_verdict
from support.netns import Namespace, NamespaceFactory

pytestmark = pytest.mark.kernel

GATEWAYS = ip_address("10.244.1.1"), ip_address("fd00:10:244:1::1")
ADDRESSES = ip_address("10.244.1.7"), ip_address("fd00:10:244:1::7")


@pytest.fixture
def pod(make_netns: NamespaceFactory) -> Namespace:
    """A container's namespace."""
    return make_netns("pod")


@pytest.fixture
def spec(pod: Namespace) -> Iterator[WorkloadSpec]:
    """eth0 of both families in the pod, with a program that lets everything pass."""
    fd = load_verdict(0)
    yield WorkloadSpec(
        host_ifname="lxc0123456789ab",
        ifname="eth0",
        netns=str(pod.path),
        addresses=ADDRESSES,
        gateways=GATEWAYS,
        mtu_bytes=1450,
        program_fd=fd,
        program_name="from_container",
    )
    os.close(fd)


@pytest.fixture
def create(netns: Namespace, netlink: Netlink) -> Creator:
    """Creates in the node's namespace."""
    return Creator(netns, netlink)


class Creator:
    """``create_workload`` on the node ``netns``."""

    def __init__(self, netns: Namespace, netlink: Netlink) -> None:
        self.node, self.netlink = netns, netlink

    def __call__(self, spec: WorkloadSpec) -> Workload:
        return self.node.call(create_workload, self.netlink, spec)


def links_of(namespace: Namespace) -> set[str]:
    """Names of all links but the loopback."""
    return {link["ifname"] for link in json.loads(namespace.run("ip", "-json", "link"))} - {"lo"}


def routes_of(namespace: Namespace) -> list[str]:
    return [line.strip() for line in namespace.run("ip", "route", "show").splitlines()]


def test_the_host_side_is_up_marked_and_guarded(netlink: Netlink, create: Creator, spec: WorkloadSpec) -> None:
    made = create(spec)
    link, program = netlink.require_link(spec.host_ifname), netlink.filter_of(spec.host_ifname, "ingress")
    assert (link.ifindex, link.mac, link.up, link.alias) == (made.ifindex, made.host_mac, True, "netloom:n1")
    assert program is not None
    assert program.ours


def test_a_node_that_attaches_by_clsact_guards_it_too(netns: Namespace, spec: WorkloadSpec) -> None:
    """As kernels without tcx need it."""
    with netns.call(Netlink, "n1", "clsact") as netlink:
        netns.call(create_workload, netlink, spec)
        program = netlink.filter_of(spec.host_ifname, "ingress")
    assert program is not None
    assert program.name == "netloom/from_container"


def test_the_container_has_its_addresses_alone_in_their_prefixes(
    pod: Namespace, create: Creator, spec: WorkloadSpec
) -> None:
    """And one to ask its neighbours from, which is usable at once."""
    create(replace(spec, mac=bytes.fromhex("0250aa000007")))
    (link,) = json.loads(pod.run("ip", "-json", "address", "show", "dev", "eth0"))
    assert [(found["local"], found["prefixlen"], found["scope"]) for found in link["addr_info"]] == [
        ("10.244.1.7", 32, "global"),
        ("fd00:10:244:1::7", 128, "global"),
        ("fe80::50:aaff:fe00:7", 128, "link"),
    ]
    assert not any("tentative" in found for found in link["addr_info"])


def test_the_container_has_the_mac_and_mtu_it_was_promised(pod: Namespace, create: Creator, spec: WorkloadSpec) -> None:
    made = create(spec)
    (link,) = json.loads(pod.run("ip", "-json", "link", "show", "dev", "eth0"))
    assert (link["address"], link["mtu"]) == (made.mac.hex(":"), 1450)


def test_the_container_has_the_mac_asked_for(pod: Namespace, create: Creator, spec: WorkloadSpec) -> None:
    mac = bytes.fromhex("0250aa000007")
    made = create(replace(spec, mac=mac))
    (link,) = json.loads(pod.run("ip", "-json", "link", "show", "dev", "eth0"))
    assert (link["address"], made.mac, made.host_mac == mac) == (mac.hex(":"), mac, False)


def test_a_mac_no_interface_may_have_is_refused_and_leaves_nothing(
    netns: Namespace, pod: Namespace, create: Creator, spec: WorkloadSpec
) -> None:
    before = links_of(netns)
    with pytest.raises(Invalid, match="MAC address 01:00:5e:00:00:01"):
        create(replace(spec, mac=bytes.fromhex("01005e000001")))
    assert (links_of(netns), links_of(pod)) == (before, set())


def test_the_host_side_takes_what_is_too_long_so_that_the_program_can_say_so(
    netlink: Netlink, create: Creator, spec: WorkloadSpec
) -> None:
    create(spec)
    assert netlink.require_link(spec.host_ifname).mtu_bytes == 65535


def test_the_container_reaches_its_gateway_on_the_link_and_all_else_by_it(
    pod: Namespace, create: Creator, spec: WorkloadSpec
) -> None:
    create(spec)
    assert routes_of(pod) == ["default via 10.244.1.1 dev eth0", "10.244.1.1 dev eth0 scope link"]
    assert pod.run("ip", "-6", "route", "show", "default").startswith("default via fd00:10:244:1::1 dev eth0")


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
def test_one_family_alone_is_enough(pod: Namespace, create: Creator, spec: WorkloadSpec, family: int) -> None:
    create(replace(spec, addresses=ADDRESSES[family : family + 1], gateways=GATEWAYS[family : family + 1]))
    (link,) = json.loads(pod.run("ip", "-json", "address", "show", "dev", "eth0"))
    assert [found["local"] for found in link["addr_info"] if found["scope"] == "global"] == [str(ADDRESSES[family])]


@pytest.mark.parametrize("address", ADDRESSES, ids=["ipv4", "ipv6"])
def test_packets_pass_as_soon_as_it_is_made(
    netns: Namespace, create: Creator, spec: WorkloadSpec, address: Address
) -> None:
    """The program of this test passes all to the host's stack, so the host's own routes lead to the container."""
    create(spec)
    gateway = GATEWAYS[ADDRESSES.index(address)]
    netns.run(
        "ip", "address", "add", str(gateway), "dev", spec.host_ifname, *(["nodad"] if gateway.version == 6 else [])
    )
    netns.run("ip", "route", "add", str(address), "dev", spec.host_ifname)
    assert "1 received" in netns.run("ping", "-c1", "-W2", str(address))


def test_nothing_is_sent_that_nobody_asked_for(
    netns: Namespace, pod: Namespace, create: Creator, spec: WorkloadSpec
) -> None:
    """No router solicitation and no duplicate detection: our end has no link-local address, the other one unprobed."""
    create(spec)
    assert "fe80::" not in netns.run("ip", "address")
    assert "scope link nodad" in pod.run("ip", "-6", "address", "show", "dev", "eth0", "scope", "link")


def test_the_container_heeds_no_router_advertisement(pod: Namespace, create: Creator, spec: WorkloadSpec) -> None:
    create(spec)
    assert pod.call(read_sysctl, "ipv6/conf/eth0/accept_ra") == "0"


def test_ipv6_switched_off_by_the_runtime_is_switched_on_for_the_interface(
    pod: Namespace, create: Creator, spec: WorkloadSpec
) -> None:
    pod.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
    create(spec)
    assert "fd00:10:244:1::7/128" in pod.run("ip", "address", "show", "dev", "eth0")


def test_ipv6_switched_off_on_the_node_is_switched_on_for_the_host_side(
    netns: Namespace, create: Creator, spec: WorkloadSpec
) -> None:
    netns.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
    create(spec)
    assert netns.call(read_sysctl, f"ipv6/conf/{spec.host_ifname}/disable_ipv6") == "0"


def test_an_mtu_that_ipv6_cannot_use_does_for_ipv4_alone(pod: Namespace, create: Creator, spec: WorkloadSpec) -> None:
    create(replace(spec, mtu_bytes=576, addresses=ADDRESSES[:1], gateways=GATEWAYS[:1]))
    assert routes_of(pod)[0] == "default via 10.244.1.1 dev eth0"


def test_a_strict_node_takes_packets_from_the_workload(netns: Namespace, create: Creator, spec: WorkloadSpec) -> None:
    netns.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
    create(spec)
    assert netns.call(read_sysctl, f"ipv4/conf/{spec.host_ifname}/rp_filter") == "2"


def test_two_workloads_have_different_macs(make_netns: NamespaceFactory, create: Creator, spec: WorkloadSpec) -> None:
    other = make_netns("pod")
    made = create(spec), create(replace(spec, host_ifname="lxc-other", netns=str(other.path)))
    assert len({mac for each in made for mac in (each.mac, each.host_mac)}) == 4


# --- refusals -----------------------------------------------------------------------------------


def test_an_interface_of_the_name_in_the_container_is_named_and_stays(
    netns: Namespace, pod: Namespace, create: Creator, spec: WorkloadSpec
) -> None:
    pod.run("ip", "link", "add", "eth0", "type", "bridge")
    with pytest.raises(Conflict, match=r'"eth0" in .* exists already'):
        create(spec)
    assert (links_of(netns), links_of(pod)) == (set(), {"eth0"})


def test_an_interface_of_the_name_on_the_node_is_named_and_stays(
    netns: Namespace, pod: Namespace, create: Creator, spec: WorkloadSpec
) -> None:
    netns.run("ip", "link", "add", spec.host_ifname, "type", "bridge")
    with pytest.raises(Conflict, match=r'"lxc0123456789ab" on the node exists already'):
        create(spec)
    assert (links_of(netns), links_of(pod)) == ({spec.host_ifname}, set())


def test_a_container_with_a_default_route_is_refused_and_left_as_it_was(
    netns: Namespace, pod: Namespace, create: Creator, spec: WorkloadSpec
) -> None:
    pod.run("ip", "link", "add", "net1", "type", "bridge")
    pod.run("ip", "link", "set", "net1", "up")
    pod.run("ip", "route", "add", "default", "dev", "net1")
    with pytest.raises(Conflict, match="a container has one default route"):
        create(spec)
    assert (links_of(netns), links_of(pod), routes_of(pod)) == (set(), {"net1"}, ["default dev net1 scope link"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"host_ifname": "lxc-much-too-long"}, "interface name"),
        ({"ifname": "eth%d"}, "interface name"),
        ({"mtu_bytes": 1279}, "expected 1280 to 65535"),
        ({"mtu_bytes": 65536}, "expected 1280 to 65535"),
        ({"mtu_bytes": 575, "addresses": ADDRESSES[:1], "gateways": GATEWAYS[:1]}, "expected 576 to 65535"),
        ({"gateways": GATEWAYS[:1]}, "one gateway for each family"),
        ({"netns": "/etc/passwd"}, "is not a network namespace"),
    ],
)
def test_an_unusable_request_is_invalid(
    netns: Namespace, create: Creator, spec: WorkloadSpec, change: dict[str, object], message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        create(replace(spec, **change))  # type: ignore[arg-type]
    assert links_of(netns) == set()


def test_the_nodes_own_namespace_is_no_container(netns: Namespace, create: Creator, spec: WorkloadSpec) -> None:
    with pytest.raises(Invalid, match="the network namespace of the node itself"):
        create(replace(spec, netns=str(netns.path)))


def test_a_namespace_that_has_gone_is_not_found(create: Creator, spec: WorkloadSpec) -> None:
    with pytest.raises(NotFound, match="the container may have ended"):
        create(replace(spec, netns=spec.netns + "-gone"))


def test_a_kernel_without_ipv6_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, create: Creator, spec: WorkloadSpec
) -> None:
    monkeypatch.setattr(sysctl, "_ROOT", tmp_path)
    with pytest.raises(Unsupported, match="a kernel started with IPv6"):
        create(spec)


# --- undoing ------------------------------------------------------------------------------------


def test_a_program_the_kernel_refuses_leaves_nothing(
    netns: Namespace, pod: Namespace, create: Creator, spec: WorkloadSpec
) -> None:
    with Path("/dev/null").open("rb") as file, pytest.raises(KernelError, match="from_container"):
        create(replace(spec, program_fd=file.fileno()))
    assert (links_of(netns), links_of(pod)) == (set(), set())


def test_an_address_the_kernel_refuses_leaves_nothing(
    netns: Namespace, pod: Namespace, create: Creator, spec: WorkloadSpec
) -> None:
    with pytest.raises(KernelError, match="ff02::1"):
        create(replace(spec, addresses=(ADDRESSES[0], ip_address("ff02::1"))))
    assert (links_of(netns), links_of(pod)) == (set(), set())


def test_a_namespace_that_ends_meanwhile_is_not_found_and_leaves_nothing(
    netns: Namespace, pod: Namespace, create: Creator, spec: WorkloadSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure = module._configure_inside

    def configure_and_end(spec: WorkloadSpec) -> None:
        configure(spec)
        pod.close()

    monkeypatch.setattr(module, "_configure_inside", configure_and_end)
    with pytest.raises(NotFound, match="does not exist"):
        create(spec)
    assert links_of(netns) == set()


def test_a_namespace_that_is_replaced_meanwhile_is_not_found_and_leaves_nothing(
    make_netns: NamespaceFactory,
    create: Creator,
    spec: WorkloadSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "net"
    path.symlink_to(spec.netns)
    configure = module._configure_inside

    def configure_and_replace(spec: WorkloadSpec) -> None:
        configure(spec)
        path.unlink()
        path.symlink_to(make_netns("pod").path)

    monkeypatch.setattr(module, "_configure_inside", configure_and_replace)
    with pytest.raises(NotFound, match="was replaced while its interface was made"):
        create(replace(spec, netns=str(path)))
    assert links_of(create.node) == set()


# --- deleting and adopting ----------------------------------------------------------------------


def test_deleting_removes_both_ends_once(
    netns: Namespace, pod: Namespace, netlink: Netlink, create: Creator, spec: WorkloadSpec
) -> None:
    create(spec)
    assert [netns.call(delete_workload, netlink.node, spec.host_ifname) for _ in range(2)] == [True, False]
    assert (links_of(netns), links_of(pod)) == (set(), set())


def test_deleting_what_ended_with_its_namespace_is_no_error(
    netns: Namespace, pod: Namespace, netlink: Netlink, create: Creator, spec: WorkloadSpec
) -> None:
    create(spec)
    pod.run("ip", "link", "delete", "eth0")
    assert netns.call(delete_workload, netlink.node, spec.host_ifname) is False


def test_a_foreign_link_is_not_deleted(netns: Namespace, netlink: Netlink, spec: WorkloadSpec) -> None:
    netns.run("ip", "link", "add", spec.host_ifname, "type", "bridge")
    with pytest.raises(Conflict, match="lxc0123456789ab"):
        netns.call(delete_workload, netlink.node, spec.host_ifname)
    assert links_of(netns) == {spec.host_ifname}


def test_a_workload_of_an_earlier_run_is_adopted_as_it_is(
    netns: Namespace, netlink: Netlink, create: Creator, spec: WorkloadSpec
) -> None:
    """Its program goes on until the tables of the new one are complete."""
    made, before = create(spec), netlink.filter_of(spec.host_ifname, "ingress")
    link = netns.call(adopt_workload, netlink, spec)
    assert (link.ifindex, link.mac) == (made.ifindex, made.host_mac)
    assert netlink.filter_of(spec.host_ifname, "ingress") == before


@pytest.mark.parametrize("loss", ["container", "interface", "replaced", "foreign"])
def test_a_workload_that_has_gone_is_not_adopted(
    pod: Namespace, create: Creator, spec: WorkloadSpec, loss: str
) -> None:
    create(spec)
    match loss:
        case "container":
            pod.close()
        case "interface":
            create.node.run("ip", "link", "delete", spec.host_ifname)
        case "replaced":
            pod.run("ip", "link", "set", "eth0", "name", "eth1")
            pod.run("ip", "link", "add", "eth0", "type", "bridge")
        case "foreign":
            create.node.run("ip", "link", "set", spec.host_ifname, "group", "default")
    with pytest.raises(NotFound):
        create.node.call(adopt_workload, create.netlink, spec)
