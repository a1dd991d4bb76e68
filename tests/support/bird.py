"""BIRD in a namespace of its own: started, asked, stopped."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from support.netns import Namespace


class Bird:
    """One BIRD with one configuration."""

    def __init__(self, netns: Namespace, directory: Path, config: str) -> None:
        self._netns = netns
        self._control = directory / "ctl"
        directory.mkdir()
        file = directory / "bird.conf"
        file.write_text(config)
        self._process = netns.popen(
            "bird", "-f", "-c", str(file), "-s", str(self._control), "-P", str(directory / "pid"),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def ask(self, *words: str) -> str:
        """What birdc answers."""
        return self._netns.run("birdc", "-s", str(self._control), *words)

    def routes(self, family: int = 4) -> list[str]:
        """Prefixes that BIRD put into the kernel's table."""
        text = self._netns.run("ip", f"-{family}", "-j", "route", "show", "proto", "bird")
        return sorted(one["dst"] for one in json.loads(text or "[]"))

    def signal(self, number: signal.Signals) -> None:
        """Stop it, let it go on, or end it."""
        self._process.send_signal(number)

    def close(self) -> None:
        """End it, even one that was stopped."""
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        self._process.wait(10)
