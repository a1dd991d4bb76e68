"""Packages of somebody else, installed with pip beside Netloom in a fresh environment, far from this checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.page import titled

ROOT = Path(__file__).parents[2]
EXAMPLES = ("netloom-sticky-ipam", "netloom-memcached")
NOT_SOURCE = shutil.ignore_patterns(".*", "*.egg-info", "build", "dist", "__pycache__", "tests", "bench", "out")
LEFTOVERS = ("*.egg-info", "build", "__pycache__")
pytestmark = pytest.mark.slow

CONFIG = """\
node: {name: elsewhere}
ipam: sticky
plugins:
  sticky:
    pod_cidrs: [10.9.0.0/24, "fd00:9::/64"]
    path: STATE
  local: {path: STORE}
"""
USE_IT = """\
import asyncio, json, sys
from pathlib import Path
import netloom
from netloom.plugins import AddressRequest
from netloom.plugins.manager import PluginManager

async def main():
    manager = PluginManager.discover()
    loaded = manager.load(Path(sys.argv[1]))
    active = await manager.activate(loaded.settings, loaded.sections)
    given = []
    for owner in ("c1", "c2"):
        request = AddressRequest(owner=owner, pod_name="db-0", pod_namespace="default")
        given.append([str(address) for address in (await active.ipam.allocate(request)).addresses])
        await active.ipam.release(owner)
    records = {record.name: [record.state, record.distribution, record.error] for record in manager.records()}
    sources = [[owned.plugin, len(owned.program.source)] for owned in active.programs]
    print(json.dumps({"from": netloom.__file__, "given": given, "records": records, "programs": sources}))
    manager.close()

asyncio.run(main())
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment that knows nothing of the checkout."""

    directory: Path

    def run(self, *words: str, cwd: Path | None = None) -> str:
        """Standard output of a program of the environment."""
        program, *arguments = words
        variables = {"PATH": f"{self.directory}/bin:/usr/bin:/bin", "HOME": str(self.directory), "LANG": "C.UTF-8"}
        if cache := os.environ.get("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip")):
            variables["PIP_CACHE_DIR"] = cache
        done = subprocess.run(
            [str(self.directory / "bin" / program), *arguments],
            cwd=cwd or self.directory,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{words}:\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Netloom and the examples, installed from copies of their sources as their users would."""
    sources = tmp_path_factory.mktemp("sources")
    shutil.copytree(ROOT, sources / "netloom", ignore=NOT_SOURCE)
    for name in EXAMPLES:
        shutil.copytree(ROOT / "examples" / name, sources / name, ignore=shutil.ignore_patterns(*LEFTOVERS))
    made = Environment(tmp_path_factory.mktemp("venv"))
    subprocess.run(["/usr/bin/python3", "-m", "venv", str(made.directory)], check=True)
    made.run("pip", "install", "-q", "--disable-pip-version-check", str(sources / "netloom"), "pytest")
    made.run("pip", "install", "-q", "--disable-pip-version-check", *(str(sources / name) for name in EXAMPLES))
    for name in EXAMPLES:
        shutil.copytree(sources / name / "tests", made.directory / f"tests-of-{name}")
    return made


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A node config that chooses the third party's plugin."""
    path = tmp_path / "node.yaml"
    text = CONFIG.replace("STATE", str(tmp_path / "sticky.json")).replace("STORE", str(tmp_path / "store.db"))
    path.write_text(text)
    return path


def test_the_config_chooses_it_and_the_node_gives_its_addresses(environment: Environment, config: Path) -> None:
    """Sticky ones: the same for both containers of the pod."""
    told = json.loads(environment.run("python", "-I", "-c", USE_IT, str(config)))
    assert told["from"].startswith(str(environment.directory))
    assert told["given"] == [["10.9.0.2", "fd00:9::2"]] * 2
    assert told["records"]["sticky"] == ["active", "netloom-sticky-ipam", ""]
    assert told["records"]["hostscope"] == ["available", "netloom", ""]


def test_the_installed_package_has_its_eBPF_sources(environment: Environment, config: Path) -> None:  # noqa: N802
    told = json.loads(environment.run("python", "-I", "-c", USE_IT, str(config)))
    assert {plugin for plugin, _ in told["programs"]} == {"vxlan"}
    assert min(size for _, size in told["programs"]) > 100


def test_netctl_knows_it_without_an_agent(environment: Environment, config: Path) -> None:
    assert "is valid" in environment.run("netctl", "config", "check", str(config))
    program = "import json; from netloom.cli.plugins import installed; print(json.dumps(installed()))"
    listed = json.loads(environment.run("python", "-I", "-c", program))
    (found,) = [plugin for plugin in listed if plugin["name"] == "sticky"]
    assert (found["kind"], found["distribution"], found["state"]) == ("ipam", "netloom-sticky-ipam", "available")


def test_policies_in_its_protocol_are_valid_there(environment: Environment, tmp_path: Path) -> None:
    """The policy of the page about parsers; without the package it is refused, as no plugin gives the protocol."""
    policy = tmp_path / "cache.yaml"
    policy.write_text(dict(titled("l7-parsers.md"))[policy.name])
    assert "is valid" in environment.run("netctl", "policy", "validate", str(policy))


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_examples_own_tests_pass_there(environment: Environment, example: str) -> None:
    """The conformance kit is part of what is installed."""
    text = environment.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests-of-{example}")
    assert "passed" in text
    assert "failed" not in text
