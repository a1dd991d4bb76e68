"""Pods under policies: apply policies as files have them, change labels, and look at who reaches whom."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from ipaddress import IPv4Address
from itertools import count
from textwrap import dedent

from netloom.agent.policies import POLICIES, key_of
from netloom.cli.client import Client
from netloom.datapath.reasons import DropReason
from netloom.edge.netns import create_named_netns, delete_named_netns
from netloom.lab.agents import wait_until
from netloom.lab.inside import ip_batch
from netloom.lab.patience import patient
from netloom.lab.topology import LabPod
from netloom.model.policy import Policy, PolicyName, Protocol
from netloom.model.ports import NamedPort
from netloom.policy.read import decode_policy, read_policies
from netloom.policy.selectors import NAMESPACE_LABELS
from netloom_local.bell import ring
from netloom_local.database import Database
from support.asking import PORTS, VERSIONS, Askers, Question
from support.cluster import WITHIN_S, Cluster, PodView, pod_view
from support.leaks import MARK
from support.reach import Pair, Reach, all_pairs

ROUND_S = patient(1.0)
"""How long a question may be without an answer and not counted as dropped, before all are asked again."""
_LAST_MARK = IPv4Address("198.51.100.255")
_MARKS = 200
_marks = count()
_MARK = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: mark, namespace: nobody}}
spec:
  podSelector: {{}}
  egress: [{{to: [{{ipBlock: {{cidr: {prefix}}}}}]}}]
"""


def server(name: str, node: str, labels: Mapping[str, str]) -> LabPod:
    """A pod of ``namespace/name``, with a name for each port on which it serves, as ``serve-80-tcp``."""
    namespace, _, pod = name.partition("/")
    netns = f"{MARK}-{namespace}-{pod}"
    return LabPod(
        name=pod,
        netns=netns,
        node=node,
        container_id=netns,
        namespace=namespace,
        labels=tuple(labels.items()),
        ports=tuple(
            NamedPort(f"serve-{port}-{protocol.lower()}", protocol, port)
            for port in PORTS
            for protocol in (Protocol.TCP, Protocol.UDP, Protocol.SCTP)
        ),
    )


