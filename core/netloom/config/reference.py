"""Renders ``docs/configuration.md`` from the settings themselves: ``python -m netloom.config.reference [--check]``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, is_dataclass
from importlib.metadata import distribution
from operator import attrgetter
from pathlib import Path
from typing import Any

from netloom.config.annotations import Check, Length, Pattern, Range
from netloom.config.kinds import FieldKind, Kind, fields_of
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
    lines = [INTRODUCTION, "## Settings\n", *_table("", Settings, nested=False)]
    for name, field in fields_of(Settings).items():
        cls = field.kind.type
        if isinstance(cls, type) and is_dataclass(cls):
            lines += ["", f"### {_title(name, cls)}\n", *_table(f"{name}.", cls)]
    lines += ["", PLUGIN_INTRODUCTION]
    for name, cls in sections.items():
        lines += [f"### {_title(f'{PLUGINS}.{name}', cls)}\n", *_table(f"{PLUGINS}.{name}.", cls), ""]
    return "\n".join(lines).rstrip() + "\n"


def own_sections() -> dict[str, type]:
    """Section types of the plugins that come with Netloom, by name."""
    found = {}
    for entry_point in sorted(distribution("netloom").entry_points.select(group=GROUP), key=attrgetter("name")):
        config_type = getattr(entry_point.load()(), "netloom_config_type", None)
        if config_type is not None:
            found[entry_point.name] = config_type()
    return found


def _title(key: str, cls: type) -> str:
    _, _, words = (inspect.getdoc(cls) or "").partition(": ")
    return f"`{key}`: {words.splitlines()[0].rstrip('.')}" if words else f"`{key}`"


def _table(prefix: str, cls: type, *, nested: bool = True) -> Iterator[str]:
    yield "| key | value | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, field in fields_of(cls).items():
        if nested or not is_dataclass(field.kind.type):
            yield f"| `{prefix}{name}` | {_values(field.kind)} | {_default(field)} | {_cell(field.kind.doc)} |"


def _values(kind: Kind) -> str:
    return _cell(", ".join([kind.words, *(_bound(check, kind) for check in kind.checks)]))


def _bound(check: Check, kind: Kind) -> str:
    if isinstance(check, Pattern):
        return check.text
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
