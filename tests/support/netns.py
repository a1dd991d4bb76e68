"""A private network namespace with a thread that lives in it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from netloom.edge.netns import create_named_netns, delete_named_netns, enter_netns, open_netns
from support.leaks import MARK

P = ParamSpec("P")
R = TypeVar("R")

_numbers = count(1)


class Namespace:
    """One namespace: ``run`` commands in it, ``call`` functions in it.

    Functions run one after another in one thread of the namespace, so objects they make there (an open netlink
    socket, say) may be used by later calls. ``close`` ends the thread and the namespace, and may be called twice.
    """

    def __init__(self, label: str = "") -> None:
        self.name = f"{MARK}{label}-{next(_numbers)}"
        self.path: Path = create_named_netns(self.name)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=self.name, initializer=self._enter)

    def _enter(self) -> None:
        with open_netns(self.path) as fd:
            enter_netns(fd)

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result, or its exception."""
        return self._thread.submit(function, *args, **kwargs).result()

    def run(self, *argv: str, stdin: str | None = None) -> str:
        """Standard output of a command that must succeed."""
        done = self.attempt(*argv, stdin=stdin)
        assert done.returncode == 0, f"{argv} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def batch(self, *commands: str) -> None:
        """Commands of ``ip``, all of which must succeed, in one process: a slow machine takes long to start each."""
        self.run("ip", "-batch", "-", stdin="".join(f"{command}\n" for command in commands))

    def attempt(self, *argv: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """A command that may fail."""
        return subprocess.run(self.argv(*argv), input=stdin, capture_output=True, text=True, check=False, timeout=60)

    def popen(self, *argv: str, **options: Any) -> subprocess.Popen[bytes]:
        """A process that goes on running; the caller ends it."""
        return subprocess.Popen(self.argv(*argv), **options)

    def argv(self, *argv: str) -> list[str]:
        """The command that runs ``argv`` in the namespace. ``ip netns exec`` would mount another /sys."""
        return ["nsenter", f"--net={self.path}", *argv]

    def close(self) -> None:
        """End the thread and the namespace."""
        self._thread.shutdown(wait=True)
        delete_named_netns(self.name)


class NamespaceFactory(Protocol):
    """Makes namespaces that end with the test, or with what else they belong to."""

    def __call__(self, label: str = "") -> Namespace: ...


@contextlib.contextmanager
def namespaces() -> Iterator[NamespaceFactory]:
    """Fresh namespaces, as many as are asked for; all end together."""
    made: list[Namespace] = []

    def make(label: str = "") -> Namespace:
        made.append(Namespace(label))
        return made[-1]

    try:
        yield make
    finally:
        for namespace in reversed(made):
            namespace.close()
