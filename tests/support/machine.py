"""A machine of its own for container runtimes: a network namespace, and a view of the file system.

Runtimes keep state in ``/run``, ``/var/lib`` and ``/dev/shm``, read ``/etc``, find plugins in ``/opt``, and mount root
file systems and network namespaces. In a machine the first three are empty at first and in memory, the others as on
the host, and what changes there is seen by nobody else: whatever a runtime forgets ends with the machine. The rest
(programs, ``/tmp``, the bpf file system, control groups) is the host's.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from netloom.lab.agents import wait_until
from netloom.lab.patience import patient
from support.leaks import MARK
from support.netns import Namespace

CGROUP = f"/{MARK}"
"""Parent of the control groups of every runtime that can be told one."""
WITHIN_S = patient(30.0)
"""How long to wait for what must happen: generous, since it only matters when the test fails."""
_CGROUPS = Path("/sys/fs/cgroup")
_CGROUP_PARENTS = (MARK, "libpod_parent")
"""Where control groups of a machine can stand; the second is podman's, which some of its commands cannot be told."""
_FRESH = """
# Without this, a network namespace of the host would live as long as the machine.
umount --recursive --lazy /run/netns || true
for directory in /run /var/lib /dev/shm; do
    mount -t tmpfs -o mode=755 {name} $directory
done
for directory in /etc /opt; do
    own=/run/own$directory
    mkdir -p $own/changed $own/work
    mount -t overlay -o lowerdir=$directory,upperdir=$own/changed,workdir=$own/work {name} $directory
done
# As iproute2 and podman make it; who comes second would else mount it over what stands in it.
mkdir /run/netns
mount --bind /run/netns /run/netns
mount --make-shared /run/netns
echo up
exec sleep infinity
"""


class Machine(Namespace):
    """Like a namespace: what ``run`` and ``popen`` start sees the machine's files, too.

    Functions given to ``call`` run in the test's process, which keeps the host's view of the files.
    """

    def __init__(self, label: str = "") -> None:
        super().__init__(label)
        script = _FRESH.format(name=self.name)
        argv = ["unshare", "--mount", "--propagation=private", "--", "sh", "-euc", script]
        self._holder = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"up\n"

    def argv(self, *argv: str) -> list[str]:
        """The command that runs ``argv`` in the machine."""
        return ["nsenter", f"--net={self.path}", f"--mount=/proc/{self._holder.pid}/ns/mnt", "--", *argv]

    def file(self, *path: str) -> Path:
        """Where a file of the machine is found from outside."""
        return Path(f"/proc/{self._holder.pid}/root", "/".join(path).lstrip("/"))

    def mounts(self) -> list[str]:
        """Mount points, in order of their making."""
        lines = Path(f"/proc/{self._holder.pid}/mountinfo").read_text().splitlines()
        return [line.split()[4] for line in lines]

    def processes(self) -> dict[int, str]:
        """Everything that runs here, in containers too, with its command line."""
        found = {}
        for pid in (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
            # Gone meanwhile, or not ours to look at.
            with suppress(OSError):
                if pid != self._holder.pid and self._holds(pid):
                    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
                    found[pid] = command.decode(errors="replace").strip()
        return found

    def _holds(self, pid: int) -> bool:
        """A container has mounts of its own, but always some file of the machine's memory among them.

        So has for a moment a profiler that reads our programs' symbols, but it comes from the host's network.
        """
        if Path(f"/proc/{pid}/ns/net").samefile("/proc/self/ns/net"):
            return False
        return f" - tmpfs {self.name} " in Path(f"/proc/{pid}/mountinfo").read_text()

    def kill_all(self) -> None:
        """End every process but the one that holds the mounts."""
        while running := self.processes():
            for pid in running:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            assert wait_until(partial(self._are_gone, frozenset(running)), WITHIN_S)

    def _are_gone(self, pids: frozenset[int]) -> bool:
        return not pids & self.processes().keys()

    def close(self) -> None:
        """End the processes, the mounts, the control groups and the namespace; may be called twice."""
        self.kill_all()
        self._holder.kill()
        self._holder.communicate()
        # A process that nobody has waited for yet keeps its group.
        assert wait_until(_remove_cgroups, WITHIN_S), cgroups()
        super().close()


def cgroups() -> list[Path]:
    """Every control group that a machine's runtimes made, in any hierarchy, the deepest first."""
    return sorted(_cgroups(), reverse=True)


def _remove_cgroups() -> bool:
    """Says whether none of this run's own is left; in podman's there may be another run's."""
    for directory in cgroups():
        with suppress(OSError):
            directory.rmdir()
    return not any(MARK in directory.parts for directory in cgroups())


def _cgroups() -> Iterator[Path]:
    hierarchies = [_CGROUPS] if (_CGROUPS / "cgroup.controllers").exists() else list(_CGROUPS.iterdir())
    for hierarchy in hierarchies:
        for parent in _CGROUP_PARENTS:
            for directory, _, _ in os.walk(hierarchy / parent):
                yield Path(directory)