class World:
    """Pods of a lab, which ask each other, and the policies that stand."""

    def __init__(self, cluster: Cluster, pods: Sequence[LabPod]) -> None:
        self._cluster = cluster
        self._nodes = tuple(node.name for node in cluster.lab.topology.nodes)
        self._labels: dict[str, dict[str, str | None]] = {}
        self._stack = ExitStack()
        try:
            self.pods = self._attached(pods)
            self._store = Database(cluster.lab.files.store)
            self._store.open()
            self._stack.callback(self._store.close)
            self._stack.callback(self._unmark)
            self._askers = Askers(self.pods)
            self._stack.callback(self._askers.close)
        except BaseException:
            self._stack.close()
            raise

    def close(self) -> None:
        """Take away everything that was made; no node knows of it any more when this returns."""
        try:
            self.reset()
        finally:
            self._stack.close()
        gone = {f"{address}/{address.max_prefixlen}" for pod in self.pods.values() for address in (pod.ipv4, pod.ipv6)}
        assert wait_until(lambda: not any(gone & self._prefixes(node, "ipcache") for node in self._nodes), WITHIN_S)

    def reset(self) -> None:
        """No policies, and the labels that the pods came with."""
        self._write({}, map(key_of, self.standing()))
        for pod, labels in list(self._labels.items()):
            self._relabel(pod, labels)
        self._labels.clear()

    @property
    def everybody(self) -> Reach:
        """What holds without policies: each reaches all others."""
        return Reach.everybody(tuple(self.pods))

    # --- what stands ------------------------------------------------------------------------

    def apply(self, text: str) -> None:
        """Policies of a file, each in place of the one of its name; all nodes enforce them when this returns."""
        found = read_policies(dedent(text), "test.yaml").policies
        assert found, "no policy"
        self._write({key_of(one.name): one.document for one in found}, {})

    def standing(self) -> dict[PolicyName, Policy]:
        """Policies of the cluster."""
        found = (decode_policy(entry.value.decode()) for entry in self._store.items(POLICIES))
        return {one.name: one for one in found if one.name != _mark(f"{_LAST_MARK}/32").name}

    def delete(self, *names: PolicyName) -> None:
        """Take policies away; no node enforces them any more when this returns."""
        self._write({}, [key_of(name) for name in names])

    def _write(self, documents: Mapping[str, str], gone: Iterable[str]) -> None:
        """Change what is in the store, and wait until all nodes have heard.

        Agents take changes up in their order, and write prefixes of policies after tables. So when the prefix of a last
        policy stands in the kernel, everything before it does.
        """
        for key, document in documents.items():
            self._store.put(key, document.encode())
        for key in gone:
            assert self._store.delete(key), f"no {key}"
        prefix = f"{_LAST_MARK - next(_marks) % _MARKS}/32"
        mark = _mark(prefix)
        self._store.put(key_of(mark.name), mark.document.encode())
        ring(self._store.lock_path)
        assert wait_until(lambda: all(prefix in self._prefixes(node, "cidrs") for node in self._nodes), WITHIN_S)

    def _unmark(self) -> None:
        self._store.delete(key_of(_mark(f"{_LAST_MARK}/32").name))
        ring(self._store.lock_path)

    def _prefixes(self, node: str, table: str) -> set[str]:
        return {entry["key"]["prefix"] for entry in self._cluster.lab.api(node, f"/v1/maps/{table}")["entries"]}

    def label_pod(self, pod: str, key: str, value: str) -> None:
        """Give a pod a label more."""
        self._labels.setdefault(pod, {})[key] = None
        self._relabel(pod, {key: value})

    def label_namespace(self, namespace: str, key: str, value: str) -> None:
        """Give a namespace a label more: all its pods have it."""
        for pod in self.pods:
            if pod.partition("/")[0] == namespace:
                self.label_pod(pod, NAMESPACE_LABELS + key, value)

    def _relabel(self, pod: str, labels: Mapping[str, str | None]) -> None:
        """None takes a label away."""
        view = self.pods[pod]
        change = {
            "add_labels": [f"k8s:{key}={value}" for key, value in labels.items() if value is not None],
            "delete_labels": [f"k8s:{key}" for key, value in labels.items() if value is None],
        }
        Client(self._cluster.lab.files.socket(view.node)).send("PATCH", change, "endpoints", view.endpoint_id)

    # --- who reaches whom -------------------------------------------------------------------

    def expect(self, expected: Reach, protocol: Protocol, *ports: int) -> None:
        """Ask until what is found is what is expected, over both IP versions; fails with a picture of the difference.

        Whoever does not get through must have been denied by policy: nothing may be lost for any other reason.
        """
        asked = [
            Question(source, target, version, protocol, port)
            for source, target in all_pairs(expected.pods)
            for version in VERSIONS
            for port in ports
        ]
        wanted = {one for one in asked if (one.source, one.target) in expected.pairs}
        deadline = time.monotonic() + WITHIN_S
        while True:
            found = self._askers.ask(asked, self._denied, ROUND_S)
            if found.answered == wanted and found.is_over:
                return
            if time.monotonic() > deadline:
                break
        lost = f"{found.waiting} of {len(asked)} questions had no answer, {found.dropped} packets were denied"
        raise AssertionError("\n".join([lost, *_pictures(expected, asked, found.answered)]))

    def _denied(self) -> int:
        """Packets that policies have denied, on all nodes."""
        return sum(self._cluster.drops(node).get(DropReason.POLICY.name, 0) for node in self._nodes)

    # --- pods -------------------------------------------------------------------------------

    def _attached(self, pods: Sequence[LabPod]) -> dict[str, PodView]:
        for pod in pods:
            create_named_netns(pod.netns)
            self._stack.callback(delete_named_netns, pod.netns)
            ip_batch(pod.netns, ["link set lo up"])
        on_nodes = [[pod for pod in pods if pod.node == node] for node in self._nodes]
        with ThreadPoolExecutor(len(on_nodes)) as workers:
            list(workers.map(self._attach, on_nodes))
        self._cluster.lab.wait_converged()
        views = {
            view["container_id"]: view for node in self._nodes for view in self._cluster.lab.api(node, "/v1/endpoints")
        }
        return {f"{pod.namespace}/{pod.name}": pod_view(views[pod.container_id], pod.netns, pod.node) for pod in pods}

    def _attach(self, pods: Sequence[LabPod]) -> None:
        for pod in pods:
            self._cluster.lab.attach(pod)
            self._stack.callback(self._cluster.lab.detach, pod)


def _mark(prefix: str) -> Policy:
    """A policy about nobody, that names a prefix."""
    (mark,) = read_policies(_MARK.format(prefix=prefix), "mark.yaml").policies
    return mark


def _pictures(expected: Reach, asked: Sequence[Question], answered: set[Question]) -> list[str]:
    """Of each protocol, port and IP version of which something is not as expected."""
    pictures = []
    for kind in dict.fromkeys((one.protocol, one.port, one.version) for one in asked):
        found: set[Pair] = {
            (one.source, one.target) for one in answered if (one.protocol, one.port, one.version) == kind
        }
        if found != expected.pairs:
            protocol, port, version = kind
            pictures.append(f"{protocol} port {port} over IPv{version}:\n{expected.picture(found)}")
    return pictures
