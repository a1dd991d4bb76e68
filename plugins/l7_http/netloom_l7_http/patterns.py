"""Regular expressions of policies: RE2, whole-string, in time linear in what they are asked of.

What has no special characters, or only ``.*`` at its end, is compared as text: that is most of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import re2

from netloom.model.errors import Invalid

PATTERN_BYTES_MAX: Final = 4096
MEMORY_BYTES_MAX: Final = 1 << 20
"""Of one compiled expression."""
REMEMBERED: Final = 512
"""Answers of one expression."""
PLAIN: Final = re.compile(r"((?:[A-Za-z0-9/_~!@&=:,'%<>;# \"-]|\\[!-/:-@\[-`{-~])*)(\.\*)?")
ESCAPED: Final = re.compile(r"\\(.)")

Holds = Callable[[str], bool]


@lru_cache(4096)
def whole(pattern: str, *, ignore_case: bool = False) -> Holds:
    """What says whether ``pattern`` matches a text from beginning to end. Raises Invalid."""
    compiled = _compiled(pattern, ignore_case=ignore_case)
    if (plain := PLAIN.fullmatch(pattern)) and not ignore_case:
        text = ESCAPED.sub(r"\1", plain[1])
        return _begins(text) if plain[2] else text.__eq__

    @lru_cache(REMEMBERED)
    def holds(text: str) -> bool:
        return compiled.fullmatch(text.encode()) is not None

    return holds


def may_begin(pattern: str, beginning: str) -> bool:
    """Whether any text that begins so could match."""
    try:
        least, most = _compiled(pattern, ignore_case=False).possiblematchrange(32)
    except re2.error:  # too much could
        return True
    first, last = beginning.encode(), beginning[:-1].encode() + bytes([ord(beginning[-1]) + 1])
    return bool(least < last and most >= first)


def _begins(prefix: str) -> Holds:
    return lambda text: text.startswith(prefix)


def _compiled(pattern: str, *, ignore_case: bool) -> Any:
    options = re2.Options()
    options.case_sensitive = not ignore_case
    options.never_capture = True
    options.log_errors = False
    options.max_mem = MEMORY_BYTES_MAX
    if len(pattern) > PATTERN_BYTES_MAX:
        raise Invalid(f"found a regular expression of {len(pattern)} characters, expected at most {PATTERN_BYTES_MAX}")
    try:
        return re2.compile(pattern.encode(), options)
    except re2.error as error:
        words = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else error.args[0]
        raise Invalid(f'found "{pattern}", expected a regular expression as RE2 reads it: {words}') from error
