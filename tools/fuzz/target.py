"""One harness under atheris: ``python -m tools.fuzz.target NAME DIRECTORY [OPTION OF LIBFUZZER, OR INPUT...]``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["netloom.plugins.l7", "netloom_l7_http", "netloom_memcached"]):
    # Parsers import these when they are first needed, which would be too late.
    import netloom_l7_http.http2
    import netloom_l7_http.rules  # noqa: F401
    from support.fuzzing import HARNESSES
    from support.fuzzing_seeds import SEEDS, WORDS

WORD_BYTES_MAX: Final = 64
"""Of libFuzzer's."""


def dictionary(words: Iterable[bytes]) -> str:
    """As libFuzzer reads it."""
    spelt = ("".join(f"\\x{byte:02x}" for byte in word) for word in words if word and len(word) <= WORD_BYTES_MAX)
    return "".join(f'"{word}"\n' for word in spelt)


def main() -> None:
    """Never returns: libFuzzer ends the process. Without an input it begins with those of the directory."""
    name, place, *options = sys.argv[1:]
    words, seeds, corpus = (Path(place, part) for part in ("words", "seeds", "corpus"))
    for directory in (seeds, corpus):
        directory.mkdir(parents=True, exist_ok=True)
    words.write_text(dictionary(WORDS[name]))
    for number, seed in enumerate(SEEDS[name]):
        (seeds / str(number)).write_bytes(seed)
    has_input = any(not option.startswith("-") for option in options)
    begins_with = () if has_input else (str(corpus), str(seeds))  # what it finds is kept in the first
    atheris.Setup(
        [sys.argv[0], f"-dict={words}", f"-artifact_prefix={place}/", *options, *begins_with], HARNESSES[name]
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
