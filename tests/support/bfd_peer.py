"""The other end of BFD sessions: FRR's bfdd, or BIRD, in a namespace of its own."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from netloom.model.address import Address
from support.bird import Bird
from support.netns import Namespace

TIMERS = ("detect-multiplier 3", "receive-interval 50", "transmit-interval 50")


class FrrBfdd:
    """A bfdd that was started by hand, as an operator's would be."""

    def __init__(self, netns: Namespace, directory: Path, peers: Sequence[tuple[Address, Address]]) -> None:
        """``peers``: of each session the far address and the own one."""
        user = pwd.getpwnam("frr")
        directory.mkdir()
        for path in (directory, *directory.parents):
            if path.stat().st_mode & 0o001 == 0:
                path.chmod(path.stat().st_mode | 0o011)
        sessions = [f" peer {far} local-address {own}\n  " + "\n  ".join(TIMERS) + "\n !" for far, own in peers]
        config = directory / "bfdd.conf"
        config.write_text("\n".join(["bfd", *sessions, "!", ""]))
        os.chown(directory, user.pw_uid, user.pw_gid)
        os.chown(config, user.pw_uid, user.pw_gid)
        paths = ["--bfdctl", "ctl", "-i", "pid", "-z", "./none", "--vty_socket", ".", "-f", str(config)]
        self._process = netns.popen(
            "/usr/lib/frr/bfdd", *paths, "-P", "0", "--log", "stdout",
            cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def signal(self, number: signal.Signals) -> None:
        """Stop it, let it go on, or end it."""
        self._process.send_signal(number)

    def close(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        self._process.wait(10)


class BirdBfd(Bird):
    """A BIRD that speaks nothing but BFD."""

    def __init__(self, netns: Namespace, directory: Path, peers: Sequence[tuple[Address, Address]]) -> None:
        """As of :class:`FrrBfdd`."""
        lines = [
            f"  neighbor {far};" if far.version == 4 else f'  neighbor {far} dev "eth0" local {own};'
            for far, own in peers
        ]
        timers = '  interface "*" { interval 50 ms; multiplier 3; };'
        config = ["router id 192.0.2.2;", "protocol device {}", "protocol bfd {", timers, *lines, "}", ""]
        super().__init__(netns, directory, "\n".join(config))
