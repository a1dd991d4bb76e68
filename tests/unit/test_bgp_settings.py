"""Settings of the BGP plugin: what holds for which node, and what goes out."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import ip_network

from netloom.plugins.testing import check_plugin, read_section
from netloom_bgp.plugin import Bgp
from netloom_bgp.policy import announced
from netloom_bgp.settings import BgpSettings


def test_the_plugin_keeps_the_contract() -> None:
    check_plugin(Bgp, "bgp")


def test_a_node_without_peers_pays_nothing_for_what_speaks_bgp() -> None:
    program = "import sys, netloom_bgp.plugin; print([n for n in ('grpclib', 'google.protobuf') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


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
