"""Maps without room: whoever hits it is told by name, everything else goes on. Sizes change without a loss."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, ip_network

import pytest

from netloom.agent.records import encode_address, encode_node
from netloom.model.node import Node, RemoteAddress
from support.controllers import runs_of
from support.netns import Namespace, NamespaceFactory
from support.node import NodeUnderTest, wait_until
from support.stores import opened

pytestmark = pytest.mark.kernel

ROOM = 16
PODS_THAT_FIT = 6
"""Two addresses each, beside the node's own four: two gateways and two of the underlay."""


def start(node: NodeUnderTest, **sizes: int) -> None:
    """With room for so many entries."""
    node.write_config(more=f"maps: {{{', '.join(f'{name}: {size}' for name, size in sizes.items())}}}\n")
    node.start()


def reaches(pod: Namespace, address: str) -> bool:
    """In the end: the kernel takes its time to make a new IPv6 address usable."""
    return wait_until(lambda: answered(pod, address))


def answered(pod: Namespace, address: str) -> bool:
    return pod.attempt("ping", "-n", "-c", "1", "-W", "1", address).returncode == 0


def picture(node: NodeUnderTest) -> dict[str, object]:
    """What an attachment that failed must leave as it was."""
    tables = ("endpoints", "devices", "ipcache")
    return {
        "endpoints": node.get("/v1/endpoints"),
        "addresses": node.get("/v1/status")["ipam"],
        "files": sorted(path.name for path in (node.directory / "state/n1/endpoints").iterdir()),
        "links": node.netns.run("ip", "-br", "link"),
        "store": asyncio.run(stored(node)),
        **{table: sorted(map(str, node.get(f"/v1/maps/{table}")["entries"])) for table in tables},
    }


async def stored(node: NodeUnderTest) -> list[str]:
    async with opened(node.directory / "store/store.db") as store:
        return [entry.key for entry in await store.items("addresses/")]


async def publish(node: NodeUnderTest, entries: Mapping[str, bytes | None]) -> None:
    """What another node tells; None takes it back."""
    async with opened(node.directory / "store/store.db") as store:
        for key, value in entries.items():
            await (store.delete(key) if value is None else store.put(key, value))


@pytest.mark.parametrize("table", ["endpoints", "devices"])
def test_an_attachment_without_room_fails_by_name_and_is_undone_whole(
    node: NodeUnderTest, make_netns: NamespaceFactory, table: str
) -> None:
    """The pods that are there go on; when one leaves, there is room for one."""
    start(node, **{table: ROOM})
    count = PODS_THAT_FIT if table == "endpoints" else ROOM
    pods = [make_netns(f"pod{number}") for number in range(count)]
    made = [node.attach(pod, f"c{number}") for number, pod in enumerate(pods)]
    before, late = picture(node), make_netns("late")
    ended = node.cni("ADD", "late", CNI_NETNS=late.path)
    assert ended.status != 0
    assert f'eBPF map "{table}" is full: it holds {ROOM} entries' in str(ended.output)
    assert picture(node) == before
    assert "eth0" not in late.run("ip", "-br", "link")
    assert reaches(pods[0], made[1]["ipv4"])
    node.detach("c0")
    assert reached(node.attach(late, "late"), pods[1])


def reached(endpoint: Mapping[str, str], pod: Namespace) -> bool:
    """In both families."""
    return reaches(pod, endpoint["ipv4"]) and reaches(pod, endpoint["ipv6"])


def remote(numbers: Iterable[int]) -> dict[str, bytes]:
    """Addresses of another node's pods."""
    addresses = [IPv4Address(f"10.244.2.{number}") for number in numbers]
    return {
        f"addresses/n2/{address}": encode_address(RemoteAddress(address=address, identity=300, node="n2"))
        for address in addresses
    }


OTHER = Node(
    name="n2",
    underlay_ipv4=IPv4Address("192.168.78.12"),
    underlay_ipv6=None,
    pod_cidrs=(ip_network("10.244.2.0/24"),),
    gateways=(IPv4Address("10.244.2.1"),),
    mode="vxlan",
)


def test_another_nodes_addresses_without_room_are_told_of_once(
    node: NodeUnderTest, make_netns: NamespaceFactory
) -> None:
    """Status and maps show how many; what fits is there, and what did not comes as soon as there is room."""
    start(node, ipcache=ROOM)
    pod = make_netns("pod")
    node.attach(pod)
    told = "table.write_failed"
    asyncio.run(publish(node, {"nodes/n2": encode_node(OTHER)} | remote(range(2, 20))))
    assert wait_until(lambda: node.get("/v1/status")["unwritten"].get("ipcache", 0) > 0)
    runs = resyncs(node)
    assert wait_until(lambda: resyncs(node) > runs + 1)
    status = node.get("/v1/status")
    assert (status["state"], list(status["unwritten"])) == ("degraded", ["ipcache"])
    assert node.log_text().count(told) <= 2, "one batch of the watch, or two"
    assert "change_not_applied" not in node.log_text()
    assert f'eBPF map \\"ipcache\\" is full: it holds {ROOM} entries'.replace("\\", "") in node.log_text()
    assert reaches(pod, "10.244.1.1")
    asyncio.run(publish(node, dict.fromkeys(remote(range(2, 20)))))
    assert wait_until(lambda: node.get("/v1/status")["unwritten"] == {})
    assert wait_until(lambda: node.get("/v1/status")["state"] == "ok")


def resyncs(node: NodeUnderTest) -> int:
    return runs_of("resync", node.get("/v1/status"))


def test_a_map_too_small_for_what_is_there_keeps_the_agent_from_starting(
    node: NodeUnderTest, make_netns: NamespaceFactory
) -> None:
    """The pods go on with the map they have; with room again, so does the agent."""
    node.start()
    pods = [make_netns(f"pod{number}") for number in range(PODS_THAT_FIT + 1)]
    made = [node.attach(pod, f"c{number}") for number, pod in enumerate(pods)]
    node.stop()
    node.write_config(more=f"maps: {{endpoints: {ROOM}}}\n")
    status, words = node.refusal()
    assert (status, f'eBPF map "endpoints" is full: it holds {ROOM} entries' in words) == (1, True), words
    assert all(reached(endpoint, pods[0]) for endpoint in made[1:])
    start(node, endpoints=ROOM * 2)
    assert node.get("/v1/endpoints") == made
    assert all(reached(endpoint, pods[0]) for endpoint in made[1:])


def test_a_map_gets_the_size_the_config_says(node: NodeUnderTest) -> None:
    """And another one with another config."""
    for size in (100, 200):
        start(node, endpoints=size, peers=size)
        sizes = {item["name"]: item["max_entries"] for item in node.get("/v1/maps")}
        assert (sizes["endpoints"], sizes["peers"]) == (size, size)
        node.stop()
