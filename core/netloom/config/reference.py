"""Renders ``docs/configuration.md`` from the settings themselves: ``python -m netloom.config.reference [--check]``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, is_dataclass
from importlib.metadata import distribution
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args, get_origin

from netloom.config.annotations import Check, Length, Range
from netloom.config.kinds import FieldKind, Kind, fields_of, strip
from netloom.config.load import PLUGINS, plain
from netloom.config.settings import Settings

DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.md"
GROUP = "netloom.plugins"
INTRODUCTION = """\
# Node configuration

One YAML file for each node, `/etc/netloom/node.yaml` unless the agent is told another with `--config`. Without a file,
every setting has its default.

```console
# netctl config check /etc/netloom/node.yaml   # every problem at once, each with its line; needs no agent
# netctl config show /etc/netloom/node.yaml    # every setting, its value, and where it came from
# netctl config show                           # the same, of the running agent
```

This page is rendered from the settings by `python -m netloom.config.reference`.

## An example

```yaml
node:
  name: node1
  underlay_device: eth0
log: {level: debug}
plugins:
  hostscope:
    pod_cidrs: [10.244.1.0/24, "fd00:10:244:1::/64"]
  vxlan: {port: 8472}
```

## How values are read

* A text that YAML would take for something else, such as `no`, `12` or `1:30`, is written in quotes.
* A prefix has its length and no host bits: `10.244.1.0/24`. A path is absolute.
* A key that does not exist, or stands twice, is a problem; so is a section of a plugin that is not installed.
* YAML's tags and merge keys are not read. A file has at most 256 KiB, 20 levels and 10,000 values, aliases counted
  as often as they are used.
"""
PLUGIN_INTRODUCTION = """\
## Plugins

Which plugins a node uses is said by `network_mode`, `ipam` and `store`, one each, and by what is installed and
not named in `hooks.disabled`, for all others. Each plugin has a section of
its own under `plugins`; these are the sections of the plugins that come with Netloom.
"""


def render(sections: Mapping[str, type]) -> str:
    """The page, with the config sections of these plugins."""
    own = {name: field for name, field in fields_of(Settings).items() if _section_of(field.kind) is None}
    lines = [INTRODUCTION, "## Settings\n", *_table("", own, {})]
    for name, field in fields_of(Settings).items():
        if (cls := _section_of(field.kind)) is not None:
            lines += ["", *_section(name, cls, 3, {})]
    lines += ["", PLUGIN_INTRODUCTION]
    for name, cls in sections.items():
        lines += [*_section(f"{PLUGINS}.{name}", cls, 3, {}), ""]
    return "\n".join(lines).rstrip() + "\n"


def own_sections() -> dict[str, type]:
    """Section types of the plugins that come with Netloom, by name."""
    found = {}
    for entry_point in sorted(distribution("netloom").entry_points.select(group=GROUP), key=attrgetter("name")):
        config_type = getattr(entry_point.load()(), "netloom_config_type", None)
        if config_type is not None:
            found[entry_point.name] = config_type()
    return found


def _section_of(kind: Kind) -> type | None:
    """The dataclass that a setting is, or whose instances it lists; None for any other setting."""
    tp = strip(get_args(kind.type)[0]).type if get_origin(kind.type) is tuple else kind.type
    return tp if isinstance(tp, type) and is_dataclass(tp) else None


def _section(key: str, cls: type, level: int, described: dict[type, str]) -> Iterator[str]:
    """A section's table, and those of the sections within it; ``described`` says where each is, and gets these."""
    described[cls] = key
    fields = fields_of(cls)
    parts: dict[str, type] = {}
    for name, field in fields.items():
        part = _section_of(field.kind)
        if part is not None and part not in described:
            where = f"{key}.{name}" + ("[]" if get_origin(field.kind.type) is tuple else "")
            parts[where] = part
            described[part] = where
    yield f"{'#' * level} {_title(key, cls)}\n"
    yield from _table(f"{key}.", fields, described)
    for where, part in parts.items():
        yield ""
        yield from _section(where, part, 4, described)


def _title(key: str, cls: type) -> str:
    words = _words(cls)
    return f"`{key}`: {words}" if words else f"`{key}`"


def _words(cls: type) -> str:
    """What a section is, without its key."""
    _, _, words = (inspect.getdoc(cls) or "").partition(": ")
    return words.splitlines()[0].rstrip(".").replace("``", "`") if words else ""


def _table(prefix: str, fields: Mapping[str, FieldKind], described: Mapping[type, str]) -> Iterator[str]:
    yield "| key | value | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, field in fields.items():
        values, default, meaning = _values(field.kind), _default(field), field.kind.doc
        if (part := _section_of(field.kind)) is not None:
            listed, where = get_origin(field.kind.type) is tuple, described[part]
            what = "a list of mappings" if listed else "a mapping"
            values = f"{what}, below" if where.removesuffix("[]") == f"{prefix}{name}" else f"{what} as in `{where}`"
            default = default if listed or field.kind.optional or field.required else "its defaults"
            meaning = meaning or f"{_words(part)[:1].upper()}{_words(part)[1:]}."
        yield f"| `{prefix}{name}` | {values} | {default} | {_cell(meaning)} |"


def _values(kind: Kind) -> str:
    item = strip(get_args(kind.type)[0]) if get_origin(kind.type) is tuple else kind
    bounds = [*(_bound(check, item) for check in item.checks), *(_bound(one, kind) for one in kind.checks)]
    return _cell(", ".join([kind.words, *dict.fromkeys(bounds)]))


def _bound(check: Check, kind: Kind) -> str:
    """Whatever is more than a plain range says in its own words what it expects."""
    if type(check) not in (Range, Length):
        return check.problem(None)
    if isinstance(check, Range):
        return f"{check.low:.10g} to {check.high:.10g}"
    assert isinstance(check, Length)  # noqa: S101 - the last of the union
    return f"{check.low} to {check.high} {'characters' if kind.type is str else 'items'}"


def _default(field: FieldKind) -> str:
    if field.required:
        return "required"
    if field.field.default is MISSING and not is_dataclass(field.kind.type):
        return "depends on the host"
    value: Any = plain(field.default())
    if value in (None, "", []):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write the page, or with ``--check`` exit 1 when it is stale."""
    text = render(own_sections())
    if sys.argv[1:] == ["--check"]:
        fresh = DOCUMENT.exists() and DOCUMENT.read_text(encoding="utf-8") == text
        sys.exit(0 if fresh else f"{DOCUMENT} is stale: run `python -m netloom.config.reference`")
    DOCUMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
