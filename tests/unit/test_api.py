"""What the API accepts, and that its document says what it does."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.agent.api import Api, read_attachment
from netloom.agent.openapi import OPERATIONS, SCHEMAS, document
from netloom.model.errors import Invalid

GOOD = {"container_id": "c1", "ifname": "eth0", "netns": "/run/netns/c1"}


def body(**changes: object) -> bytes:
    return json.dumps(GOOD | changes).encode()


def test_an_attachment_is_read_with_its_namespace_as_a_label() -> None:
    """The namespace is part of the identity, the pod's name is not."""
    request = read_attachment(body(labels=["k8s:app=web"], pod_name="web-1", pod_namespace="shop"))
    assert {str(label) for label in request.labels} == {"k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop"}
    assert (request.pod_name, request.attachment.key) == ("web-1", "c1/eth0")


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"container_id": ""}, "container_id"),
        ({"container_id": "a/b"}, "container_id"),
        ({"container_id": "x" * 300}, "container_id"),
        ({"ifname": ""}, "ifname"),
        ({"netns": "/a\0b"}, "netns"),
        ({"netns": 5}, "netns"),
        ({"labels": ["no spaces allowed here"]}, "label"),
        ({"labels": [f"a{i}=b" for i in range(65)]}, "65 labels"),
        ({"more": 1}, "more"),
    ],
)
def test_a_bad_attachment_is_refused_by_name(changes: dict[str, object], names: str) -> None:
    """The sentence names what is wrong."""
    with pytest.raises(Invalid, match=names):
        read_attachment(body(**changes))


@given(st.binary(max_size=100))
def test_garbage_is_refused(raw: bytes) -> None:
    """Never another exception."""
    with pytest.raises(Invalid):
        read_attachment(raw)


def test_the_document_names_exactly_the_routes_that_are_served() -> None:
    """Both ways."""
    served = {
        (route.method.lower(), route.resource.canonical)
        for route in Api(cast("Any", _AnyAgent()))._app.router.routes()
        if route.resource and route.method != "HEAD"
    }
    assert served == {(operation.method, operation.path) for operation in OPERATIONS}


def test_every_schema_named_in_the_document_exists() -> None:
    """No dangling references."""
    text = json.dumps(document())
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= SCHEMAS.keys()


class _AnyAgent:
    """Has whatever is asked for: routes are only listed, never called."""

    def __getattr__(self, name: str) -> object:
        return name
