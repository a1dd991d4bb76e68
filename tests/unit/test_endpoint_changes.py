"""Changes of an endpoint's labels and ports: what they lead to, and what is refused."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from netloom.agent.endpoint_changes import EndpointPatch, labels_after, ports_after, read_patch
from netloom.model.endpoint import Attachment, Endpoint, EndpointId, EndpointState, IfIndex
from netloom.model.errors import Invalid
from netloom.model.identity import IdentityId
from netloom.model.labels import label_set
from netloom.model.policy import Protocol
from netloom.model.ports import NamedPort

ENDPOINT = Endpoint(
    id=EndpointId(7),
    attachment=Attachment(container_id="c", ifname="eth0", netns="/run/netns/c"),
    ipv4=IPv4Address("10.0.0.2"),
    ipv6=None,
    ifindex=IfIndex(9),
    mac=bytes(6),
    node_mac=bytes(6),
    identity=IdentityId(300),
    labels=label_set(["app=web", "tier=front", "io.kubernetes.pod.namespace=shop"]),
    state=EndpointState.READY,
    ports=(NamedPort("http", Protocol.TCP, 80),),
)


def after(*, add: tuple[str, ...] = (), delete: tuple[str, ...] = ()) -> set[str]:
    found = labels_after(ENDPOINT, EndpointPatch(add_labels=add, delete_labels=delete))
    return {str(label) for label in found} - {"k8s:io.kubernetes.pod.namespace=shop"}


def test_a_label_is_added() -> None:
    assert after(add=("any:zone=a",)) == {"k8s:app=web", "k8s:tier=front", "any:zone=a"}


def test_a_label_takes_the_place_of_the_one_with_its_key() -> None:
    assert after(add=("app=api",)) == {"k8s:app=api", "k8s:tier=front"}


def test_a_label_is_deleted_by_its_key_or_with_its_value() -> None:
    assert after(delete=("app", "k8s:tier=front")) == set()


@pytest.mark.parametrize(
    ("add", "delete", "sentence"),
    [
        ((), ("missing",), 'no label "missing"; it has: k8s:app=web'),
        ((), ("app=api",), 'no label "app=api"'),
        (("reserved:host",), (), "not for workloads"),
        (("cidr:10.0.0.0",), (), "not for workloads"),
        (("io.kubernetes.pod.namespace=other",), (), "cannot be changed"),
        ((), ("io.kubernetes.pod.namespace",), "cannot be changed"),
        (("bad label=x",), (), "not usable"),
        (tuple(f"k{number}=v" for number in range(63)), (), "at most 64"),
    ],
)
def test_what_cannot_be_done_is_refused(add: tuple[str, ...], delete: tuple[str, ...], sentence: str) -> None:
    """The namespace above all: a pod that left it would leave its policies behind."""
    with pytest.raises(Invalid, match=sentence):
        after(add=add, delete=delete)


def test_ports_that_are_not_mentioned_stay() -> None:
    assert ports_after(ENDPOINT, read_patch(b"{}")) == ENDPOINT.ports


def test_ports_are_given_all_at_once() -> None:
    found = ports_after(ENDPOINT, read_patch(b'{"ports": ["dns:UDP:53"]}'))
    assert found == (NamedPort("dns", Protocol.UDP, 53),)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"labels": []}', b'{"add_labels": [1]}', b"\xff", b'{"ports": "x"}'])
def test_a_body_that_is_no_change_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid, match="cannot be read"):
        read_patch(body)
