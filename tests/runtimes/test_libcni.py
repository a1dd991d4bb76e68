"""The plugin as libcni calls it: what runtimes are built on. And by environment what libcni 1.1 does not know yet."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from netloom.cni.errors import Code
from runtimes.conftest import Site
from support.libcni import BIN_DIR, IFNAME, Libcni, Network
from support.runtimes import RuntimeFailure

pytestmark = pytest.mark.e2e

NAME = "pod"


@pytest.fixture(params=["0.3.1", "0.4.0", "1.0.0"])
def network(request: pytest.FixtureRequest, site: Site, by_libcni: Libcni) -> Iterator[Libcni]:
    """A network of each version that libcni 1.1 knows, and an empty namespace."""
    conflist = site.network("versions", request.param)
    made = by_libcni.on(Network(conflist=conflist, cache=conflist.parent / "results"))
    made.make_netns(NAME)
    yield made
    made.call("del", NAME)
    made.delete_netns(NAME)


def test_the_result_has_the_shape_of_its_version(network: Libcni) -> None:
    """It is parsed by the version's own types; in each it names both interfaces, addresses and default routes."""
    result = network.call("add", NAME)
    inside = len(result["interfaces"]) - 1
    assert result["interfaces"][inside]["sandbox"] == network.netns(NAME)
    assert [ip["interface"] for ip in result["ips"]] == [inside, inside]
    assert [route["dst"] for route in result["routes"]] == ["0.0.0.0/0", "::/0"]
    assert ("version" in result["ips"][0]) == result["cniVersion"].startswith("0.")


def test_libcni_keeps_the_result_for_check_and_del(network: Libcni) -> None:
    """What it would give as prevResult."""
    assert network.call("add", NAME) == network.call("cached", NAME)


def test_del_twice_is_no_error(network: Libcni) -> None:
    """Nor without an ADD."""
    network.call("del", NAME)
    network.call("add", NAME)
    network.call("del", NAME)
    network.call("del", NAME)


def test_a_second_add_is_refused_with_its_number(network: Libcni) -> None:
    """And harms nothing."""
    network.call("add", NAME)
    with pytest.raises(RuntimeFailure) as caught:
        network.call("add", NAME)
    assert json.loads(str(caught.value))["code"] == Code.CONFLICT
    assert "eth0" in network.inside(NAME, "ip", "link").stdout


@pytest.fixture
def empty(by_libcni: Libcni) -> Iterator[Libcni]:
    """The newest version that libcni 1.1 knows, and an empty namespace."""
    by_libcni.make_netns(NAME)
    yield by_libcni
    by_libcni.call("del", NAME)
    by_libcni.delete_netns(NAME)


def test_check_is_content_with_what_add_made(empty: Libcni) -> None:
    """Kernel and record alike."""
    empty.call("add", NAME)
    empty.call("check", NAME)


def test_check_tells_of_an_address_removed_by_hand(empty: Libcni) -> None:
    """By its number and a sentence that names it."""
    address = empty.call("add", NAME)["ips"][0]["address"]
    empty.inside(NAME, "ip", "address", "del", address, "dev", IFNAME)
    with pytest.raises(RuntimeFailure) as caught:
        empty.call("check", NAME)
    error = json.loads(str(caught.value))
    assert (error["code"], address.partition("/")[0] in error["msg"]) == (Code.CHANGED, True)


def test_a_del_that_nobody_heard_is_done_later(site: Site, empty: Libcni) -> None:
    """The namespace lives on, so its end does not take the interface away: the agent must be told."""
    empty.call("add", NAME)
    with site.agent_away():
        empty.call("del", NAME)
        assert IFNAME in empty.inside(NAME, "ip", "link").stdout
    assert site.node.get("/v1/endpoints") == []
    assert IFNAME not in empty.inside(NAME, "ip", "link").stdout


def test_addresses_and_mac_asked_for_are_given(empty: Libcni) -> None:
    """By the capabilities that the installed network declares."""
    wanted = {"ips": ["10.244.1.77/24", "fd00:10:244:1::77"], "mac": "02:00:00:00:00:77"}
    result = empty.call("add", NAME, capabilities=wanted)
    assert {ip["address"] for ip in result["ips"]} == {"10.244.1.77/32", "fd00:10:244:1::77/128"}
    assert result["interfaces"][1]["mac"] == wanted["mac"]
    empty.call("check", NAME)


def by_environment(site: Site, command: str, config: dict[str, object]) -> str:
    """A call of version 1.1.0 as the specification has it; standard output of one that succeeds."""
    environment = (f"CNI_COMMAND={command}", f"CNI_PATH={BIN_DIR}")
    stdin = json.dumps({"cniVersion": "1.1.0", "type": "netloom-cni", **config})
    return site.machine.run("env", *environment, f"{BIN_DIR}/netloom-cni", stdin=stdin)


def test_status_says_that_containers_can_be_attached(site: Site) -> None:
    """By saying nothing."""
    assert by_environment(site, "STATUS", {"name": "by-libcni"}) == ""


def test_gc_takes_what_its_network_no_longer_needs(site: Site, by_libcni: Libcni) -> None:
    """And nothing that is in the list, or another network's."""
    other = by_libcni.on(Network(conflist=site.network("other"), cache=site.node.directory / "results"))
    for pods, name in ((by_libcni, "kept"), (by_libcni, "stale"), (other, "foreign")):
        pods.make_netns(name)
        pods.call("add", name)
    valid = [{"containerID": "kept", "ifname": IFNAME}]
    by_environment(site, "GC", {"name": "by-libcni", "cni.dev/valid-attachments": valid})
    left = sorted(shown["container_id"] for shown in site.node.get("/v1/endpoints"))
    for pods, name in ((by_libcni, "kept"), (by_libcni, "stale"), (other, "foreign")):
        pods.call("del", name)
        pods.delete_netns(name)
    assert left == ["foreign", "kept"]
