"""Settings of the BGP plugin: what fits, and how what does not is told."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import ip_network

import pytest

from netloom.model.errors import ConfigError
from netloom.plugins.testing import check_plugin, read_section
from netloom_bgp.plugin import Bgp
from netloom_bgp.policy import announced
from netloom_bgp.settings import BgpSettings


def peers(*more: str) -> str:
    """Settings with as many peers, each with more settings of its own."""
    listed = ", ".join(f"{{address: 192.0.2.1, remote_as: 65002{one}}}" for one in more)
    return f"local_as: 1\npeers: [{listed}]"


def test_the_plugin_keeps_the_contract() -> None:
    check_plugin(Bgp, "bgp")


def test_a_node_without_peers_pays_nothing_for_what_speaks_bgp() -> None:
    program = "import sys, netloom_bgp.plugin; print([n for n in ('grpclib', 'google.protobuf') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("peers: [{address: 192.0.2.1, remote_as: 65002}]", "", "local_as is not set"),
        ("local_as: 0", "local_as", "1 to 4294967295"),
        (peers(", hold_time_s: 1"), "peers[0].hold_time_s", "0, or a number from 3"),
        (peers("", ""), "", "again, first in peers[0]"),
        (peers(", families: [ipv6]"), "peers[0]", "next_hops has no ipv6"),
        (peers(", keepalive_s: 9"), "peers[0]", "keepalives must come more often"),
        ("exports: {communities: ['65000:70000']}", "exports", "from 0 to 65535"),
        ("exports: {communities: [blue]}", "exports.communities[0]", "a community such as"),
        (
            "imports: {filters: [{action: accept, prefixes: [{prefix: 10.0.0.0/8, le: 4}]}]}",
            "imports.filters[0].prefixes[0]",
            "from 8 up",
        ),
    ],
)
def test_what_does_not_fit_is_told_with_its_path(text: str, key: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_section(BgpSettings, text)
    (problem,) = error.value.problems
    assert problem.key == (key or "file")
    assert words in f"{problem.found} {problem.expected}"


def test_overrides_hold_for_nodes_with_their_labels_one_after_the_other() -> None:
    text = (
        "local_as: 1\npeers: [{address: 192.0.2.1, remote_as: 65002}]\n"
        "overrides:\n - {match_labels: {rack: a}, local_as: 2}\n"
        " - {match_labels: {rack: a, edge: 'yes'}, local_as: 3}\n"
    )
    settings = read_section(BgpSettings, text)
    found = [settings.of_node(labels).local_as for labels in ({}, {"rack": "a"}, {"rack": "a", "edge": "yes"})]
    assert found == [1, 2, 3]


def test_the_first_export_filter_that_matches_decides() -> None:
    text = (
        "exports:\n  otherwise: reject\n  filters:\n"
        "  - {action: reject, prefixes: [{prefix: 10.1.0.0/16, le: 32}]}\n"
        "  - {action: accept, prefixes: [{prefix: 10.0.0.0/8, ge: 16, le: 24}]}\n"
    )
    exports = read_section(BgpSettings, text).exports
    prefixes = ("10.1.2.0/24", "10.2.0.0/16", "10.2.0.0/25", "11.0.0.0/16", "fd00::/64")
    assert [announced(exports, ip_network(one)) for one in prefixes] == [False, True, False, False, False]
