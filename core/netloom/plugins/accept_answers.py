"""Checks of what plugins tell people: queries with their answers, and numbers. Like all checks they raise Junk."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from netloom.plugins.accept import items, of
from netloom.plugins.answering import Query, Sample
from netloom.plugins.guard import Junk

QUERY_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
PARAMETER_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
METRIC_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
MAX_ANSWER_VALUES = 1_000_000
MAX_ANSWER_DEPTH = 32


def queries(value: Any) -> tuple[Query, ...]:
    """Queries with names that a path can hold, each once."""
    found = items(Query, value)
    for query in found:
        if not isinstance(query.name, str) or not QUERY_NAME.fullmatch(query.name):
            raise Junk(f"returned a query named {query.name!r}"[:80] + ", expected up to 32 of a-z, 0-9 and hyphens")
        of(str, query.summary, f'query "{query.name}" whose summary is')
        _check_parameters(query)
        if not callable(query.answer):
            raise Junk(f'returned query "{query.name}" whose answer cannot be called')
    if len({query.name for query in found}) < len(found):
        raise Junk(f"returned queries {', '.join(query.name for query in found)}, expected each once")
    return found


def _check_parameters(query: Query) -> None:
    names = query.parameters
    if not isinstance(names, (tuple, list)):
        raise Junk(f'returned query "{query.name}" whose parameters are {type(names).__name__}, expected a tuple')
    for name in names:
        if not isinstance(name, str) or not PARAMETER_NAME.fullmatch(name):
            raise Junk(f'returned query "{query.name}" with a parameter named {name!r}'[:120])


def answer(value: Any) -> Any:
    """What JSON can hold, and no more of it than somebody wants to wait for."""
    left = MAX_ANSWER_VALUES
    level: list[Any] = [value]
    for _ in range(MAX_ANSWER_DEPTH):
        left -= len(level)
        if left < 0:
            raise Junk(f"returned more than {MAX_ANSWER_VALUES} values; let people ask for less by a parameter")
        level = [below for each in level for below in _below(each)]
        if not level:
            return value
    raise Junk(f"returned values more than {MAX_ANSWER_DEPTH} levels deep")


def _below(value: Any) -> Iterable[Any]:
    if isinstance(value, (list, tuple)):
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise Junk(f"returned a mapping with a key of type {type(key).__name__}, expected text")
            _check_text(key)
        return value.values()
    if isinstance(value, float) and not math.isfinite(value):
        raise Junk(f"returned {value}, which JSON cannot hold")
    if isinstance(value, str):
        _check_text(value)
        return ()
    if value is None or isinstance(value, (bool, int, float)):
        return ()
    raise Junk(f"returned a {type(value).__name__}, expected what JSON can hold: lists, mappings, text, numbers, None")


def _check_text(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise Junk(f"returned text {text[:40]!a}, which UTF-8 cannot hold") from error


def samples(value: Any) -> tuple[Sample, ...]:
    """Numbers with names and labels that the exposition format can hold; all of one name are of one kind."""
    found = items(Sample, value)
    first: dict[str, Sample] = {}
    for sample in found:
        _check_sample(sample)
        other = first.setdefault(sample.name, sample)
        if (other.kind, other.labels.keys()) != (sample.kind, sample.labels.keys()):
            raise Junk(f'returned samples "{sample.name}" of several kinds, or with several sets of labels')
    return found


def _check_sample(sample: Sample) -> None:
    labels = sample.labels
    if not isinstance(labels, Mapping) or not all(isinstance(text, str) for pair in labels.items() for text in pair):
        raise Junk(f"returned a sample {sample.name!r} with labels {labels!r}"[:120] + ", expected texts")
    for name in (sample.name, *labels):
        if not isinstance(name, str) or not METRIC_NAME.fullmatch(name):
            raise Junk(f"returned a sample named {name!r}"[:80] + ", expected up to 64 of a-z, 0-9 and _")
    of(str, sample.help, f'sample "{sample.name}" whose help is')
    if sample.kind not in ("counter", "gauge") or type(sample.value) not in (int, float):
        raise Junk(f'returned sample "{sample.name}" of kind {sample.kind!r} with {sample.value!r}'[:120])
