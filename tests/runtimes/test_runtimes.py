"""What holds with every container runtime."""

from __future__ import annotations

import json
from contextlib import ExitStack
from itertools import permutations

import pytest

from runtimes.conftest import Site
from support.containerd import Containerd
from support.libcni import Libcni
from support.podman import Podman
from support.runtimes import Pod, Runtime, RuntimeFailure, fetch, pings, running
from support.traces import settled, traces

pytestmark = pytest.mark.e2e


def endpoints(site: Site) -> dict[str, dict[str, object]]:
    """What ``netctl`` shows, by container."""
    return {shown["container_id"]: shown for shown in json.loads(site.netctl("endpoint", "list", "-o", "json"))}


def test_a_pod_has_the_addresses_its_runtime_knows(runtime: Runtime, pair: tuple[Pod, ...]) -> None:
    """Inside, on its only interface."""
    for pod in pair:
        inside = runtime.execute(pod, "ip", "address", "show", "eth0").text
        assert f"inet {pod.address(4)}/32 " in inside
        assert f"inet6 {pod.address(6)}/128 " in inside


def test_netctl_shows_a_pod_with_name_and_addresses(site: Site, pair: tuple[Pod, ...]) -> None:
    """Those the runtime knows it by."""
    for pod in pair:
        shown = endpoints(site)[pod.container_id]
        assert (shown["pod_name"], shown["ipv4"], shown["ipv6"]) == (pod.name, pod.address(4), pod.address(6))


@pytest.mark.parametrize("version", [4, 6])
def test_pods_ping_each_other(runtime: Runtime, pair: tuple[Pod, ...], version: int) -> None:
    """To and fro."""
    one, two = pair
    assert pings(runtime, one, two.address(version))
    assert pings(runtime, two, one.address(version))


@pytest.mark.parametrize("version", [4, 6])
def test_pods_serve_http_to_each_other(runtime: Runtime, pair: tuple[Pod, ...], version: int) -> None:
    """Each serves its name."""
    one, two = pair
    assert fetch(runtime, one, two.address(version)) == "two"
    assert fetch(runtime, two, one.address(version)) == "one"


def test_a_pod_that_ends_gives_everything_back(site: Site, runtime: Runtime) -> None:
    """Link, map entries, record, address, results, mounts, control groups, processes."""
    before = traces(site.node, site.machine)
    pod = runtime.start_pod("short")
    there = traces(site.node, site.machine).difference(before)
    assert {"links", "entries", "records", "addresses"} <= there.keys()
    runtime.end_pod(pod)
    assert settled(site.node, site.machine, before) == {}


def test_pods_talk_while_the_agent_is_dead_and_after(site: Site, runtime: Runtime, pair: tuple[Pod, ...]) -> None:
    """A killed agent takes nothing with it, and the next one takes up what it finds."""
    one, two = pair
    with site.agent_away():
        assert pings(runtime, one, two.address(4))
        assert fetch(runtime, two, one.address(6)) == "one"
    assert pings(runtime, one, two.address(6))
    assert fetch(runtime, two, one.address(4)) == "one"


def test_a_pod_from_before_the_agents_crash_can_be_ended(site: Site, runtime: Runtime) -> None:
    """The next agent knows it."""
    before = traces(site.node, site.machine)
    pod = runtime.start_pod("survivor")
    with site.agent_away():
        pass
    runtime.end_pod(pod)
    assert settled(site.node, site.machine, before) == {}


def test_a_pod_that_ends_without_the_agent_is_cleaned_up_when_it_is_back(site: Site, runtime: Runtime) -> None:
    """The runtime need not wait."""
    before = traces(site.node, site.machine)
    pod = runtime.start_pod("orphan")
    with site.agent_away():
        runtime.end_pod(pod)
    assert settled(site.node, site.machine, before) == {}


def test_a_pod_without_the_agent_fails_with_its_reason_and_succeeds_later(site: Site, runtime: Runtime) -> None:
    """What was begun is undone."""
    before = traces(site.node, site.machine)
    with site.agent_away(), pytest.raises(RuntimeFailure, match=f"the agent cannot be reached at {site.node.socket}"):
        runtime.start_pod("eager")
    runtime.tidy("eager")
    assert settled(site.node, site.machine, before) == {}
    runtime.end_pod(runtime.start_pod("eager"))
    assert settled(site.node, site.machine, before) == {}


def test_pods_of_different_runtimes_reach_each_other(containerd: Containerd, podman: Podman, by_libcni: Libcni) -> None:
    """One agent serves all."""
    runtimes: dict[str, Runtime] = {"first": containerd, "second": podman, "third": by_libcni}
    with ExitStack() as ends:
        pods = {name: ends.enter_context(running(runtime, name))[0] for name, runtime in runtimes.items()}
        for one, other in permutations(pods, 2):
            assert fetch(runtimes[one], pods[one], pods[other].address(4)) == other
            assert fetch(runtimes[one], pods[one], pods[other].address(6)) == other
