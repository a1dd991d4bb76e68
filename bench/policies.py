"""Networks with rules between their pods: Netloom's policies, and the same in nftables on a bridge.

Every network lets one client reach one server's ports, and nobody else reaches it. With one rule, these ports are all
that is allowed; with many, every rule allows the client another port, and the one that counts stands last.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import networks
from bench.enforced import Enforced, Store, read
from bench.measure import PORTS
from bench.networks import MTU_BYTES, Pair, namespaces, pairs_of
from bench.reference import Reference
from netloom.lab.inside import output_of
from netloom.lab.lab import running
from netloom.lab.topology import LabSpec

RULES = 10_000
_FIRST_FILLER, _STEP = 10_001, 2
"""Ports that nobody asks for: not neighbours, so that no two rules can be made one."""
_PORTS_OF_ENTRY = 40
"""As many as one list may have."""

NONE, ONE, MANY = "no policy", "1 rule", "10,000 rules"
BRIDGE, BRIDGE_ONE, BRIDGE_MANY = "bridge, no rules", "nftables, 1 rule", "nftables, 10,000"
BRIDGE_SET = "nftables, set of 10,000"
OURS = (NONE, ONE, MANY)
PEERS = (BRIDGE, BRIDGE_ONE, BRIDGE_MANY, BRIDGE_SET)


def fillers(rules: int) -> list[int]:
    """Ports of all rules but the one that counts."""
    return [_FIRST_FILLER + _STEP * number for number in range(rules - 1)]


@contextmanager
def both(rules: int = RULES) -> Iterator[list[Pair]]:
    """All networks at once."""
    with ExitStack() as stack:
        yield [*stack.enter_context(netloom(rules)), *stack.enter_context(bridges(rules))]


@contextmanager
def netloom(rules: int = RULES) -> Iterator[list[Pair]]:
    """Three pairs of pods on one node: without a policy, with one rule and with many, all with the same programs."""
    with running(LabSpec(name=f"{networks.MARK}-policy", nodes=1, pods_per_node=2 * len(OURS))) as lab:
        pods = lab.topology.pods
        joined = pairs_of(lab, *zip(OURS, pods[::2], pods[1::2], strict=True))
        texts = [policy(pods[2].name, pods[3].name, 1), policy(pods[4].name, pods[5].name, rules)]
        with Store(lab.files.store) as store, Enforced(lab.files.bpf_dir / "node1") as enforced:
            enforced.after(lambda: store.put_policies(read(texts)))
        yield joined


def policy(client: str, server: str, rules: int) -> str:
    """One that lets a client reach so many ports, or ranges of them, of a server."""
    spans = [(port, port) for port in fillers(rules)] + [(min(PORTS), max(PORTS))]
    entries = [_entry(client, spans[at : at + _PORTS_OF_ENTRY]) for at in range(0, len(spans), _PORTS_OF_ENTRY)]
    return f"""\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: {server}}}
spec:
  endpointSelector:
    matchLabels: {{app: {server}}}
  ingress:
{"".join(entries)}"""


def _entry(client: str, spans: Sequence[tuple[int, int]]) -> str:
    ports = "".join(f'      - {{port: "{first}", endPort: {last}, protocol: TCP}}\n' for first, last in spans)
    return f"""\
  - fromEndpoints:
    - matchLabels: {{app: {client}}}
    toPorts:
    - ports:
{ports}"""


@contextmanager
def bridges(rules: int = RULES) -> Iterator[list[Pair]]:
    """Pairs on a bridge each, as the CNI project's plugin makes it, with rules in the node's namespace."""
    with ExitStack() as stack:
        yield [stack.enter_context(_bridge(number, name, rules)) for number, name in enumerate(PEERS)]


@contextmanager
def _bridge(number: int, name: str, rules: int) -> Iterator[Pair]:
    labels = (f"nft{number}-node", f"nft{number}-a", f"nft{number}-b")
    with namespaces(*labels) as (node, a, b), tempfile.TemporaryDirectory() as directory:
        plugin = Reference(
            kind="bridge", node=node, subnet="10.9.0.0/24", data_dir=Path(directory), mtu_bytes=MTU_BYTES
        )
        client, server = plugin.attach(a), plugin.attach(b)
        accepting = _ACCEPTING[name](client, rules)
        if accepting:
            output_of(node, ["nft", "-f", "-"], stdin=ruleset(server, accepting))
        yield Pair(name=name, client_netns=a, server_netns=b, server_address=server)


def ruleset(server: str, accepting: Sequence[str]) -> str:
    """Nothing new reaches the server but what a rule accepts; known connections are accepted before any rule."""
    rules = "\n".join(f"    {rule}" for rule in accepting)
    return f"""\
table inet filter {{
  chain forward {{
    type filter hook forward priority filter; policy accept;
    ct state established,related accept
    ip daddr {server} jump server
  }}
  chain server {{
{rules}
    drop
  }}
}}
"""


def _no_rules(_client: str, _rules: int) -> list[str]:
    return []


def _one_rule(client: str, _rules: int) -> list[str]:
    return [f"ip saddr {client} tcp dport {min(PORTS)}-{max(PORTS)} accept"]


def _list(client: str, rules: int) -> list[str]:
    return [f"ip saddr {client} tcp dport {port} accept" for port in fillers(rules)] + _one_rule(client, 1)


def _set(client: str, rules: int) -> list[str]:
    ports = ", ".join(map(str, (*fillers(rules), f"{min(PORTS)}-{max(PORTS)}")))
    return [f"ip saddr {client} tcp dport {{ {ports} }} accept"]


_ACCEPTING: Mapping[str, Callable[[str, int], list[str]]] = {
    BRIDGE: _no_rules,
    BRIDGE_ONE: _one_rule,
    BRIDGE_MANY: _list,
    BRIDGE_SET: _set,
}
