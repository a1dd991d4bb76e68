"""Settings of the BGP plugin that cannot be: each problem with its path, what was found, and what was expected."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from netloom.config.load import load_text
from netloom.model.errors import ConfigError, Invalid
from netloom.plugins import Misfits
from netloom.plugins.testing import read_section
from netloom_bgp.host import read_password
from netloom_bgp.settings import MAX_PASSWORD_BYTES, BgpSettings

SECRET = "correct-horse-battery"  # noqa: S105 - of a test


def problems(section: str) -> list[tuple[str, str, str]]:
    """Path, what was found, and what was expected, of all problems of a node config with this section."""
    text = "plugins:\n  bgp:\n" + textwrap.indent(section, "    ")
    with pytest.raises(ConfigError) as error:
        load_text(text, "node.yaml", {"bgp": BgpSettings})
    return [(one.key.removeprefix("plugins.bgp."), one.found, one.expected) for one in error.value.problems]


def peer(more: str = "", address: str = "192.0.2.1") -> str:
    """Two peers, the second one with more settings."""
    second = f'{{address: "{address}", remote_as: 65002{more and f", {more}"}}}'
    return f"local_as: 65001\npeers:\n  - {{address: 192.0.2.77, remote_as: 65002}}\n  - {second}\n"


def match(more: str) -> str:
    return f"imports: {{filters: [{{action: accept, prefixes: [{{prefix: 10.0.0.0/8, {more}}}]}}]}}"


UNNUMBERED = "an address that routes lead to: BGP unnumbered is not supported"
HOST = "the address of one host"
AS = "an AS number, from 1 to 4294967295"
COMMUNITY = "a community such as 65000:100: two numbers from 0 to 65535"
OVERRIDE = "local_as: 65001\noverrides:\n  - match_labels: {rack: a}\n"
BAD = {
    "multicast": (peer(address="224.0.0.5"), "peers[1].address", "224.0.0.5, a multicast address", HOST),
    "multicast-6": (peer(address="ff02::5"), "peers[1].address", "ff02::5, a multicast address", HOST),
    "unspecified": (peer(address="0.0.0.0"), "peers[1].address", "0.0.0.0, the unspecified address", HOST),
    "unspecified-6": (peer(address="::"), "peers[1].address", "::, the unspecified address", HOST),
    "broadcast": (peer(address="255.255.255.255"), "peers[1].address", "255.255.255.255, a reserved address", HOST),
    "link-local": (peer(address="169.254.1.1"), "peers[1].address", "169.254.1.1, a link-local address", UNNUMBERED),
    "link-local-6": (peer(address="fe80::1"), "peers[1].address", "fe80::1, a link-local address", UNNUMBERED),
    "mapped": (
        peer(address="::ffff:192.0.2.1"), "peers[1].address", "::ffff:c000:201, an IPv4 address in IPv6's form",
        "it as IPv4: 192.0.2.1",
    ),
    "loopback": (
        peer(address="127.0.0.1"), "peers[1].address", "127.0.0.1, where this node itself listens",
        "another host's address; a speaker of this node needs another port than 179",
    ),
    "loopback-6": (
        peer("port: 1790", address="::1") + "listen_port: 1790", "peers[1].address",
        "::1, where this node itself listens",
        "another host's address; a speaker of this node needs another port than 1790",
    ),
    "name": (peer(address="router.example"), "peers[1].address", '"router.example"', "an IPv4 address"),
    "prefix": (peer(address="192.0.2.1/24"), "peers[1].address", '"192.0.2.1/24"', "an IPv4 address"),
    "twice": (peer(address="192.0.2.77"), "peers[1].address", "192.0.2.77 again, first in peers[0]", "each peer once"),
    "no-address": ("local_as: 1\npeers: [{remote_as: 2}]", "peers[0].address", "nothing", "an IPv4 address"),
    "no-remote-as": ("local_as: 1\npeers: [{address: 192.0.2.1}]", "peers[0].remote_as", "nothing", "a whole number"),
    "no-local-as": (
        "peers: [{address: 192.0.2.1, remote_as: 65002}]", "local_as", "nothing, but peers",
        "the AS number of this node",
    ),
    "as-0": ("local_as: 0", "local_as", "the number 0", AS),
    "as-large": ("local_as: 4294967296", "local_as", "the number 4294967296", AS),
    "as-negative": ("local_as: -1", "local_as", "the number -1", AS),
    "as-text": ("local_as: AS65001", "local_as", '"AS65001"', "a whole number"),
    "as-trans": (
        "local_as: 23456", "local_as", "the number 23456",
        "another AS number: 23456 only stands for those of four bytes (RFC 6793)",
    ),
    "remote-as-0": (
        "local_as: 1\npeers: [{address: 192.0.2.1, remote_as: 0}]", "peers[0].remote_as", "the number 0", AS,
    ),
    "router-id": (
        "router_id: 0.0.0.0", "router_id", "0.0.0.0", "any other number in an IPv4 address's form (RFC 6286)",
    ),
    "router-id-6": ('router_id: "::1"', "router_id", '"::1"', "an IPv4 address"),
    "hold-1": (peer("hold_time_s: 1"), "peers[1].hold_time_s", "the number 1", "0, or a number from 3 to 65535"),
    "hold-2": (peer("hold_time_s: 2"), "peers[1].hold_time_s", "the number 2", "0, or a number from 3 to 65535"),
    "hold-large": (
        peer("hold_time_s: 65536"), "peers[1].hold_time_s", "the number 65536", "0, or a number from 3 to 65535",
    ),
    "keepalive": (
        peer("keepalive_s: 9"), "peers[1].keepalive_s", "the number 9",
        "less than hold_time_s, which is 9; a third of it is usual",
    ),
    "keepalive-0": (peer("keepalive_s: 0"), "peers[1].keepalive_s", "the number 0", "a number from 1 to 21845"),
    "keepalive-needless": (
        peer("hold_time_s: 0, keepalive_s: 3"), "peers[1].keepalive_s", "the number 3",
        "none: with hold_time_s 0 no keepalives are sent",
    ),
    "retry": (peer("connect_retry_s: 0"), "peers[1].connect_retry_s", "the number 0", "a number from 1 to 65535"),
    "port": (peer("port: 0"), "peers[1].port", "the number 0", "a number from 1 to 65535"),
    "listen-port": ("listen_port: 65536", "listen_port", "the number 65536", "a number from 0 to 65535"),
    "ttl": (peer("multihop_ttl: 1"), "peers[1].multihop_ttl", "the number 1", "a number from 2 to 255"),
    "local-version": (
        peer('local_address: "2001:db8::1"'), "peers[1].local_address", "2001:db8::1",
        "an address of IP version 4, as the peer's is",
    ),
    "local-same": (
        peer("local_address: 192.0.2.1"), "peers[1].local_address", "192.0.2.1, the peer's own",
        "an address of this node",
    ),
    "local-multicast": (
        peer("local_address: 224.0.0.1"), "peers[1].local_address", "224.0.0.1, a multicast address", HOST,
    ),
    "relative-file": (
        peer("password_file: secret"), "peers[1].password_file", "a value that is not shown", "an absolute path",
    ),
    "family": (peer("families: [ipv5]"), "peers[1].families[0]", '"ipv5"', "one of ipv4, ipv6"),
    "family-twice": (
        peer("families: [ipv4, ipv4]"), "peers[1].families[1]", "ipv4 again, first in families[0]", "each once",
    ),
    "family-without-hop": (
        peer("families: [ipv4, ipv6]"), "peers[1].families[1]", "ipv6 for a peer at 192.0.2.1",
        "next_hops with the ipv6 address of this node by which the peer reaches its ipv6 prefixes",
    ),
    "hop-twice": (
        peer("next_hops: [192.0.2.8, 192.0.2.9]"), "peers[1].next_hops[1]", "192.0.2.9, the second ipv4 address",
        "one of each; next_hops[0] is the first",
    ),
    "hop-needless": (
        peer('next_hops: ["2001:db8::1"]'), "peers[1].next_hops[0]", "2001:db8::1, for a peer with ipv4",
        "ipv6 among families, or no such address",
    ),
    "hop-loopback": (
        peer("next_hops: [127.0.0.1]"), "peers[1].next_hops[0]", "127.0.0.1, a loopback address",
        "an address by which the peer reaches this node",
    ),
    "max-prefixes": (peer("max_prefixes: 0"), "peers[1].max_prefixes", "the number 0", "a number from 1 to 4294967295"),
    "bfd": (peer("bfd: {multiplier: 1}"), "peers[1].bfd.multiplier", "the number 1", "a number from 2 to 50"),
    "community-word": ("exports: {communities: [blue]}", "exports.communities[0]", '"blue"', COMMUNITY),
    "community-large": (
        'exports: {communities: ["1:1", "65000:70000"]}', "exports.communities[1]", '"65000:70000"', COMMUNITY,
    ),
    "community-number": ("exports: {communities: [65000]}", "exports.communities[0]", "the number 65000", "text"),
    "community-import": (
        'imports: {filters: [{action: accept, communities: ["70000:1"]}]}', "imports.filters[0].communities[0]",
        '"70000:1"', COMMUNITY,
    ),
    "le-short": (
        match("le: 4"), "imports.filters[0].prefixes[0].le", "the number 4", "a length from 8 to 32: within 10.0.0.0/8",
    ),
    "ge-long": (
        match("ge: 33"), "imports.filters[0].prefixes[0].ge", "the number 33",
        "a length from 8 to 32: within 10.0.0.0/8",
    ),
    "ge-le": (match("ge: 24, le: 16"), "imports.filters[0].prefixes[0].ge", "the number 24", "at most 16, which is le"),
    "host-bits": (
        "exports: {filters: [{action: accept, prefixes: [{prefix: 10.1.0.0/8}]}]}",
        "exports.filters[0].prefixes[0].prefix",
        '"10.1.0.0/8"', "a prefix without host bits",
    ),
    "action": (
        "exports: {filters: [{action: deny}]}", "exports.filters[0].action", '"deny"', "one of accept, reject",
    ),
    "unknown": (peer("hold_time: 9"), "peers[1].hold_time", "an unknown key", 'did you mean "hold_time_s"?'),
    "unknown-section": ("import: {}", "import", "an unknown key", 'did you mean "imports"?'),
    "restart": (
        "graceful_restart: {restart_time_s: 4096}", "graceful_restart.restart_time_s", "the number 4096",
        "a number from 1 to 4095",
    ),
    "socket": (f"speaker: {{socket: /{'x' * 110}}}", "speaker.socket", "a path of 111 bytes", "107 at most"),
    "override-as": (OVERRIDE + "    local_as: 0", "overrides[0].local_as", "the number 0", AS),
    "override-peer": (
        OVERRIDE + "    peers: [{address: 192.0.2.1, remote_as: 1}, {address: fe80::1, remote_as: 1}]",
        "overrides[0].peers[1].address", "fe80::1, a link-local address", UNNUMBERED,
    ),
    "override-twice": (
        OVERRIDE + "    peers: [{address: 192.0.2.1, remote_as: 1}, {address: 192.0.2.1, remote_as: 2}]",
        "overrides[0].peers[1].address", "192.0.2.1 again, first in overrides[0].peers[0]", "each peer once",
    ),
    "override-loopback": (
        OVERRIDE + "    listen_port: 1790\n    peers: [{address: 127.0.0.1, remote_as: 1, port: 1790}]",
        "overrides[0].peers[0].address", "127.0.0.1, where this node itself listens", "another host's address",
    ),
    "override-nothing": (
        OVERRIDE, "overrides[0]", "match_labels alone", "settings for the nodes with these labels",
    ),
    "override-everybody": (
        "overrides: [{match_labels: {}, local_as: 1}]", "overrides[0].match_labels", "", "1 to 64 items",
    ),
    "override-no-as": (
        "overrides: [{match_labels: {rack: a}, peers: [{address: 192.0.2.1, remote_as: 1}]}]", "local_as",
        "nothing, but overrides[0].peers", "the AS number of this node",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("section", "key", "found", "expected"), BAD.values(), ids=BAD.keys())
def test_what_does_not_fit_is_told_with_its_path(section: str, key: str, found: str, expected: str) -> None:
    """It alone: no problem is told twice."""
    ((where, what, wanted),) = problems(section)
    assert (where, what) == (key, found or what)
    assert expected in wanted


@pytest.mark.parametrize("name", ["password_file", "password"])
def test_a_password_in_the_config_is_not_repeated(name: str) -> None:
    """Neither where the name of its file belongs, nor where nothing belongs."""
    assert SECRET not in str(problems(peer(f"{name}: {SECRET}")))


def test_everything_that_does_not_fit_is_told_at_once() -> None:
    """What single settings are, what does not go together, and what overrides have, in the order of the file."""
    section = (
        "local_as: 23456\npeers:\n"
        "  - {address: 192.0.2.1, remote_as: 65002, hold_time_s: 9, keepalive_s: 30, port: 0}\n"
        "  - {address: 192.0.2.2, remote_as: 65002}\n"
        "  - {address: 192.0.2.2, remote_as: 65002}\n"
        "  - {address: ff02::1, remote_as: 0, hold_time_s: 2}\n"
        "imports:\n  filters: [{action: accept, prefixes: [{prefix: 10.0.0.0/8, le: 4}]}]\n"
        "overrides:\n"
        "  - {match_labels: {rack: a}, peers: [{address: 127.0.0.1, remote_as: 1}]}\n"
        "  - {match_labels: {rack: b}, listen_port: 1, lokal_as: 7}\n"
    )
    assert [key for key, _, _ in problems(section)] == [
        "local_as", "peers[0].keepalive_s", "peers[0].port", "peers[2].address",
        "peers[3].address", "peers[3].hold_time_s", "peers[3].remote_as", "imports.filters[0].prefixes[0].le",
        "overrides[0].peers[0].address", "overrides[1].lokal_as",
    ]  # fmt: skip


def test_a_problem_has_the_line_it_stands_in() -> None:
    text = "local_as: 65001\npeers:\n- address: 192.0.2.1\n  remote_as: 65002\n  hold_time_s: 9\n  keepalive_s: 9\n"
    with pytest.raises(
        ConfigError, match=r"section\.yaml:6: peers\[0\]\.keepalive_s: found the number 9, expected less than"
    ):
        read_section(BgpSettings, text)


@pytest.mark.parametrize("more", ["port: 1790", "passive: true"], ids=["another-port", "passive"])
def test_a_speaker_of_this_node_may_be_a_peer(more: str) -> None:
    """Where it is not the node's own."""
    settings = read_section(BgpSettings, peer(more, address="127.0.0.1"))
    assert settings.peers[1].address.is_loopback


