"""The proxy and the kernel's maps: its listeners stand in one, and another knows who is at both ends."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from netloom.bpf.maps import BpfMap, open_map
from netloom.datapath.connection_records import key_of
from netloom.datapath.connections import CONNECTIONS_TCP, ConnectionFlag, ConnectionInfo, ConnectionKey
from netloom.datapath.maps import Index
from netloom.datapath.proxy import PROXY_IPV4, PROXY_IPV6, PROXY_LISTENERS
from netloom.model.address import parse_address
from netloom.proxy.ends import PinnedConnections
from netloom.proxy.sockets import SockmapDoor, listen
from support.leaks import MARK
from support.netns import Namespace
from support.proxy_world import ControlSocket, eventually

pytestmark = pytest.mark.bpf

LOW, HIGH = (parse_address("10.0.0.1"), 40000), (parse_address("10.0.0.2"), 80)
INFO = ConnectionInfo(
    expires_ns=0,
    sent_packets=0,
    sent_bytes=0,
    received_packets=0,
    received_bytes=0,
    source_identity=300,
    destination_identity=400,
    epoch=1,
    service=80,
    flags=0,
)


@pytest.fixture
def pins() -> Iterator[Path]:
    """Where the agent of a node pins its maps."""
    node = Path("/sys/fs/bpf") / f"{MARK}proxy"
    directory = node / "maps"
    directory.mkdir(parents=True)
    yield directory
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    node.rmdir()


@pytest.fixture
def connections(pins: Path) -> Iterator[BpfMap[ConnectionKey, ConnectionInfo]]:
    """Of a size that the node's configuration gave."""
    spec = replace(CONNECTIONS_TCP, max_entries=1024)
    with open_map(pins / spec.pin_name, spec) as made:
        yield made


@pytest.fixture
def known(pins: Path) -> Iterator[PinnedConnections]:
    made = PinnedConnections(pins)
    yield made
    made.close()


def test_listeners_of_both_families_stand_in_the_door(netns: Namespace, pins: Path) -> None:
    netns.run("ip", "link", "set", "lo", "up")
    ipv4, ipv6 = netns.call(listen, socket.AF_INET, 0, 60), netns.call(listen, socket.AF_INET6, 0, 60)
    with open_map(pins / PROXY_LISTENERS.pin_name, PROXY_LISTENERS) as listeners:
        SockmapDoor(pins).open(ipv4, ipv6)
        cookies = [int.from_bytes(one.getsockopt(socket.SOL_SOCKET, 57, 8), "little") for one in (ipv4, ipv6)]
        found = [listeners.get(Index(index)) for index in (PROXY_IPV4, PROXY_IPV6)]
        assert [one and one.socket for one in found] == cookies
        ipv4.close()
        assert listeners.get(Index(PROXY_IPV4)) is None
        ipv6.close()


def test_the_program_opens_its_door_with_the_first_tables(
    netns: Namespace, pins: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Before, it would refuse everybody whom another one serves."""
    netns.run("ip", "link", "set", "lo", "up")
    run_dir = tmp_path_factory.mktemp("run")  # names of sockets are 107 bytes long at most
    config = run_dir / "node.yaml"
    node = pins.parent
    paths = {"run_dir": str(run_dir), "bpf_dir": str(node.parent)}
    plugins = {"hostscope": {"pod_cidrs": ["10.244.1.0/24"]}}
    config.write_text(json.dumps({"node": {"name": node.name}, "paths": paths, "plugins": plugins}))
    process = netns.popen(sys.executable, "-m", "netloom.proxy.main", "--config", str(config))
    try:
        path = run_dir / node.name / "proxy" / f"{process.pid}.sock"
        eventually(path.exists, "the control socket")
        with open_map(pins / PROXY_LISTENERS.pin_name, PROXY_LISTENERS) as listeners:
            agent = ControlSocket(path)
            assert listeners.get(Index(PROXY_IPV6)) is None
            agent.put()
            assert listeners.get(Index(PROXY_IPV6)) is not None
            agent.close()
    finally:
        process.terminate()
    assert process.wait(20) == 0


def test_a_control_socket_whose_name_is_too_long_is_told(netns: Namespace, pins: Path, tmp_path: Path) -> None:
    netns.run("ip", "link", "set", "lo", "up")
    config = tmp_path / "node.yaml"
    paths = {"run_dir": str(tmp_path / ("long" * 25)), "bpf_dir": str(pins.parent.parent)}
    plugins = {"hostscope": {"pod_cidrs": ["10.244.1.0/24"]}}
    config.write_text(json.dumps({"node": {"name": pins.parent.name}, "paths": paths, "plugins": plugins}))
    done = netns.attempt(sys.executable, "-m", "netloom.proxy.main", "--config", str(config))
    assert (done.returncode, "longlong" in done.stderr, "File name too long" in done.stderr) == (1, True, True)


def test_another_port_does_where_the_first_is_taken(netns: Namespace) -> None:
    """By the proxy that is to be replaced."""
    netns.run("ip", "link", "set", "lo", "up")
    with netns.call(listen, socket.AF_INET, 15076, 60) as old, netns.call(listen, socket.AF_INET, 15076, 60) as new:
        assert old.getsockname()[1] == 15076
        assert new.getsockname()[1] != 15076


def test_identities_are_those_of_whoever_began(
    connections: BpfMap[ConnectionKey, ConnectionInfo], known: PinnedConnections
) -> None:
    for source, destination in ((LOW, HIGH), (HIGH, LOW)):
        key, is_second = key_of(source, destination, 6)
        connections.put(key, replace(INFO, flags=ConnectionFlag.BEGUN_BY_HIGH if is_second else 0))
        assert known(*source, *destination) == (300, 400)


def test_a_connection_the_other_end_began_is_not_this_one(
    connections: BpfMap[ConnectionKey, ConnectionInfo], known: PinnedConnections
) -> None:
    connections.put(key_of(LOW, HIGH, 6)[0], replace(INFO, flags=int(ConnectionFlag.BEGUN_BY_HIGH)))
    assert known(*LOW, *HIGH) is None


def test_no_table_knows_nobody(known: PinnedConnections) -> None:
    assert known(*LOW, *HIGH) is None


def test_a_table_that_took_the_others_place_is_found(
    pins: Path, connections: BpfMap[ConnectionKey, ConnectionInfo], known: PinnedConnections,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """As after a change of its size."""
    monkeypatch.setattr("netloom.proxy.ends.REOPEN_S", 0.0)
    assert known(*LOW, *HIGH) is None
    path = pins / CONNECTIONS_TCP.pin_name
    path.unlink()
    with open_map(path, replace(connections.spec, max_entries=2048)) as other:
        other.put(key_of(LOW, HIGH, 6)[0], INFO)
        assert known(*LOW, *HIGH) == (300, 400)
