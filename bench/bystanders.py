"""Connections whose requests nobody judges, on a node that judges none, and on one that judges others' of the same pod.

Both have the same rule about packets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from bench import networks, policies, request_peers
from bench.enforced import Enforced, Store, read
from bench.measure import Sample
from bench.networks import Pair, pairs_of
from bench.summary import Figure
from bench.summary import summarise as figures_of
from netloom.lab.lab import Lab, running
from netloom.lab.topology import LabSpec

NOWHERE, ELSEWHERE = "no rules about requests", "rules at another port"


@contextmanager
def both() -> Iterator[list[Pair]]:
    """A pair of pods each, in labs of their own."""
    with ExitStack() as stack:
        pairs = []
        for label, name in (("nowhere", NOWHERE), ("elsewhere", ELSEWHERE)):
            lab = stack.enter_context(running(LabSpec(name=f"{networks.MARK}-{label}", nodes=1, pods_per_node=2)))
            client, server = lab.topology.pods
            texts = [policies.policy(client.name, server.name, 1)]
            if name == ELSEWHERE:
                texts.append(request_peers.policy(client.name, server.name))
            _enforce(lab, texts)
            pairs += pairs_of(lab, (name, client, server))
        yield pairs


def _enforce(lab: Lab, texts: Sequence[str]) -> None:
    with Store(lab.files.store) as store, Enforced(lab.files.bpf_dir / "node1") as enforced:
        enforced.after(lambda: store.put_policies(read(texts)))


def summarise(samples: Iterable[Sample]) -> Mapping[int, Figure]:
    """Median round trips beside judged requests, by the server's core."""
    figures = figures_of(samples, dict.fromkeys((NOWHERE, ELSEWHERE), NOWHERE))
    return {
        cpu: figure for (name, cpu, metric), figure in figures.items() if (name, metric) == (ELSEWHERE, "rr_p50_ns")
    }
