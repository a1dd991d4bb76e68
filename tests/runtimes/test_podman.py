"""What podman alone does."""

from __future__ import annotations

import json
from ipaddress import ip_interface

import pytest

from netloom.lab.agents import wait_until
from runtimes.conftest import NETWORK, Site
from support import image
from support.libcni import BIN_DIR
from support.machine import cgroups
from support.node import UNDERLAY
from support.podman import Podman
from support.runtimes import HTTP_PORT, SERVE, RuntimeFailure, fetch, running

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
    groups = {f"libpod-{container}" for container in podman.run("ps", "--quiet", "--no-trunc").split()}
    assert groups == groups & names_of_cgroups() != set()
    try:
        (shown,) = site.node.get("/v1/endpoints")
        assert shown["pod_name"] == "played"
        with running(podman, "client") as (client,):
            assert fetch(podman, client, shown["ipv4"]) == "played"
            assert fetch(podman, client, shown["ipv6"]) == "played"
    finally:
        podman.run("kube", "down", manifest)
    assert wait_until(lambda: not groups & names_of_cgroups())


def names_of_cgroups() -> set[str]:
    return {path.name for path in cgroups()}


def test_a_container_that_ends_by_itself_leaves_nothing(podman: Podman) -> None:
    """The process that watches it takes its network away."""
    with running(podman, "one") as (one,):
        ping = ("ping", "-c", "1", one.address(4))
        assert "1 packets received" in podman.run("run", "--rm", *podman.options, image.NAME, *ping)


def test_a_restarted_container_is_attached_again(podman: Podman) -> None:
    """A new namespace, a new interface."""
    with running(podman, "one", "two") as (_, two):
        podman.run("restart", "--time", "0", "one")
        one = podman.pod("one")
        assert fetch(podman, two, one.address(4)) == "one"
        assert fetch(podman, one, two.address(6)) == "two"


def test_a_port_of_the_node_is_served_by_portmap_behind_us(site: Site, podman: Podman) -> None:
    """Chained in one network: it finds the pod's addresses in our result."""
    ours, portmap = {"type": "netloom-cni"}, {"type": "portmap", "capabilities": {"portMappings": True}}
    site.machine.file(BIN_DIR, "portmap").symlink_to("/usr/lib/cni/portmap")
    conflist = site.machine.file("/etc/cni/net.d/20-ports.conflist")
    conflist.write_text(json.dumps({"cniVersion": "1.0.0", "name": "ports", "plugins": [ours, portmap]}))
    chained = podman.on("ports")
    pod = chained.start_pod("served", "--publish", f"80:{HTTP_PORT}")
    try:
        here = ip_interface(UNDERLAY[0]).ip
        assert site.machine.run("busybox", "wget", "-q", "-O", "-", f"http://{here}/").strip() == "served"
    finally:
        chained.end_pod(pod)
        conflist.unlink()


def test_a_port_of_the_node_is_refused_without_portmap(podman: Podman) -> None:
    """Nobody would serve it; the sentence says who could."""
    with pytest.raises(RuntimeFailure, match='chain the plugin "portmap" after netloom-cni'):
        podman.start_pod("unserved", "--publish", f"80:{HTTP_PORT}")
    podman.tidy("unserved")


WISH = ("--ip", "10.244.1.77", "--ip6", "fd00:10:244:1::77", "--mac-address", "02:00:00:00:00:77")


@pytest.mark.parametrize("wish", [WISH[:2], WISH[2:4], WISH[4:], WISH], ids=" ".join)
def test_a_container_has_the_addresses_and_the_mac_it_asks_for(podman: Podman, wish: tuple[str, ...]) -> None:
    """One address by CNI_ARGS, two by the capability, the MAC by CNI_ARGS; and it serves at what it has."""
    wishful = podman.start_pod("wishful", *wish)
    try:
        inside = podman.execute(wishful, "ip", "address", "show", "eth0").text
        assert [wished for wished in wish[1::2] if wished not in inside] == []
        with running(podman, "client") as (client,):
            assert fetch(podman, client, wishful.address(4)) == "wishful"
            assert fetch(podman, client, wishful.address(6)) == "wishful"
    finally:
        podman.end_pod(wishful)


def test_an_address_that_another_container_has_is_refused_with_its_id(podman: Podman) -> None:
    """The one who has it keeps it."""
    with running(podman, "one", "two") as (one, two):
        with pytest.raises(RuntimeFailure, match=f'"{one.container_id}/eth0" has it'):
            podman.start_pod("envious", "--ip", one.address(4))
        podman.tidy("envious")
        assert fetch(podman, two, one.address(4)) == "one"


def test_an_address_of_another_node_is_refused(podman: Podman) -> None:
    """With those that may be had."""
    with pytest.raises(RuntimeFailure, match=r"pods of this node get 10\.244\.1\.2 to 10\.244\.1\.254"):
        podman.start_pod("lost", "--ip", "10.244.2.77")
    podman.tidy("lost")


def test_a_reload_keeps_addresses_mac_and_reachability(site: Site, podman: Podman) -> None:
    """It is a DEL and an ADD that asks for what the container had."""

    def attached(container_id: str) -> tuple[str, ...]:
        (shown,) = [each for each in site.node.get("/v1/endpoints") if each["container_id"] == container_id]
        return shown["ipv4"], shown["ipv6"], shown["mac"]

    with running(podman, "one", "two") as (one, two):
        before = attached(one.container_id)
        podman.run("network", "reload", "one")
        assert attached(one.container_id) == before
        for version in (4, 6):
            assert fetch(podman, two, one.address(version)) == "one"
            assert fetch(podman, one, two.address(version)) == "two"
