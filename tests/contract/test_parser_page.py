"""``docs/l7-parsers.md`` is true: its excerpts stand in the example, and what it shows besides runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.page import DOCS, pytest_passes, titled

EXAMPLE = DOCS.parent / "examples" / "netloom-memcached"
BLOCKS = titled("l7-parsers.md")
EXCERPTS = [(title, body) for title, body in BLOCKS if (EXAMPLE / title).exists()]


@pytest.mark.parametrize(("file", "text"), EXCERPTS)
def test_an_excerpt_stands_in_the_example(file: str, text: str) -> None:
    assert text in (EXAMPLE / file).read_text()


def test_the_parser_of_the_page_passes_its_own_tests(tmp_path: Path) -> None:
    own = dict(block for block in BLOCKS if block not in EXCERPTS)
    assert set(own) == {"cache.yaml", "netloom_syslog.py", "test_syslog.py"}
    for name, text in own.items():
        (tmp_path / name).write_text(text)
    pytest_passes(tmp_path / "test_syslog.py")
