"""The bfdd that speaks BFD for this node: found, started, ended. It outlives the agent, as the speaker does.

FRR's bfdd gives up root for its own user before it makes its sockets, so it runs in a directory of that user's, and
names everything by relative paths: the directories above stay closed to it. It needs no zebra for neighbours.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import select
import shutil
import signal
import socket
from pathlib import Path
from typing import Final

from netloom.model.errors import Unavailable

PROGRAM: Final = Path("/usr/lib/frr/bfdd")
USER: Final = "frr"
CRASH_LOGS: Final = Path("/var/tmp/frr")  # noqa: S108 - FRR's own choice, one directory for each of its processes
PID_FILE: Final = "bfdd.pid"
"""Below the plugin's directory: pid, and the moment of its start in clock ticks since boot."""
_PORT = 3784
"""UDP port of BFD between neighbours (RFC 5881, section 4)."""
_GATE = 'read -r _ && cd "$0" && exec "$@" </dev/null'
"""Waits for a line, so that the process is recorded before it is bfdd; ends when whoever holds the gate dies first."""
_END_WITHIN_S = 3.0


class Bfdd:
    """One bfdd, its files below ``directory``."""

    def __init__(self, directory: Path, program: Path = PROGRAM) -> None:
        self._program = program
        self._pid_file = directory / PID_FILE
        self._log = directory / "bfdd.log"
        self._home = directory / "bfdd"
        self.socket = self._home / "control.sock"
        """Where it is talked to."""

    def find(self) -> int | None:
        """The pid of the one that was started before and still runs."""
        try:
            pid, started = (int(word) for word in self._pid_file.read_text().split())
        except (FileNotFoundError, ValueError):
            return None
        return pid if _started(pid) == started else None

    def start(self) -> int:
        """Start one, which then makes its socket; returns its pid. Raises Unavailable with what is in the way."""
        if not self._program.exists():
            raise Unavailable(f"{self._program} does not exist: install FRR (Debian: apt install frr)")
        user = _user()
        _refuse_second_daemon()
        try:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home.mkdir(mode=0o700)
            os.chown(self._home, user.pw_uid, user.pw_gid)
            return self._spawn()
        except OSError as error:
            raise Unavailable(f"bfdd cannot be started in {self._home}: {error.strerror or error}") from error

    def end(self) -> None:
        """End the one that runs, and take away what it leaves behind; nothing when none does."""
        pid = self.find()
        if pid is not None:
            _end(pid)
        self.tidy()

    def tidy(self) -> None:
        """Take away what a bfdd that has ended left behind."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = int(self._pid_file.read_text().split()[0])
            reap(pid)
            shutil.rmtree(CRASH_LOGS / f"bfdd.{pid}", ignore_errors=True)
            self._pid_file.unlink()
        shutil.rmtree(self._home, ignore_errors=True)

    def last_words(self) -> str:
        """The last line of its log; "" when it said nothing."""
        with contextlib.suppress(OSError):
            lines = self._log.read_text(errors="replace").split("\n")
            return next((line.strip() for line in reversed(lines) if line.strip()), "")
        return ""

    def _spawn(self) -> int:
        reader, writer = os.pipe()
        try:
            pid = os.posix_spawn(
                "/bin/sh",
                ["sh", "-c", _GATE, str(self._home), str(self._program), *self._options()],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, reader, 0),
                    (os.POSIX_SPAWN_OPEN, 1, str(self._log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
            )
            self._pid_file.write_text(f"{pid} {_started(pid)}\n")
            os.write(writer, b"go\n")
        finally:
            os.close(reader)
            os.close(writer)
        return pid

    def _options(self) -> list[str]:
        """No terminal on the network, no zebra, no file of settings: everything is told by the control socket."""
        paths = ["--bfdctl", self.socket.name, "--vty_socket", ".", "-i", "daemon.pid", "-z", "./none"]
        return [*paths, "-P", "0", "-f", os.devnull, "--log", "stdout", "--log-level", "warnings"]


def reap(pid: int) -> None:
    """Collect the exit status of a process that was our own child, and has ended."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        text = f'bfdd runs as user "{USER}", and there is none: install FRR from a package, which makes that user'
        raise Unavailable(text) from None


def _refuse_second_daemon() -> None:
    """Raises Unavailable when somebody speaks BFD here: of two daemons, Linux gives all packets to the last."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("0.0.0.0", _PORT))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise Unavailable(f"UDP port {_PORT} cannot be used: {error.strerror}") from error
            raise Unavailable(
                f"another program speaks BFD on this node (UDP port {_PORT} is taken); stop it, "
                'or leave "bfd" off and let that program watch the peers'
            ) from error


def _started(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; None when there is none, or only its exit status is left."""
    try:
        # The second field is the command in parentheses and may hold anything, parentheses too.
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if words[0] in "ZX" else int(words[19])


def _end(pid: int) -> None:
    """Ask it to end, so that its peers are told; kill it when it does not."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, number)
            if poll.poll(_END_WITHIN_S * 1000):
                return
    finally:
        os.close(fd)
