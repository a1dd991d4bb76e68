"""The lab's plan: from a few numbers to names and addresses."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Network

import pytest

from netloom.lab.topology import MAX_NODES, LabSpec, lay_out
from netloom.model.errors import Invalid


def test_pods_are_numbered_through_all_nodes() -> None:
    """As in the article this retells: busybox1 and 2 on the first node, 3 and 4 on the second."""
    topology = lay_out(LabSpec())
    assert [(pod.name, pod.node) for pod in topology.pods] == [
        ("busybox1", "node1"),
        ("busybox2", "node1"),
        ("busybox3", "node2"),
        ("busybox4", "node2"),
    ]


def test_node_addresses_are_written_alike_in_both_families() -> None:
    """Whoever reads a capture sees at once which node it is."""
    node = lay_out(LabSpec()).node("node2")
    assert node.ipv4 == IPv4Interface("192.168.77.12/24")
    assert str(node.ipv6) == "fd00:77::12/64"
    assert node.pod_cidr_v6 == IPv6Network("fd00:10:244:2::/64")


def test_nothing_of_two_labs_has_the_same_name() -> None:
    """Two labs live side by side: namespaces, files and pins differ."""
    one, two = lay_out(LabSpec(name="one")), lay_out(LabSpec(name="two"))
    assert not set(one.namespaces) & set(two.namespaces)
    assert one.files.directory != two.files.directory
    assert one.files.bpf_dir != two.files.bpf_dir


def test_addresses_of_the_largest_lab_are_all_different() -> None:
    """The numbering has room for every node that may be asked for."""
    nodes = lay_out(LabSpec(nodes=MAX_NODES)).nodes
    assert len({node.ipv4 for node in nodes} | {node.ipv6 for node in nodes}) == 2 * MAX_NODES


@pytest.mark.parametrize("name", ["", "Lab", "a/b", "-x", "x-", "x" * 33, "..", "a b"])
def test_a_name_that_cannot_name_a_directory_is_refused(name: str) -> None:
    """The name goes into paths and namespace names."""
    with pytest.raises(Invalid, match="lab name"):
        LabSpec(name=name)


@pytest.mark.parametrize("spec", [{"nodes": 0}, {"nodes": MAX_NODES + 1}, {"pods_per_node": -1}])
def test_numbers_out_of_range_are_refused(spec: dict[str, int]) -> None:
    """A typing mistake must not make a thousand namespaces."""
    with pytest.raises(Invalid, match="expected"):
        LabSpec(**spec)  # type: ignore[arg-type]


def test_an_unknown_pod_is_answered_with_those_there_are() -> None:
    """The sentence says what could have been meant."""
    with pytest.raises(Invalid, match=r'no pod "busybox9", it has busybox1, busybox2, busybox3, busybox4'):
        lay_out(LabSpec()).pod("busybox9")
