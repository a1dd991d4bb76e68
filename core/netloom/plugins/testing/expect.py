"""Expecting an error without pytest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def raises(expected: type[Exception], why: str) -> Iterator[None]:
    """Fail, saying why, unless the block raises ``expected``."""
    try:
        yield
    except expected:
        return
    raise AssertionError(f"expected {expected.__name__}: {why}")
