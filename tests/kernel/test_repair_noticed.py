"""What strangers do to a running node and the kernel tells of: put right at once, and said by name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netloom.edge.ownership import guard_table, masquerade_table
from support.damaged import DamagedNode
from support.node import wait_until

pytestmark = pytest.mark.kernel

GUARD, MASQUERADE = guard_table("n1"), masquerade_table("n1")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DamagedNode]:
    """Resyncs come once an hour; programs are filters, of which the kernel gives notice."""
    made = DamagedNode(tmp_path_factory, resync_s=3600, attach="clsact")
    yield made
    made.close()


NOTICED = {
    "tc filter del dev LXC ingress": "filter ingress of LXC: attached",
    "tc qdisc del dev LXC clsact": "filter ingress of LXC: attached",
    "tc filter del dev loom_vxlan ingress": "filter ingress of loom_vxlan: attached",
    "tc filter del dev loom_host egress": "filter egress of loom_host: attached",
    "ip link set LXC down": "device LXC: up False to True",
    "ip link set LXC mtu 1280": "device LXC: mtu_bytes 1280 to 65535",
    "ip link set LXC group default": "device LXC: group 0x0 to 0x6c6f6f6d",
    "ip link set loom_vxlan down": "device loom_vxlan: up False to True",
    "ip link set loom_host mtu 1300": "device loom_host: mtu_bytes 1300 to 1450",
    "ip link del loom_vxlan": "device loom_vxlan: made again",
    "ip link del loom_host": "device loom_host: made again",
    "ip address del 10.244.1.1/32 dev loom_host": "address 10.244.1.1 of loom_host: added",
    "ip address add 192.0.2.1/32 dev loom_host": "address 192.0.2.1 of loom_host: removed",
    "ip route del 10.244.1.0/24": "10.244.1.0/24: written",
    "ip -6 route del fd00:10:244:1::/64": "fd00:10:244:1::/64: written",
    "sysctl -qw net.ipv4.ip_forward=0": "setting net/ipv4/ip_forward: 0 to 1",
    "sysctl -qw net.ipv6.conf.all.forwarding=0": "setting net/ipv6/conf/all/forwarding: 0 to 1",
    f"nft delete table inet {GUARD}": "firewall table (guard): put in place",
    f"nft delete table inet {MASQUERADE}": "firewall table (masquerading): put in place",
    "nft flush ruleset": "firewall table (guard): put in place",
}


@pytest.mark.parametrize("damage", NOTICED)
def test_what_the_kernel_gives_notice_of_is_put_right_at_once(site: DamagedNode, damage: str) -> None:
    """With no resync near; status and log name it, and the pod reaches its gateways again."""
    site.damage_and_wait(lambda: site.damage(damage), NOTICED[damage])
    assert wait_until(site.reaches_gateways)
    assert "node.repaired" in site.node.log_text()


def test_repairs_are_counted_by_kind(site: DamagedNode) -> None:
    """For whoever watches many nodes."""
    before = site.counted("filter")
    site.damage("tc filter del dev LXC ingress")
    assert wait_until(lambda: site.counted("filter") == before + 1)
    assert f'netloom_repairs_total{{kind="filter"}} {before + 1}.0' in site.node.get("/metrics")


def test_the_agents_own_changes_end_the_matter(site: DamagedNode) -> None:
    """A repair is noticed too; the look that follows finds nothing, and then there is quiet."""
    before = site.counted("device")
    site.damage("ip link del loom_vxlan")
    assert wait_until(lambda: site.counted("device") > before)
    looks: list[int] = []

    def quiet() -> bool:
        """No look for 150 glances, which are more than a pause apart."""
        looks.append(site.runs_of("watch"))
        return len(looks) > 150 and looks[-1] == looks[-150]

    assert wait_until(quiet), looks[-1] - looks[0]
    assert site.counted("device") == before + 1


def test_a_stranger_who_undoes_every_repair_costs_a_look_a_pause(site: DamagedNode) -> None:
    """Fifty deletions are a few looks, and in the end all is well."""
    before = site.runs_of("watch")
    for _ in range(50):
        site.node.netns.attempt("ip", "route", "del", "10.244.1.0/24")
    assert wait_until(lambda: "10.244.1.0/24" in site.node.netns.run("ip", "route"))
    assert site.runs_of("watch") - before < 10


def test_a_foreign_filter_beside_ours_stays_and_is_nobodys_damage(site: DamagedNode) -> None:
    """Another tool may look at the packets too."""
    before = site.counted("filter")
    site.damage("tc filter add dev LXC ingress prio 200 protocol ip u32 match u32 0 0 flowid 1:1")
    site.damage("tc filter del dev loom_vxlan ingress")
    assert wait_until(lambda: site.counted("filter") == before + 1)
    assert "u32" in site.node.netns.run("tc", "filter", "show", "dev", site.lxc, "ingress")
    site.damage("tc filter del dev LXC ingress prio 200")
