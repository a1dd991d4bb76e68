"""A whole node config: files, bounds, plugin sections, and the origin of every value."""

from __future__ import annotations

import string
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.config.annotations import Range
from netloom.config.document import CONFIG
from netloom.config.load import NoSection, Unread, load_config, load_text
from netloom.config.settings import Settings
from netloom.model.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Tunnel:
    port: Annotated[int, Range(1, 65535)] = 8472


@dataclass(frozen=True, kw_only=True)
class Pool:
    pod_cidrs: tuple[str, ...]


TYPES = {"vxlan": Tunnel, "hostscope": Pool, "quiet": NoSection, "broken": Unread}
GOOD = "plugins:\n  hostscope:\n    pod_cidrs: [10.0.0.0/24]\n"


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, "node.yaml", TYPES)
    return [str(problem) for problem in caught.value.problems]


def test_no_file_means_all_defaults() -> None:
    loaded = load_config(None, {})
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"default"}


def test_every_value_says_where_it_came_from() -> None:
    loaded = load_text("masquerade: false\nhooks:\n  timeout_s: 2\n" + GOOD, "node.yaml", TYPES)
    assert loaded.origins["masquerade"] == "node.yaml:1"
    assert loaded.origins["hooks.timeout_s"] == "node.yaml:3"
    assert loaded.origins["hooks.disabled"] == "default"
    assert loaded.origins["plugins.hostscope.pod_cidrs"] == "node.yaml:6"
    assert loaded.origins["plugins.vxlan.port"] == "default"


def test_rows_hold_plain_values_of_settings_and_sections_in_order() -> None:
    rows = load_text("log: {level: debug}\n" + GOOD, "node.yaml", TYPES).rows()
    assert rows[0]["key"] == "node.name"
    assert {"key": "log.level", "value": "debug", "origin": "node.yaml:1"} in rows
    assert {"key": "paths.run_dir", "value": "/run/netloom", "origin": "default"} in rows
    assert rows[-2:] == [
        {"key": "plugins.vxlan.port", "value": 8472, "origin": "default"},
        {"key": "plugins.hostscope.pod_cidrs", "value": ["10.0.0.0/24"], "origin": "node.yaml:4"},
    ]


def test_a_section_of_a_plugin_that_is_not_installed_names_those_that_are() -> None:
    (problem,) = problems(GOOD + "  vxlna: {}\n")
    assert problem.startswith("node.yaml:4: plugins.vxlna: found a plugin that is not installed, expected")
    assert problem.endswith('an installed plugin (broken, hostscope, quiet, vxlan); did you mean "vxlan"?')


def test_a_chosen_plugin_without_its_required_section_is_a_problem() -> None:
    assert problems("") == ["node.yaml: plugins.hostscope.pod_cidrs: found nothing, expected a list, each item text"]


def test_a_plugin_that_is_not_chosen_needs_no_section() -> None:
    loaded = load_text("ipam: other\n", "node.yaml", TYPES)
    assert "hostscope" not in loaded.sections
    assert loaded.sections["vxlan"] == Tunnel()


def test_a_plugin_without_settings_takes_an_empty_section_only() -> None:
    load_text(GOOD + "  quiet: {}\n", "node.yaml", TYPES)
    load_text(GOOD + "  quiet:\n", "node.yaml", TYPES)
    (problem,) = problems(GOOD + "  quiet: {a: 1}\n")
    assert problem.endswith("plugins.quiet: found a mapping, expected no section: this plugin has no settings")


def test_the_section_of_a_plugin_that_cannot_say_its_settings_is_left_alone() -> None:
    loaded = load_text(GOOD + "  broken: {whatever: [1]}\n", "node.yaml", TYPES)
    assert "broken" not in loaded.sections


def test_problems_of_settings_and_sections_come_together() -> None:
    assert len(problems("masquerade: 3\nlog: {level: x}\nplugins:\n  vxlan: {port: 0}\n")) == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: b: c", "node.yaml:1: yaml: found mapping values are not allowed here"),
        (
            "log: {level: info",
            "node.yaml:1: yaml: found expected ',' or '}', but got '<stream end>' while parsing a flow mapping",
        ),
        ("\tlog: x", "node.yaml:1: yaml: found character '\\t' that cannot start any token"),
        ("a: 1\n---\nb: 2\n", "node.yaml:2: yaml: found a second document"),
        ("a: *nowhere", "node.yaml:1: yaml: found undefined alias"),
        ("a: \x07", "node.yaml: yaml: found"),
        ("plugins: 3\n", "node.yaml:1: plugins: found the number 3, expected a mapping of keys and values"),
    ],
)
def test_text_that_is_no_config_is_told_with_its_line(text: str, words: str) -> None:
    assert any(problem.startswith(words) for problem in problems(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# " + "x" * CONFIG.max_bytes, f"more than {CONFIG.max_bytes} bytes"),
        ("a: " + "[" * 1000, f"yaml: found more than {CONFIG.max_depth} levels"),
        ("hooks: {disabled: [" + "a," * CONFIG.max_nodes + "]}", f"yaml: found more than {CONFIG.max_nodes} values"),
        ("a: &a [" + "x," * 90 + "]\nhooks: {disabled: [" + "*a," * 200 + "]}", "expected"),
        ("a: &a [*a]", "expected"),
    ],
)
def test_a_hostile_text_is_refused_at_its_bound(text: str, words: str) -> None:
    assert words in "\n".join(problems(text))


def test_aliases_cannot_make_a_small_file_large() -> None:
    """Nine lines that would stand for ten million values."""

    @dataclass(frozen=True)
    class Level:
        below: tuple[tuple[tuple[tuple[tuple[str, ...], ...], ...], ...], ...] = ()

    lines = ["plugins:", "  deep:", "    below:", f"      - &a [{'x, ' * 30}]"]
    for above, below in ("ba", "cb", "dc"):
        lines.append(f"      - &{above} [{f'*{below}, ' * 30}]")
    with pytest.raises(ConfigError) as caught:
        load_text("\n".join(lines), "node.yaml", {"deep": Level})
    assert len(caught.value.problems) < CONFIG.max_nodes + 2


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _path: None, "found No such file or directory, expected a file that can be read"),
        (lambda path: path.mkdir(), "found Is a directory, expected a file that can be read"),
        (lambda path: path.write_bytes(b"a: \xff"), "found byte 0xff at 3, expected UTF-8 text"),
        (lambda path: path.write_bytes(b"#" * (CONFIG.max_bytes + 5)), f"found more than {CONFIG.max_bytes} bytes"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_problem_of_the_file(make: object, words: str, tmp_path: Path) -> None:
    path = tmp_path / "node.yaml"
    make(path)  # type: ignore[operator]
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})
    assert str(caught.value).startswith(f"{path}: file: ")
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["../etc", "a/b", ".", "", "-a", "x" * 64, "ü"])
def test_a_node_name_that_could_leave_its_directory_is_refused(name: str) -> None:
    assert any("node.name" in problem for problem in problems(f"node: {{name: '{name}'}}\n" + GOOD))


@given(st.text(alphabet=string.printable + "ü\0\ufeff", max_size=200))
def test_any_text_gives_a_config_or_problems(text: str) -> None:
    """Nothing else ever comes out."""
    try:
        load_text(text, "node.yaml", {})
    except ConfigError as error:
        assert error.problems  # noqa: PT017
