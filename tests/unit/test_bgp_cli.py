"""What ``netctl bgp`` shows of the plugin's answers."""

from __future__ import annotations

from typing import Any

import pytest

from netloom_bgp import cli_text

SPEAKER = {"state": "running", "error": ""}
PEER: dict[str, Any] = {
    "address": "192.0.2.2", "remote_as": 65002, "local_as": 65001, "state": "established", "uptime_s": 7500,
    "families": ["ipv4", "ipv6"], "received": 12, "accepted": 12, "advertised": 2, "last_error": "hold timer expired",
    "last_error_at": "2026-01-01T00:00:00Z", "held": "", "bfd": "up",
}  # fmt: skip
ROUTE: dict[str, Any] = {
    "prefix": "10.1.0.0/24", "next_hops": ["192.0.2.2", "192.0.2.6"], "peer": "192.0.2.2", "age_s": 61,
    "as_path": "65002", "origin": "igp", "local_preference": None, "med": 5, "communities": ["65000:1"],
    "best": True, "stale": False,
}  # fmt: skip


def peers(**changes: object) -> list[str]:
    answer = {"speaker": SPEAKER, "peers": [PEER | changes]}
    return [" ".join(line.split()) for line in cli_text.peers(answer).splitlines()]


def test_a_peer_has_a_row_with_a_line_for_each_family() -> None:
    """The last error of a session that stands again is history."""
    assert peers()[1:] == ["65001 65002 192.0.2.2 established 2h5m ipv4 12 2 up", "ipv6"]


def test_a_peer_without_session_has_its_last_error_below() -> None:
    assert peers(state="active", uptime_s=None)[-1] == (
        "192.0.2.2: last error at 2026-01-01T00:00:00Z: hold timer expired"
    )


def test_a_peer_that_is_held_says_why() -> None:
    found = peers(state="idle", uptime_s=None, held="device eth0 has no carrier")
    assert "idle (held)" in found[1]
    assert found[-1] == "192.0.2.2: not used: device eth0 has no carrier"


def test_a_speaker_that_fails_is_named_even_without_peers() -> None:
    answer = {"speaker": SPEAKER | {"error": "gobgpd is not installed"}, "peers": []}
    assert cli_text.peers(answer) == f"{cli_text.NO_PEERS}\ngobgpd:   gobgpd is not installed"


def test_a_route_has_a_line_for_each_next_hop() -> None:
    text = cli_text.routes({"view": "best", "routes": [ROUTE], "total": 3})
    assert [" ".join(line.split()) for line in text.splitlines()[1:]] == [
        "10.1.0.0/24 192.0.2.2 192.0.2.2 1m1s as-path 65002, origin igp, med 5, communities 65000:1, best",
        "192.0.2.6", "", "1 of 3 routes; --limit shows more, --prefix those within one.",
    ]  # fmt: skip


def test_what_is_not_there_is_said() -> None:
    assert cli_text.routes({"view": "advertised", "routes": [], "total": 0}) == "No advertised routes."
    assert cli_text.events({"events": []}) == "Nothing has happened yet."


@pytest.mark.parametrize(
    ("seconds", "expected"), [(None, "-"), (0, "0s"), (59, "59s"), (60, "1m"), (3_605, "1h"), (90_000, "1d1h")]
)
def test_a_duration_has_its_two_largest_units(seconds: int | None, expected: str) -> None:
    assert cli_text.duration(seconds) == expected
