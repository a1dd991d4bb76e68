"""FRR in a namespace of its own: started, asked, stopped, and nothing of it left."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from netloom.lab.patience import patient
from support.netns import Namespace

DAEMONS = Path("/usr/lib/frr")
WITHIN_S = patient(30.0)


def wait_for(condition: Callable[[], Any], what: str, within_s: float = WITHIN_S) -> Any:
    """The first true value of ``condition``; AssertionError with ``what`` when there is none in time."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.02)
    return found


def _has_ended(pid: int) -> bool:
    """Whether the process is gone, or waits for nothing but to be told of."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


class Frr:
    """zebra and bgpd with one configuration."""

    def __init__(self, netns: Namespace, config: str) -> None:
        self.netns = netns
        self._run, self._etc = Path("/var/run/frr") / netns.name, Path("/etc/frr") / netns.name
        for directory in (self._run, self._etc):
            directory.mkdir(parents=True, exist_ok=True)
            shutil.chown(directory, "frr", "frr")
        self.configure(config)
        self._etc.joinpath("vtysh.conf").touch()
        for daemon in ("zebra", "bgpd"):
            self.start(daemon)
        self.load()

    def configure(self, config: str) -> None:
        """Write the file that is loaded next."""
        file = self._etc / "frr.conf"
        file.write_text(config)
        shutil.chown(file, "frr", "frr")

    def start(self, daemon: str) -> None:
        """Start one daemon, and wait until it listens to vtysh."""
        argv = [str(DAEMONS / daemon), "-d", "-N", self.netns.name, "-A", "127.0.0.1", "--log", f"file:{self._run}/log"]
        done = self.netns.attempt(*argv)
        assert done.returncode == 0, done.stderr
        wait_for((self._run / f"{daemon}.vty").exists, f"{daemon} listens")

    def load(self) -> None:
        """Give the daemons the file."""
        done = self.netns.attempt("vtysh", "-N", self.netns.name, "-b")
        assert done.returncode == 0, done.stderr + done.stdout

    def ask(self, *commands: str) -> str:
        """What vtysh answers."""
        words = [word for command in commands for word in ("-c", command)]
        return self.netns.run("vtysh", "-N", self.netns.name, *words)

    def ask_json(self, command: str) -> Any:
        """The answer to a command that speaks JSON."""
        return json.loads(self.ask(f"{command} json"))

    def routes(self, family: int = 4) -> list[str]:
        """Prefixes that BGP put into the kernel's table."""
        text = self.netns.run("ip", f"-{family}", "-j", "route", "show", "proto", "bgp")
        return sorted(one["dst"] for one in json.loads(text or "[]"))

    def signal(self, daemon: str, number: signal.Signals) -> None:
        """Send a signal to one daemon."""
        os.kill(int((self._run / f"{daemon}.pid").read_text()), number)

    def close(self) -> None:
        """End everything."""
        for file in self._run.glob("*.pid"):
            with contextlib.suppress(ProcessLookupError, ValueError):
                pid = int(file.read_text())
                os.kill(pid, signal.SIGKILL)
                wait_for(lambda pid=pid: _has_ended(pid), f"process {pid} ends")  # type: ignore[misc]
        for directory in (self._run, self._etc):
            shutil.rmtree(directory, ignore_errors=True)
