"""What netctl says and asks of the prefilter."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support import answers
from support.netctl import Netctl, text
from support.recorded_agent import RecordedAgent

WARNING = 'netctl: 192.168.77.0/24 holds 192.168.77.13, the underlay address of node "node3"\n'
CHANGED = text(
    """
    Revision: 4
    2 added, 1 removed, 3 in all, generic on eth0, eth1; native on eth2
    """
)


def asked(agent: RecordedAgent) -> tuple[str, str, Any]:
    (request,) = agent.requests
    return request


def test_the_list_is_the_revision_and_a_line_for_each(ask: Netctl) -> None:
    """What is wrong goes to standard error."""
    expected = "Revision: 4\n192.0.2.7/32\n192.168.77.0/24\n2001:db8::/32\n"
    assert ask("prefilter", "list") == (0, expected, WARNING)


def test_a_problem_is_told_before_the_warnings(ask: Netctl, agent: RecordedAgent) -> None:
    agent.answers["GET", "/v1/prefilter"] = answers.PREFILTER | {"problem": "somebody else's program", "mode": "off"}
    assert ask("prefilter", "list").err == f"netctl: somebody else's program\n{WARNING}"


def test_a_set_that_is_empty_shows_its_revision_alone(ask: Netctl, agent: RecordedAgent) -> None:
    agent.answers["GET", "/v1/prefilter"] = answers.PREFILTER | {"cidrs": [], "warnings": []}
    assert ask("prefilter", "list") == (0, "Revision: 4\n", "")


def test_an_update_names_what_words_and_files_name(ask: Netctl, agent: RecordedAgent, tmp_path: Path) -> None:
    """Remarks, empty lines, a byte order mark and other systems' line ends are no matter."""
    file = tmp_path / "list.txt"
    file.write_bytes(b"\xef\xbb\xbf# attackers\r\n\r\n192.0.2.7 # one\r\n  2001:db8::/32\r\n")
    ask.monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"198.51.100.0/24\n")))
    assert ask("prefilter", "update", "203.0.113.1", "-f", str(file), "--file", "-").out == CHANGED
    cidrs = ["203.0.113.1", "192.0.2.7", "2001:db8::/32", "198.51.100.0/24"]
    assert asked(agent) == ("PATCH", "/v1/prefilter", {"cidrs": cidrs, "revision": None, "force": False})


def test_words_of_an_update_reach_the_agent(ask: Netctl, agent: RecordedAgent) -> None:
    assert ask("prefilter", "update", "0.0.0.0/0", "--replace", "--force", "--revision", "4").status == 0
    assert asked(agent) == ("PUT", "/v1/prefilter", {"cidrs": ["0.0.0.0/0"], "revision": 4, "force": True})


def test_a_delete_names_what_goes(ask: Netctl, agent: RecordedAgent) -> None:
    assert ask("prefilter", "delete", "192.0.2.7") == (0, CHANGED, WARNING)
    assert asked(agent) == ("DELETE", "/v1/prefilter", {"cidrs": ["192.0.2.7"], "revision": None})


def test_delete_all_leaves_an_empty_set(ask: Netctl, agent: RecordedAgent) -> None:
    assert ask("prefilter", "delete", "--all").status == 0
    assert asked(agent) == ("PUT", "/v1/prefilter", {"cidrs": [], "revision": None})


def test_every_bad_line_of_a_file_is_told_and_nothing_asked(ask: Netctl, agent: RecordedAgent, tmp_path: Path) -> None:
    """With its number; status 4, as for other files."""
    file = tmp_path / "list.txt"
    file.write_text("192.0.2.7\nfoo\n10.1.2.3/16\n")
    one = 'found "foo", expected an address or a prefix such as 192.0.2.0/24 or 2001:db8::/32'
    found = 'found "10.1.2.3/16", whose bits behind the first 16 are not zero'
    other = f'{found}, expected "10.1.0.0/16" for the whole range or "10.1.2.3" for the one address'
    lines = f"netctl: {file}:2: prefix: {one}\n{file}:3: prefix: {other}\n"
    assert ask("prefilter", "update", "-f", str(file)) == (4, "", lines)
    assert agent.requests == []


def test_of_many_bad_lines_some_are_told(ask: Netctl, tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("foo\n" * 1000)
    err = ask("prefilter", "update", "-f", str(file)).err
    assert (len(err.splitlines()), err.splitlines()[-1]) == (
        21,
        f"{file}: prefix: found 980 more like these, expected none",
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["update"], "no prefix was named"),
        (["update", "--replace", "-f", "/dev/null"], "`netctl prefilter delete --all`"),
        (["delete"], "no prefix was named"),
        (["delete", "--all", "192.0.2.7"], "say either --all or which prefixes"),
        (["update", "10.0.0.1/8"], 'expected "10.0.0.0/8" for the whole range'),
        (["update", "-f", "/nowhere"], 'file "/nowhere" cannot be read: No such file or directory'),
        (["update", "-f", "/"], 'file "/" cannot be read: Is a directory'),
        (["update", "-f", "/usr/bin/python3"], 'file "/usr/bin/python3" is no text'),
        (["update", "-f", "/dev/zero"], 'file "/dev/zero" is longer than'),
    ],
)
def test_words_that_make_no_sense_are_told_without_asking(
    ask: Netctl, agent: RecordedAgent, words: list[str], said: str
) -> None:
    status, _, err = ask("prefilter", *words)
    assert (status, said in err, agent.requests) == (2, True, [])


def test_a_refusal_of_the_agent_is_told_in_its_words(ask: Netctl, agent: RecordedAgent) -> None:
    agent.failures["PATCH", "/v1/prefilter"] = (400, "invalid", "nothing was changed: say `--force`")
    assert ask("prefilter", "update", "::/0") == (1, "", "netctl: nothing was changed: say `--force`\n")
