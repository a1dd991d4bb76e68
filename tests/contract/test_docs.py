"""The documentation is true: its code runs, its configs load, its lists are whole and fresh."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from netloom.config import reference as config_reference
from netloom.config.kinds import fields_of
from netloom.config.load import load_text
from netloom.config.settings import Settings
from netloom.plugins import Flows, reference
from netloom.plugins.discovery import GROUP
from netloom.plugins.manager import PluginManager
from netloom.plugins.testing import check_plugin, flow
from netloom.policy.read import read_policies
from support.page import BLOCK, pytest_passes, titled
from support.plugins import Workshop, install

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tutorial(shop: Workshop) -> Iterator[Mapping[str, Path]]:
    """Every file of the tutorial, written; the package in it installed."""
    texts = dict(titled("plugins.md"))
    files = {name: shop.directory / name for name in texts}
    for name, body in texts.items():
        files[name].write_text(body)
    project = tomllib.loads(files["pyproject.toml"].read_text())["project"]
    install(shop.directory, project["name"], project["version"], project["entry-points"][GROUP])
    yield files
    for name in ("netloom_droplog", "netloom_nomail"):
        sys.modules.pop(name, None)


async def test_the_tutorials_plugin_is_found_configured_and_used(
    tutorial: Mapping[str, Path], shop: Workshop, tmp_path: Path
) -> None:
    config = tutorial["node.yaml"].read_text().replace("/var/log", str(tmp_path))
    tutorial["node.yaml"].write_text(config + f"  local: {{path: {tmp_path}/store.db}}\n")
    manager = PluginManager.discover()
    shop.managers.append(manager)
    loaded = manager.load(tutorial["node.yaml"])
    await manager.activate(loaded.settings, loaded.sections)
    await manager.notify("netloom_flows", Flows(flows=(flow(), flow(text="TTL exceeded")), lost=0))
    (line,) = (tmp_path / "netloom-drops.json").read_text().splitlines()
    assert json.loads(line) == {
        "reason": "Invalid source ip",
        "endpoint": 17,
        "from": "10.99.1.66",
        "to": "10.99.2.9",
        "protocol": "udp",
    }
    assert shop.record("droplog", manager).state == "active"


def test_the_tutorials_own_tests_pass(tutorial: Mapping[str, Path]) -> None:
    pytest_passes(tutorial["test_droplog.py"])


def test_the_stage_of_the_tutorial_is_a_plugin(tutorial: Mapping[str, Path]) -> None:
    """What its program does is tested where programs run."""
    assert "netloom_nomail.py" in tutorial
    import netloom_nomail  # type: ignore[import-not-found]

    check_plugin(netloom_nomail.NoMail)


@pytest.mark.parametrize("name", reference.hooks())
def test_every_hook_is_documented_with_its_exact_arguments(name: str) -> None:
    text = (ROOT / "docs" / "plugins.md").read_text()
    assert f"### `{reference.heading(name, reference.hooks()[name])}`\n" in text


@pytest.mark.parametrize("name", reference.hooks())
def test_every_hook_says_when_how_and_what_if_it_fails(name: str) -> None:
    text = reference.hooks()[name].__doc__ or ""
    for word in ("When:", "Task:", "Failure:", ".. versionadded::"):
        assert word in text, word
    for parameter in reference.heading(name, reference.hooks()[name]).partition("(")[2].rstrip(")").split():
        assert f":param {parameter}:" in text


def test_the_plugin_reference_is_fresh() -> None:
    """Otherwise: python -m netloom.plugins.reference."""
    text = (ROOT / "docs" / "plugins.md").read_text()
    assert text.endswith(reference.MARK + "\n" + reference.render())


def test_the_config_reference_is_fresh() -> None:
    """Otherwise: python -m netloom.config.reference."""
    assert config_reference.render(config_reference.own_sections()) == config_reference.DOCUMENT.read_text()


def undocumented(cls: type) -> list[str]:
    """Fields without a word about them."""
    found = []
    for name, field in fields_of(cls).items():
        if hasattr(field.kind.type, "__dataclass_fields__"):
            found += undocumented(field.kind.type)
        elif not field.kind.doc:
            found.append(f"{cls.__name__}.{name}")
    return found


def test_every_setting_is_documented() -> None:
    assert [name for cls in (Settings, *config_reference.own_sections().values()) for name in undocumented(cls)] == []


def configs(*, policies: bool = False) -> list[tuple[str, str]]:
    """Every YAML block in the documentation that is a node config, or a policy, with its page."""
    return [(page, text) for page, text in blocks() if text.startswith("apiVersion:") is policies]


def blocks() -> list[tuple[str, str]]:
    """Every YAML block in the documentation, with its page."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("plugins/*/README.md"))]
    return [(page.name, body) for page in pages for kind, _, body in BLOCK.findall(page.read_text()) if kind == "yaml"]


POLICIES = [*sorted((ROOT / "examples/policies").iterdir()), *sorted((ROOT / "examples/job-postings").glob("*.yaml"))]


@pytest.mark.parametrize("file", POLICIES, ids=lambda file: file.name)
def test_every_policy_of_the_examples_is_read_without_a_warning(file: Path) -> None:
    found = read_policies(file.read_text(), file.name)
    assert found.policies
    assert found.warnings == ()


@pytest.mark.parametrize(("page", "text"), configs(policies=True))
def test_every_policy_in_the_documentation_is_read_without_a_warning(page: str, text: str) -> None:
    assert read_policies(text, page).warnings == ()


@pytest.mark.parametrize(("page", "text"), configs())
def test_every_config_in_the_documentation_can_be_used(page: str, text: str) -> None:
    """Whole, or short of the prefixes without which no node can be; sections of examples are left aside."""
    tree = yaml.safe_load(text)
    plugins = tree.setdefault("plugins", {})
    for name in ("droplog", "sticky"):
        plugins.pop(name, None)
    plugins.setdefault("hostscope", {"pod_cidrs": ["10.244.1.0/24"]})
    manager = PluginManager.discover()
    load_text(yaml.safe_dump(tree), page, manager.section_types())
    manager.close()


def test_every_upstream_test_of_network_policies_stands_here() -> None:
    """All 50, none twice, each as a function of the file that the page names; no test is left out but our own."""
    text = (ROOT / "docs/conformance.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.+?) \| `(test_\w+\.py)::(test_\w+)(\[\w+\])?` \| passes \|", text, re.MULTILINE)
    assert [int(number) for number, *_ in rows] == list(range(1, 51))
    assert len({name for _, name, *_ in rows}) == len({tuple(test) for _, _, *test in rows}) == 50
    folder = ROOT / "tests/e2e/netpol"
    tests = {
        path.name: set(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))
        for path in folder.glob("test_*.py")
    }
    assert {(file, test) for _, _, file, test, _ in rows} == {
        (file, test)
        for file, found in tests.items()
        for test in found
        if file not in ("test_blocks.py", "test_empire.py")
    }
