"""The benchmark of policies imports, waits for the kernel and leaves nothing; what it measures is up to the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench import attach, networks, policies, policy_scale
from bench.enforced import Enforced
from bench.networks import Pair

from netloom.lab.inside import run_in

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not attach.PLUGINS.is_dir(), reason="needs the reference plugins")]

MARK = f"policytest{os.getpid()}"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A world that is made in seconds."""
    sizes = {"POLICIES": 40, "SELECTED": 20, "ENDPOINTS": 20, "REPEATS": 1, "ATTACHED": 1, "IMPORTS": 1}
    for name, value in sizes.items():
        monkeypatch.setattr(policy_scale, name, value)


@pytest.mark.usefixtures("small")
def test_every_number_of_identities_is_measured(tmp_path: Path) -> None:
    found = policy_scale.measure(attach.build(tmp_path), MARK, lambda _: None, sizes=(20, 200))
    assert [scale.identities for scale in found.scales] == [20, 200]
    few, many = found.scales
    assert few.entries < many.entries
    assert min(few.all_s, few.policy_s, few.wide_policy_s, few.identity_s, few.wide_identity_s, found.import_s) > 0
    assert min(found.adding.known_before_ns, found.adding.known_ns, found.adding.new_ns) > 0
    assert not [path for path in Path("/run/netns").iterdir() if path.name.startswith(MARK)]


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Pair]]:
    monkeypatch.setattr(networks, "MARK", MARK)
    with policies.both(rules=90) as found:
        yield {pair.name: pair for pair in found}


def test_rules_let_in_what_they_name_and_nothing_else(pairs: dict[str, Pair]) -> None:
    """So what is measured is what is meant: of Netloom and of nftables alike."""
    for name, pair in pairs.items():
        is_open = name in (policies.NONE, policies.BRIDGE)
        assert _answers(pair, 5001), name
        assert _answers(pair, 4999) is is_open, name


def _answers(pair: Pair, port: int) -> bool:
    """Whether a connection is made or refused, rather than swallowed."""
    program = f"""
import socket
try:
    socket.create_connection(("{pair.server_address}", {port}), 1)
except ConnectionRefusedError:
    print("refused")
except TimeoutError:
    pass
"""
    return run_in(pair.client_netns, ["/usr/bin/python3", "-c", program]).stdout == "refused\n"


def test_what_changes_nothing_is_never_enforced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails, rather than to give the time of something that did not happen."""
    monkeypatch.setattr("bench.enforced._WITHIN_S", 0.05)
    monkeypatch.setattr(Enforced, "_epoch", lambda _self: 1)
    with pytest.raises(RuntimeError, match="nothing was enforced within"):
        Enforced(tmp_path).after(lambda: None)
