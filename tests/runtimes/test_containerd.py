"""What containerd alone does, as a kubelet makes it do it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from cri_api.v1 import api_pb2 as cri

from runtimes.conftest import Site
from support.containerd import NAMESPACE, Containerd, sandbox_config
from support.node import wait_until
from support.runtimes import RuntimeFailure, fetch, running
from support.traces import settled, traces

pytestmark = pytest.mark.e2e

PODS = 100
AT_ONCE = 4


def test_the_installed_network_makes_containerd_ready(containerd: Containerd) -> None:
    """A kubelet would report its node ready."""
    assert wait_until(containerd.network_ready)


def test_a_pods_kubernetes_names_reach_its_endpoint(site: Site, containerd: Containerd) -> None:
    """Name and namespace; the namespace is a label, too."""
    with running(containerd, "cart"):
        (shown,) = json.loads(site.netctl("endpoint", "list", "-o", "json"))
    assert (shown["pod_name"], shown["pod_namespace"]) == ("cart", NAMESPACE)
    assert f"k8s:io.kubernetes.pod.namespace={NAMESPACE}" in shown["labels"]


def test_a_stopped_sandbox_has_given_its_address_back(site: Site, containerd: Containerd) -> None:
    """Before it is removed; further DELs, which come without a namespace, are no error."""
    sandbox = containerd.start_sandbox(sandbox_config("stopped"))
    used = site.node.get("/v1/status")["ipam"]
    containerd.stop_sandbox(sandbox)
    assert site.node.get("/v1/endpoints") == []
    assert site.node.get("/v1/status")["ipam"] != used
    containerd.stop_sandbox(sandbox)
    containerd.remove_sandbox(sandbox)
    containerd.remove_sandbox(sandbox)


def test_a_refused_pod_is_told_why(containerd: Containerd) -> None:
    """The agent's sentence goes all the way to who asked: here, for a port nobody would serve."""
    served = sandbox_config("served")
    served.port_mappings.append(cri.PortMapping(host_port=8080, container_port=80))
    with pytest.raises(RuntimeFailure, match='"portMappings" asks for what Netloom does not do'):
        containerd.start_sandbox(served)
    assert containerd.sandboxes() == []


def test_a_pods_bandwidth_annotations_are_its_limits(site: Site, containerd: Containerd) -> None:
    """Containerd sends the greatest burst there is with every rate; nobody asked for one, so it is ours."""
    limited = sandbox_config("limited", {"kubernetes.io/egress-bandwidth": "1M"})
    sandbox = containerd.start_sandbox(limited)
    (shown,) = site.node.get("/v1/endpoints")
    containerd.stop_sandbox(sandbox)
    containerd.remove_sandbox(sandbox)
    assert shown["bandwidth"] == {"ingress": None, "egress": {"rate_bps": 1_000_000, "burst_bits": 1 << 20}}


def test_pods_outlive_containerd(containerd: Containerd) -> None:
    """The daemon dies; its successor finds pods that still talk, and ends them."""
    with running(containerd, "one", "two") as (one, two):
        containerd.kill()
        containerd.start()
        assert fetch(containerd, one, two.address(4)) == "two"


def test_a_hundred_pods_come_and_go_without_a_trace(site: Site, containerd: Containerd) -> None:
    """A few at a time: all had addresses of their own, none left anything."""
    before = traces(site.node, site.machine)

    def live(number: int) -> tuple[str, ...]:
        sandbox = containerd.start_sandbox(sandbox_config(f"pod{number}"))
        addresses = containerd.addresses(sandbox)
        containerd.stop_sandbox(sandbox)
        containerd.remove_sandbox(sandbox)
        return addresses

    with ThreadPoolExecutor(max_workers=AT_ONCE) as workers:
        lives = list(workers.map(live, range(PODS)))
    assert {len(addresses) for addresses in lives} == {2}
    assert settled(site.node, site.machine, before) == {}
    assert containerd.sandboxes() == []


def test_pods_that_live_at_once_have_addresses_of_their_own(containerd: Containerd) -> None:
    """Started side by side, ended side by side."""
    with ThreadPoolExecutor(max_workers=AT_ONCE) as workers:
        pods = list(workers.map(containerd.start_pod, [f"crowd{number}" for number in range(3 * AT_ONCE)]))
        addresses = {address for pod in pods for address in pod.addresses}
        heard = [fetch(containerd, one, other.address(4)) for one, other in pairwise(pods)]
        list(workers.map(containerd.end_pod, pods))
    assert len(addresses) == 2 * len(pods)
    assert heard == [pod.name for pod in pods[1:]]
