"""Values of a config: what each type takes, what it refuses, and in which words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, NewType

import pytest

from netloom.config.annotations import Doc, Length, Pattern, Range
from netloom.config.document import compose
from netloom.config.fitting import Fitting, Misfit, Misfits
from netloom.config.schema import Reader, check_type
from netloom.model.errors import ConfigError

PortNumber = NewType("PortNumber", int)


@dataclass(frozen=True, kw_only=True)
class Inner:
    level: int = 1
    name: str = "x"


@dataclass(frozen=True, kw_only=True)
class Everything:
    text: str = ""
    flag: bool = False
    count: int = 0
    ratio: float = 0.0
    path: Path = Path("/")
    v4: IPv4Address | None = None
    v6: IPv6Address | None = None
    address: IPv4Address | IPv6Address | None = None
    net: IPv4Network | IPv6Network | None = None
    word: Literal["debug", "info"] = "info"
    names: tuple[str, ...] = ()
    ports: Mapping[str, PortNumber] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)
    inners: tuple[Inner, ...] = ()
    maybe: Inner | None = None
    ranged: Annotated[int, Range(1, 10), Doc("Some number.")] = 5
    short: Annotated[str, Length(1, 3)] = "abc"
    few: Annotated[tuple[int, ...], Length(0, 2)] = ()
    plain: Annotated[str, Pattern("[a-z]+", "lower-case letters")] = "a"


def read(text: str, cls: type = Everything) -> Any:
    reader = Reader("f")
    value = reader.section(cls, compose(text, "f"), "")
    reader.finish()
    return value


def problem(text: str, cls: type = Everything) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text, cls)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("text: hello world", "text", "hello world"),
        ("text: '12'", "text", "12"),
        ("text: 12:30", "text", None),
        ("flag: true", "flag", True),
        ("flag: No", "flag", False),
        ("count: 12", "count", 12),
        ("count: 0x1F", "count", 31),
        ("count: -3", "count", -3),
        ("count: 010", "count", 10),
        ("ratio: 1", "ratio", 1.0),
        ("ratio: 1e3", "ratio", 1000.0),
        ("ratio: .5", "ratio", 0.5),
        ("path: /a/b", "path", Path("/a/b")),
        ("v4: 10.0.0.1", "v4", ip_address("10.0.0.1")),
        ("v6: fd00::1", "v6", ip_address("fd00::1")),
        ("v6: ::1", "v6", ip_address("::1")),
        ("v6: ~", "v6", None),
        ("address: 10.0.0.1", "address", ip_address("10.0.0.1")),
        ("address: fd00::1", "address", ip_address("fd00::1")),
        ("net: 10.0.0.0/8", "net", ip_network("10.0.0.0/8")),
        ("net: FD00::/64", "net", ip_network("fd00::/64")),
        ("word: debug", "word", "debug"),
        ("names: [a, b]", "names", ("a", "b")),
        ("ports: {http: 80, https: 443}", "ports", {"http": 80, "https": 443}),
        ("inner: {level: 2}", "inner", Inner(level=2)),
        ("inner:", "inner", Inner()),
        ("inners: [{level: 2}, {}]", "inners", (Inner(level=2), Inner())),
        ("maybe: {}", "maybe", Inner()),
        ("maybe:", "maybe", None),
        ("ranged: 10", "ranged", 10),
    ],
)
def test_a_value_of_its_type_is_taken(text: str, name: str, value: object) -> None:
    if value is None and name == "text":
        assert "expected text: put it in quotes" in problem(text)  # YAML 1.1 reads 12:30 as 750
    else:
        assert getattr(read(text), name) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("text: 12", "text: found the number 12, expected text: put it in quotes"),
        ("text: no", "text: found the yes-or-no value no, expected text: put it in quotes"),
        ("text: 2026-01-01", "text: found the date 2026-01-01, expected text"),
        ("text:", "text: found nothing, expected text"),
        ("text: [a]", "text: found a list, expected text"),
        ("text: {a: b}", "text: found a mapping, expected text"),
        ('text: "a\\0b"', "expected text without a zero byte"),
        ("flag: 1", "flag: found the number 1, expected true or false"),
        ("flag: 'true'", 'flag: found "true", expected true or false'),
        ("count: 1.5", "count: found the number 1.5, expected a whole number"),
        ("count: true", "expected a whole number"),
        ("count: '12'", "expected a whole number"),
        ("count: 1:30", "expected a whole number"),
        ("count: 1_000", "expected a whole number"),
        ("count: 999999999999999999999", "expected a whole number"),
        ("ratio: .nan", "expected a number"),
        ("ratio: .inf", "expected a number"),
        ("path: a/b", 'path: found "a/b", expected an absolute path'),
        ("v4: fd00::1", 'v4: found "fd00::1", expected an IPv4 address'),
        ("v4: 10.0.0.0/8", "expected an IPv4 address"),
        ("v4: 10.0.0.01", "expected an IPv4 address"),
        ("address: nowhere", "expected an IPv4 address or an IPv6 address"),
        ("net: 10.0.0.1/8", 'expected a prefix without host bits: "10.0.0.0/8"'),
        ("net: 10.0.0.0", 'expected a prefix with its length, such as "10.0.0.0/32"'),
        ("net: fd00::/129", "expected an IPv4 prefix or an IPv6 prefix"),
        ("word: debgu", 'word: found "debgu", expected one of debug, info; did you mean "debug"?'),
        ("names: a", 'names: found "a", expected a list, each item text'),
        ("names: [a, 1]", "names[1]: found the number 1, expected text"),
        ("ports: [80]", "ports: found a list, expected a mapping of keys and values"),
        ("ports: {http: x}", 'ports.http: found "x", expected a whole number'),
        ("inner: 3", "inner: found the number 3, expected a mapping of keys and values"),
        ("inner: {levle: 3}", 'expected one of level, name; did you mean "level"?'),
        ("inners: [{level: x}]", 'inners[0].level: found "x", expected a whole number'),
        ("ranged: 11", "ranged: found the number 11, expected a number from 1 to 10"),
        ("short: abcd", 'short: found "abcd", expected 1 to 3 characters'),
        ("few: [1, 2, 3]", "few: found a list, expected 0 to 2 items"),
        ("plain: A", 'plain: found "A", expected lower-case letters'),
        ("text: !!python/object:os.system x", "found the tag tag:yaml.org,2002:python/object:os.system"),
        ("text: !mine x", 'found the tag !mine on "x", expected text'),
        ("1: x", "found the number 1 as a key, expected a key that is plain text"),
        ("? [a]\n: x", "found a list as a key"),
        ("<<: {text: a}", "as a key, expected a key that is plain text"),
        ("- a", "file: found a list, expected a mapping of keys and values"),
    ],
)
def test_a_value_of_another_type_is_refused_in_words(text: str, words: str) -> None:
    assert words in problem(text)


def test_every_problem_is_told_at_once_in_the_order_of_lines() -> None:
    with pytest.raises(ConfigError) as caught:
        read("word: x\ncount: y\ncolour: z\nflag: 3\ncount: 4\n")
    assert [(p.line, p.key) for p in caught.value.problems] == [
        (1, "word"), (2, "count"), (3, "colour"), (4, "flag"), (5, "count"),
    ]  # fmt: skip


def test_a_key_written_twice_names_its_first_line() -> None:
    assert "f:3: count: found the key again (first in line 1), expected every key once" in problem(
        "count: 1\nflag: true\ncount: 2\n"
    )


def test_a_long_or_unprintable_value_is_cut_in_messages() -> None:
    text = problem("plain: " + "A" * 5000)
    assert len(text) < 150
    assert "\\x1b" in problem('plain: "a\\eb"')


def test_a_missing_required_value_is_told_against_its_section() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Needy:
        port: int

    assert "f:1: port: found nothing, expected a whole number" in problem("{}", Needy)


def test_a_default_that_breaks_its_own_rule_is_a_problem_too() -> None:
    """A host name, for example, may not fit."""

    @dataclass(frozen=True, kw_only=True)
    class Odd:
        name: Annotated[str, Pattern("[a-z]+", "letters")] = "12"

    assert "name: found the default '12', expected letters" in problem("", Odd)


@dataclass(frozen=True, kw_only=True)
class Angry:
    error: str = "ValueError"

    def __post_init__(self) -> None:
        raise {"ValueError": ValueError("low is above high"), "KeyError": KeyError("oops")}[self.error]


def test_what_a_section_refuses_is_told_against_it() -> None:
    """A ValueError is the author's sentence; anything else is the author's mistake, and is named."""
    assert "f:1: file: found low is above high, expected settings that fit together" in problem(
        "error: ValueError", Angry
    )
    assert "found KeyError: 'oops'" in problem("error: KeyError", Angry)


@dataclass(frozen=True, kw_only=True)
class Span(Fitting):
    low: int = 0
    high: int = 9

    @classmethod
    def misfits(cls, values: Mapping[str, Any]) -> Iterator[Misfit]:
        if "low" in values and "high" in values and values["low"] > values["high"]:
            yield Misfit("low", str(values["low"]), f"at most {values['high']}")


@dataclass(frozen=True, kw_only=True)
class Spans(Fitting):
    spans: tuple[Span, ...] = ()

    @classmethod
    def misfits(cls, values: Mapping[str, Any]) -> Iterator[Misfit]:
        for number, one in enumerate(values["spans"]):
            if one is not None and one in values["spans"][:number]:
                yield Misfit(f"spans[{number}]", "one again", "each once")


def test_what_does_not_fit_is_told_at_its_own_key_with_all_else() -> None:
    """Items of a list are judged although others cannot be read; a nested section is judged by itself."""
    text = "spans:\n- {low: 10}\n- {high: x}\n- {low: 1}\n- {low: 1}\n"
    assert problem(text, Spans).splitlines() == [
        "f:2: spans[0].low: found 10, expected at most 9",
        'f:3: spans[1].high: found "x", expected a whole number',
        "f:5: spans[3]: found one again, expected each once",
    ]


def test_a_section_that_is_made_otherwise_is_judged_as_well() -> None:
    with pytest.raises(Misfits, match=r"^low: found 3, expected at most 2$"):
        Span(low=3, high=2)


@dataclass
class Recursive:
    inner: Recursive | None = None


@dataclass
class Unknown:
    value: Nowhere  # type: ignore[name-defined]  # noqa: F821


@dataclass
class Numeric:
    value: Decimal


@dataclass
class Pair:
    value: tuple[int, str]


@dataclass
class Mixed:
    value: int | Inner


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (str, "str is not a dataclass"),
        (Recursive, "Recursive.inner holds Recursive inside itself"),
        (Unknown, "Unknown names an unknown type"),
        (Numeric, "Numeric.value has type <class 'decimal.Decimal'>, which a config cannot hold"),
        (Pair, "which a config cannot hold"),
        (Mixed, "which a config cannot hold"),
    ],
)
def test_a_type_no_config_can_hold_is_refused_before_anything_is_read(cls: type, words: str) -> None:
    with pytest.raises(TypeError) as caught:
        check_type(cls)
    assert words in str(caught.value)
