"""The node config: one YAML file to settings, plugin sections, and the origin of every value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from netloom.config.document import compose, read_file
from netloom.config.kinds import fields_of
from netloom.config.scalars import kind_of, show
from netloom.config.schema import DEFAULT, Reader, closest
from netloom.config.settings import Settings

PLUGINS = "plugins"
"""The key that holds a section for each plugin, by name."""
DEFAULTS = Settings()


Choices = Mapping[str, Callable[[str], tuple[str, str] | None]]
"""By top-level key: what is wrong with a value, as what was found and what was expected; None when nothing is."""


@dataclass(frozen=True, slots=True)
class NoSection:
    """Section type of a plugin that has no settings: only an empty section fits."""


@dataclass(frozen=True, slots=True)
class Unread:
    """Section type of a plugin that cannot say what its settings are: anything fits, nothing is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A config that can be used."""

    settings: Settings
    sections: Mapping[str, Any]
    """An instance of each plugin's section type, by plugin; a plugin is absent when its section lacks required keys
    because nobody wrote it."""
    origins: Mapping[str, str]
    """``default``, or ``FILE:LINE``, by dotted key such as ``plugins.vxlan.port``."""
    path: Path | None = None
    """Of the file; None when every setting has its default."""

    def rows(self) -> list[dict[str, Any]]:
        """``key``, ``value`` (plain JSON) and ``origin`` of every setting, in the order of the reference."""
        rows = _rows(self.settings, "", self.origins)
        for name, section in self.sections.items():
            rows += _rows(section, f"{PLUGINS}.{name}", self.origins)
        return rows


def load_config(path: Path | None, section_types: Mapping[str, type], choices: Choices | None = None) -> Loaded:
    """Read a file; None means that every setting has its default. Raises ConfigError with all problems."""
    if path is None:
        return load_text("", "defaults", section_types, choices)
    return replace(load_text(read_file(path), str(path), section_types, choices), path=path)


def load_text(text: str, file: str, section_types: Mapping[str, type], choices: Choices | None = None) -> Loaded:
    """Read YAML text; ``file`` names it in messages. Raises ConfigError with all problems."""
    root = compose(text, file)
    reader = Reader(file)
    rest, plugins = _split(root)
    settings = reader.section(Settings, rest, "")
    sections = _sections(reader, plugins, section_types, _chosen(rest))
    _check_choices(reader, rest, choices or {})
    reader.finish()
    assert settings is not None, "a reader without problems has read everything"  # noqa: S101
    return Loaded(settings=settings, sections=sections, origins=dict(reader.origins))


def _check_choices(reader: Reader, root: yaml.Node | None, choices: Choices) -> None:
    """Written choices are checked with everything else, so that a bad one is among all the problems."""
    for key, value in _written(root):
        refuse = choices.get(key)
        if refuse and isinstance(value, yaml.ScalarNode) and (refused := refuse(value.value)):
            reader.note(value, key, *refused)


def _written(root: yaml.Node | None) -> list[tuple[str, yaml.Node]]:
    """The top-level keys that are text, with their values, in the order of the file."""
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    return [(key.value, value) for key, value in pairs if isinstance(key, yaml.ScalarNode)]


def _split(root: yaml.Node | None) -> tuple[yaml.Node | None, yaml.Node | None]:
    """The document without its first ``plugins`` key, and that key's value."""
    if not isinstance(root, yaml.MappingNode):
        return root, None
    mine = [pair for pair in root.value if getattr(pair[0], "value", None) == PLUGINS][:1]
    others = [pair for pair in root.value if pair not in mine]
    rest = yaml.MappingNode(root.tag, others, root.start_mark, root.end_mark)
    return rest, mine[0][1] if mine else None


def _chosen(root: yaml.Node | None) -> frozenset[str]:
    """Names of the plugins the config chooses, known even when something else in it is wrong."""
    names = {key: value.value for key, value in _written(root)}
    return frozenset(str(names.get(role, getattr(DEFAULTS, role))) for role in ("network_mode", "ipam", "store"))


def _sections(
    reader: Reader, node: yaml.Node | None, types: Mapping[str, type], chosen: frozenset[str]
) -> dict[str, Any]:
    written = reader.entries(node, PLUGINS)
    for name, (name_node, _) in written.items():
        if name not in types:
            installed = ", ".join(sorted(types)) or "none"
            expected = f"an installed plugin ({installed}){closest(name, types)}"
            reader.note(name_node, f"{PLUGINS}.{name}", "a plugin that is not installed", expected)
    sections: dict[str, Any] = {}
    for name, cls in types.items():
        key = f"{PLUGINS}.{name}"
        value = written[name][1] if name in written else None
        if cls is Unread:
            continue
        if cls is NoSection and value is not None and kind_of(value) != "null" and value.value:
            reader.note(value, key, show(value), "no section: this plugin has no settings")
        elif value is not None or name in chosen or _complete(cls):
            sections[name] = reader.section(cls, value, key)
    return sections


def _complete(cls: type) -> bool:
    """Whether a section that nobody wrote is whole by its defaults."""
    return not any(field.required for field in fields_of(cls).values())


def _rows(value: Any, key: str, origins: Mapping[str, str]) -> list[dict[str, Any]]:
    rows = []
    for field in fields(value):
        name = f"{key}.{field.name}" if key else field.name
        part = getattr(value, field.name)
        if is_dataclass(part):
            rows += _rows(part, name, origins)
        else:
            rows.append({"key": name, "value": plain(part), "origin": origins.get(name, DEFAULT)})
    return rows


def plain(value: Any) -> Any:
    """A setting as JSON would hold it; addresses, prefixes and paths as text."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return str(value)
