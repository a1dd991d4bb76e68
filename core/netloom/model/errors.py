"""Errors, grouped by what the caller can do about them.

    NetloomError
    ├── ConfigError        the operator must change a file; carries every problem found
    ├── PluginError        a plugin is missing, conflicting or misbehaving
    ├── Unsupported        this kernel or host lacks a feature; says which and since when
    ├── KernelError        a kernel call failed; carries errno, operation and object
    │   └── VerifierError  the kernel refused an eBPF program; carries its log
    ├── CompileError       eBPF source did not compile; carries the compiler's words
    ├── MapLayoutMismatch  a pinned map has another layout than ours
    ├── StoreError         the cluster store cannot be used
    ├── Unavailable        not now: whoever asks may try again
    ├── Exhausted          a pool, range or map is full
    ├── Conflict           the object exists already, or somebody else owns it
    ├── NotFound           the object does not exist
    └── Invalid            a request names or carries something unusable

Messages are whole sentences: the object, what was found, what was expected, what to do.
"""

from __future__ import annotations

import os
from dataclasses import dataclass


class NetloomError(Exception):
    """Base of every error Netloom raises on purpose; ``str(error)`` is fit for an operator."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a file an operator wrote."""

    file: str
    line: int
    """1-based; 0 when the problem belongs to the file as a whole."""
    key: str
    """Dotted path of the setting, for example ``plugins.vxlan.port``."""
    found: str
    expected: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.key}: found {self.found}, expected {self.expected}"


class ConfigError(NetloomError):
    """A configuration that cannot be used, with all its problems at once."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class PluginError(NetloomError):
    """A plugin is missing, doubled, incompatible, or broke its contract."""

    def __init__(self, plugin: str, text: str) -> None:
        super().__init__(f'plugin "{plugin}": {text}')
        self.plugin = plugin


class Unsupported(NetloomError):
    """The host lacks something Netloom needs."""

    def __init__(self, feature: str, *, needs: str, found: str) -> None:
        super().__init__(f"{feature} is not available: needs {needs}, found {found}")
        self.feature = feature
        self.needs = needs
        self.found = found


class KernelError(NetloomError):
    """A system call or netlink request failed."""

    def __init__(self, op: str, obj: str, errno: int, hint: str = "") -> None:
        reason = os.strerror(errno)
        super().__init__(f"{op} {obj}: {reason} (errno {errno})" + (f"; {hint}" if hint else ""))
        self.op = op
        self.obj = obj
        self.errno = errno


class VerifierError(KernelError):
    """The kernel's verifier refused a program; :attr:`log` is what it said."""

    def __init__(self, program: str, errno: int, log: str) -> None:
        tail = "\n".join(log.strip().splitlines()[-12:])
        super().__init__("load", f'eBPF program "{program}"', errno, f"the verifier said:\n{tail}")
        self.program = program
        self.log = log


class CompileError(NetloomError):
    """The compiler refused an eBPF source; :attr:`log` is what it said."""

    def __init__(self, source: str, log: str) -> None:
        super().__init__(f'eBPF source "{source}" did not compile:\n{log.strip()}')
        self.source = source
        self.log = log


class MapLayoutMismatch(NetloomError):
    """A pinned map does not have the layout this version writes."""

    def __init__(self, path: str, field: str, *, expected: int, found: int) -> None:
        super().__init__(
            f"pinned map {path} has {field} {found}, expected {expected}; "
            "it was left by another version: remove the pin while no agent runs, and start again"
        )
        self.path = path
        self.field = field
        self.expected = expected
        self.found = found


class StoreError(NetloomError):
    """The cluster store cannot be opened, read or written."""


class Unavailable(NetloomError):
    """Not now: whoever asks may try again."""


class Exhausted(NetloomError):
    """A pool, a range or a map has no room left."""


class Conflict(NetloomError):
    """The object exists already, or belongs to somebody else."""


class NotFound(NetloomError):
    """The object does not exist."""


class Invalid(NetloomError):
    """A request carries something that cannot be used."""
