"""Writes and removes what container runtimes call. Each function says, in sentences, what it did."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.resources import as_file, files
from pathlib import Path

from netloom.cli.cni_files import (
    PROGRAM_NAME,
    Installation,
    check_socket,
    conflist,
    earlier_configs,
    is_our_conflist,
    is_our_program,
    relay_definitions,
    script,
)
from netloom.cli.errors import RequestFailed
from netloom.edge.files import FileError, remove_file, write_atomic
from netloom.model.errors import Conflict

COMPILERS = ("gcc", "cc", "clang")
_FLAGS = (
    *("-std=c11", "-D_GNU_SOURCE", "-O2", "-static", "-s", "-Wall", "-Wextra", "-Werror"),
    *("-fstack-protector-strong", "-D_FORTIFY_SOURCE=2"),
)
COMPILE_WITHIN_S = 60.0
CALL_WITHIN_S = 60.0
"""For one call of the program: more than it gives the agent."""


def install(wanted: Installation) -> Iterator[str]:
    """Write the program, then the config that names it. Raises a NetloomError and overwrites nothing of others."""
    check_socket(wanted.socket)
    _check_ours(wanted.conflist, is_our_conflist)
    _check_ours(wanted.program, is_our_program)
    relay, why_not = build_relay(sys.executable, wanted.socket)
    if not relay:
        yield f"No relay could be built ({why_not}): the program installed is Python, and slower."
    yield _put(wanted.program, relay or script(sys.executable, wanted.socket), 0o755)
    yield f"It asks the agent at {wanted.socket}."
    if others := _other_networks(wanted):
        yield f"So do the pods of {', '.join(others)}: one program serves all networks of {wanted.conf_dir}."
    call_program(wanted.program, "VERSION")
    yield _put(wanted.conflist, conflist(wanted), 0o644)
    if rivals := earlier_configs((path.name for path in wanted.conf_dir.iterdir()), wanted.conflist.name):
        yield (
            f"{', '.join(rivals)} in {wanted.conf_dir} stands before {wanted.conflist.name}: a runtime that takes the "
            "first config by name will not take this one; remove the others, or rename them"
        )


def uninstall(wanted: Installation) -> Iterator[str]:
    """Remove the config, then the program. Raises Conflict, at the end, for what is not as it was written."""
    left = []
    others = _other_networks(wanted)
    places = [(wanted.conflist, is_our_conflist), (wanted.program, is_our_program)]
    for path, ours in places[:1] if others else places:
        try:
            _check_ours(path, ours)
        except Conflict as error:
            left.append(str(error))
            continue
        there = path.exists()
        remove_file(path)
        yield f"{path} is removed." if there else f"{path} was not there."
    if others:
        yield f"{wanted.program} stays: {', '.join(others)} in {wanted.conf_dir} needs it."
    if left:
        raise Conflict("; ".join(left))


def _other_networks(wanted: Installation) -> list[str]:
    """Names of the configs beside the wanted one that name the same program."""
    return [
        path.name
        for path in sorted(wanted.conf_dir.glob("*.conflist"))
        if path.name != wanted.conflist.name and is_our_conflist(path.read_bytes())
    ]


def build_relay(python: str, socket: Path, *flags: str) -> tuple[bytes, str]:
    """The relay for these facts, and ""; or nothing, and why. ``flags``: more words for the compiler."""
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        return b"", f"none of {', '.join(COMPILERS)} is installed"
    with tempfile.TemporaryDirectory(prefix="netloom-relay-") as scratch, as_file(files("netloom.cni")) as sources:
        built = Path(scratch, PROGRAM_NAME)
        command = [
            compiler,
            *_FLAGS,
            *relay_definitions(python, socket),
            *flags,
            "-o",
            str(built),
            f"{sources}/relay.c",
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMPILE_WITHIN_S)
        except subprocess.TimeoutExpired:
            return b"", f"{compiler} took longer than {COMPILE_WITHIN_S:g} s"
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if "error" in line]
            return b"", f"{compiler} ended with {done.returncode}: {' '.join(lines[:1])}"
        return built.read_bytes(), ""


def call_program(program: Path, command: str) -> None:
    """Run the program as a runtime does; raises RequestFailed with its words unless it succeeds."""
    environment = {"CNI_COMMAND": command, "CNI_PATH": str(program.parent), "PATH": os.environ.get("PATH", "")}
    config = json.dumps({"cniVersion": "1.1.0", "name": "netloom", "type": PROGRAM_NAME})
    try:
        done = subprocess.run(
            [program], env=environment, input=config, capture_output=True, text=True, check=False, timeout=CALL_WITHIN_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RequestFailed("unavailable", f"{program} cannot be run: {_reason(error)}") from error
    if done.returncode != 0:
        raise RequestFailed("unavailable", f"{program} answers {command} with: {_words(done.stdout) or done.stderr}")


def _reason(error: OSError | subprocess.TimeoutExpired) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else f"no answer within {CALL_WITHIN_S:g} s"


def _words(output: str) -> str:
    try:
        view = json.loads(output)
        return "; ".join(text for text in (str(view["msg"]), str(view.get("details", ""))) if text)
    except (ValueError, LookupError, TypeError, AttributeError):
        return output


def _check_ours(path: Path, ours: Callable[[bytes], bool]) -> None:
    """Raises Conflict when somebody else's file stands there, or ours that was changed."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise FileError(f'file "{path}" cannot be read: {error.strerror}') from error
    if not ours(content):
        raise Conflict(f"{path} is left alone: netctl did not write it, or it was changed since; remove or rename it")


def _put(path: Path, content: bytes, mode: int) -> str:
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f'directory "{path.parent}" cannot be made: {error.strerror}') from error
    if path.exists() and path.read_bytes() == content and path.stat().st_mode & 0o777 == mode:
        return f"{path} is as it should be."
    write_atomic(path, content, mode)
    return f"{path} is written."
