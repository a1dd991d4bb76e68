"""Networks of two nodes without a tunnel: the kernel's routing, with rules and without, and Netloom's native mode.

Packets are as long as the underlay takes: what a tunnel costs in length is part of what is compared. The one rule lets
a client reach the ports that are measured, and stands where its server is; what it does not allow is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench import networks
from bench.enforced import Enforced, Store, read
from bench.measure import PORTS
from bench.networks import Pair, pairs_of, two_nodes
from bench.policies import policy, ruleset
from netloom.lab.inside import ip_batch, output_of
from netloom.lab.lab import running
from netloom.lab.topology import UNDERLAY_MTU_BYTES, LabSpec

ROUTED, FILTERED = "plain routing", "plain routing, nftables"
NATIVE, NATIVE_ONE, OVERLAY = "netloom native", "netloom native, 1 rule", "netloom, vxlan"
NETWORKS = (ROUTED, FILTERED, NATIVE, NATIVE_ONE, OVERLAY)


@contextmanager
def both() -> Iterator[list[Pair]]:
    """All networks at once."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(_routed(ROUTED, "routed")),
            stack.enter_context(_routed(FILTERED, "filtered", filtered=True)),
            *stack.enter_context(_native()),
            stack.enter_context(_overlay()),
        ]


@contextmanager
def _routed(name: str, label: str, *, filtered: bool = False) -> Iterator[Pair]:
    """A pod on each node behind a veth pair, between which both nodes route."""
    with two_nodes(label) as (nodes, pods):
        for number, (node, pod) in enumerate(zip(nodes, pods, strict=True), 1):
            other = 3 - number
            peer = f"peer name eth0 mtu {UNDERLAY_MTU_BYTES} netns {pod}"
            ip_batch(
                node,
                [
                    f"link add name pod mtu {UNDERLAY_MTU_BYTES} type veth {peer}",
                    f"address add 10.9.{number}.1/24 dev pod",
                    "link set pod up",
                    f"route add 10.9.{other}.0/24 via 10.8.0.{other}",
                ],
            )
            ip_batch(
                pod,
                [
                    f"address add 10.9.{number}.2/24 dev eth0",
                    "link set eth0 up",
                    f"route add default via 10.9.{number}.1",
                ],
            )
            output_of(node, ["sysctl", "-qw", "net.ipv4.ip_forward=1"])
        client, server = "10.9.1.2", "10.9.2.2"
        if filtered:
            rule = f"ip saddr {client} tcp dport {min(PORTS)}-{max(PORTS)} accept"
            output_of(nodes[1], ["nft", "-f", "-"], stdin=ruleset(server, [rule]))
        yield Pair(name=name, client_netns=pods[0], server_netns=pods[1], server_address=server)


@contextmanager
def _native() -> Iterator[list[Pair]]:
    """Two pairs of pods on the same two nodes: without a policy, and with one rule."""
    with running(LabSpec(name=f"{networks.MARK}-native"), {"network_mode": "native"}) as lab:
        pods = lab.topology.pods
        joined = pairs_of(lab, *zip((NATIVE, NATIVE_ONE), pods[:2], pods[2:], strict=True))
        with Store(lab.files.store) as store, Enforced(lab.files.bpf_dir / "node2") as enforced:
            enforced.after(lambda: store.put_policies(read([policy(pods[1].name, pods[3].name, 1)])))
        yield joined


@contextmanager
def _overlay() -> Iterator[Pair]:
    """The same by the overlay."""
    with running(LabSpec(name=f"{networks.MARK}-vxlan", pods_per_node=1)) as lab:
        client, server = lab.topology.pods
        (pair,) = pairs_of(lab, (OVERLAY, client, server))
        yield pair
