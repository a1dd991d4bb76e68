"""Network namespaces: entered by threads made for it, refused when they are something else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netloom.edge.netns import (
    call_in_netns,
    create_named_netns,
    delete_named_netns,
    is_own_netns,
    open_netns,
)
from netloom.model.errors import Conflict, Invalid, NotFound
from support.netns import Namespace

pytestmark = pytest.mark.kernel

OWN = Path("/proc/thread-self/ns/net")


def test_a_call_runs_in_the_namespace_and_the_caller_stays_where_it_was(netns: Namespace) -> None:
    before = OWN.readlink()
    with open_netns(netns.path) as fd:
        inside = call_in_netns(fd, OWN.readlink)
    assert (inside != before, OWN.readlink()) == (True, before)
    assert str(inside) == f"net:[{netns.path.stat().st_ino}]"


def test_an_exception_in_the_namespace_reaches_the_caller(netns: Namespace) -> None:
    def fail() -> None:
        raise Conflict("told")

    with open_netns(netns.path) as fd, pytest.raises(Conflict, match="told"):
        call_in_netns(fd, fail)


def test_a_namespace_knows_its_own_threads(netns: Namespace) -> None:
    with open_netns(netns.path) as fd:
        assert (is_own_netns(fd), netns.call(is_own_netns, fd)) == (False, True)


def test_a_path_to_nothing_is_not_found(netns: Namespace) -> None:
    with pytest.raises(NotFound, match="does not exist"), open_netns(f"{netns.path}-gone"):
        pass


@pytest.mark.parametrize("path", ["/proc/self/ns/mnt", "/etc/passwd", "/tmp", "/dev/null"])
def test_another_kind_of_file_is_invalid(path: str) -> None:
    with pytest.raises(Invalid, match="is not a network namespace"), open_netns(path):
        pass


def test_a_pipe_in_place_of_a_namespace_does_not_hold_the_agent(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Invalid), open_netns(tmp_path / "pipe"):
        pass


def test_a_name_is_given_once(netns: Namespace) -> None:
    with pytest.raises(Conflict, match=netns.name):
        create_named_netns(netns.name)


def test_deleting_says_whether_there_was_something(netns: Namespace) -> None:
    assert (delete_named_netns(netns.name), delete_named_netns(netns.name)) == (True, False)


def test_a_name_left_by_an_interrupted_creation_can_be_deleted(netns: Namespace) -> None:
    netns.close()
    netns.path.touch()
    assert (delete_named_netns(netns.name), netns.path.exists()) == (True, False)
