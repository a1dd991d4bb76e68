"""Files of policies as the command line names them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from netloom.model.errors import ConfigError, Problem

STANDARD_INPUT = "-"
SUFFIXES = (".yaml", ".yml", ".json")
"""Of files that are read of a directory."""


def expanded(names: tuple[str, ...]) -> Iterator[str]:
    """Files; for a directory those in it and below, sorted, or itself if there are none, which is a problem."""
    for name in names:
        path = Path(name)
        if name == STANDARD_INPUT or not path.is_dir():
            yield name
        else:
            found = sorted(str(file) for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
            yield from found or (name,)


def text_of(name: str) -> str:
    """What a file holds. Raises ConfigError."""
    from netloom.config.document import decode, read_file
    from netloom.policy.read import POLICY_FILE

    if name == STANDARD_INPUT:
        return decode(sys.stdin.buffer.read(POLICY_FILE.max_bytes + 1), name, POLICY_FILE)
    if Path(name).is_dir():
        raise ConfigError((Problem(name, 0, "file", "a directory", f"files ending in {', '.join(SUFFIXES)} in it"),))
    return read_file(Path(name), POLICY_FILE)


def bodies(names: tuple[str, ...]) -> list[dict[str, str]]:
    """Files as the API takes them. Raises ConfigError with every file that cannot be read."""
    problems: list[Problem] = []
    found = []
    for name in expanded(names):
        try:
            found.append({"name": name, "text": text_of(name)})
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(tuple(problems))
    return found
