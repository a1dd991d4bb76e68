"""Fixtures of the command line's tests: an agent that answers from a record, and netctl run in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.netctl import Netctl
from support.recorded_agent import RecordedAgent


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[RecordedAgent]:
    """An agent that answers from a record."""
    recorded = RecordedAgent(tmp_path / "netloom.sock")
    yield recorded
    recorded.close()


@pytest.fixture
def netctl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Netctl:
    """Runs netctl in this process; asks no agent unless told which."""
    monkeypatch.delenv("NETLOOM_SOCKET", raising=False)
    return Netctl(monkeypatch, capsys)


@pytest.fixture
def ask(agent: RecordedAgent, netctl: Netctl) -> Netctl:
    """Runs netctl so that it asks the recorded agent."""
    netctl.monkeypatch.setenv("NETLOOM_SOCKET", str(agent.socket))
    return netctl
