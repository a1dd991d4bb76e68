"""What podman alone does."""

from __future__ import annotations

import json

import pytest

from runtimes.conftest import NETWORK, Site
from support import image
from support.podman import Podman
from support.runtimes import SERVE, fetch

pytestmark = pytest.mark.e2e


def kubernetes_pod(name: str) -> str:
    """A manifest; JSON is YAML."""
    container = {
        "name": "main",
        "image": image.NAME,
        "imagePullPolicy": "Never",
        "args": ["/bin/sh", "-c", SERVE, name],
    }
    spec = {"containers": [container]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def test_a_played_pod_is_reached_and_taken_down(site: Site, podman: Podman) -> None:
    """A pod of a Kubernetes manifest, with an infra container that holds its namespaces."""
    manifest = "/run/played.yaml"
    site.machine.file(manifest).write_text(kubernetes_pod("played"))
    podman.run("kube", "play", "--network", NETWORK, manifest)
    (shown,) = site.node.get("/v1/endpoints")
    client = podman.start_pod("client")
    heard = fetch(podman, client, shown["ipv4"]), fetch(podman, client, shown["ipv6"])
    podman.end_pod(client)
    podman.run("kube", "down", manifest)
    assert shown["pod_name"] == "played"
    assert heard == ("played", "played")


def test_a_container_that_ends_by_itself_leaves_nothing(podman: Podman) -> None:
    """The process that watches it takes its network away."""
    one = podman.start_pod("one")
    ping = ("ping", "-c", "1", one.address(4))
    assert "1 packets received" in podman.run("run", "--rm", *podman.options, image.NAME, *ping)
    podman.end_pod(one)


def test_a_restarted_container_is_attached_again(podman: Podman) -> None:
    """A new namespace, a new interface."""
    one, two = podman.start_pod("one"), podman.start_pod("two")
    podman.run("restart", "--time", "0", "one")
    one = podman.pod("one")
    assert fetch(podman, two, one.address(4)) == "one"
    assert fetch(podman, one, two.address(6)) == "two"
    for pod in (one, two):
        podman.end_pod(pod)