def test_overrides_that_do_not_fit_together_are_told_as_they_are_written() -> None:
    """Each fits by itself; which nodes have the labels of both is known on the node alone."""
    settings = read_section(
        BgpSettings,
        "local_as: 65001\noverrides:\n  - {match_labels: {rack: a}, listen_port: 1790}\n"
        "  - {match_labels: {edge: 'yes'}, peers: [{address: 127.0.0.1, remote_as: 1, port: 1790}]}\n",
    )
    assert settings.of_node({"edge": "yes"}).peers
    with pytest.raises(Misfits, match=r"^overrides\[1\]\.peers\[0\]\.address: found 127\.0\.0\.1, where this node"):
        settings.of_node({"rack": "a", "edge": "yes"})


def written(path: Path, content: bytes, mode: int = 0o600) -> None:
    path.write_bytes(content)
    path.chmod(mode)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _path: None, "cannot be read: No such file or directory"),
        (lambda path: path.symlink_to(path), "cannot be read: Too many levels of symbolic links"),
        (lambda path: path.mkdir(), "is no regular file"),
        (lambda path: os.mkfifo(path, 0o600), "is no regular file"),
        (lambda path: written(path, SECRET.encode(), 0o644), "has mode 0644, expected one that nobody but its owner"),
        (lambda path: written(path, SECRET.encode(), 0o620), "has mode 0620, expected one that nobody but its owner"),
        (lambda path: written(path, b""), "begins with an empty line"),
        (lambda path: written(path, b"\n" + SECRET.encode()), "begins with an empty line"),
        (lambda path: written(path, SECRET.encode() * 4), "of more than 80 bytes, expected 80 at most"),
        (lambda path: written(path, SECRET.encode() + b"\xc3\xa4"), "other characters than printable ASCII"),
        (lambda path: written(path, SECRET.encode() + b"\0"), "other characters than printable ASCII"),
    ],
    ids=[
        "missing",
        "circle",
        "directory",
        "pipe",
        "others-read",
        "group-writes",
        "empty",
        "empty-line",
        "long",
        "umlaut",
        "zero",
    ],
)
def test_a_password_file_that_cannot_be_is_told_without_its_content(
    tmp_path: Path, make: Callable[[Path], object], words: str
) -> None:
    path = tmp_path / "password"
    make(path)
    with pytest.raises(Invalid) as error:
        read_password(path)
    assert f"password file {path} " in str(error.value)
    assert words in str(error.value)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("content", [b"x" * MAX_PASSWORD_BYTES, b"two words\r\nand a second line"])
def test_the_first_line_of_a_password_file_is_the_password(tmp_path: Path, content: bytes) -> None:
    written(tmp_path / "password", content)
    assert read_password(tmp_path / "password").encode() == content.splitlines()[0]
