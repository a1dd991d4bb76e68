"""Which plugins a node uses: chosen ones by name, added ones all, and what stands against it."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from netloom.config.load import load_text
from netloom.model.errors import ConfigError, PluginError
from netloom.plugins import UNDERLAY, AddressRequest, AttachPoint, CallSlot, Flows
from netloom.plugins.manager import Active, PluginManager
from support.plugins import IPAM, Workshop, hook, plugin

PREFIXES = "plugins:\n  hostscope: {pod_cidrs: [10.1.0.0/24, 'fd00:1::/64']}\n  local: {path: /nowhere/store.db}\n"


async def activate(manager: PluginManager, text: str = "", prefixes: str = PREFIXES) -> Active:
    loaded = load_text(text + prefixes, "node.yaml", manager.section_types())
    return await manager.activate(loaded.settings, loaded.sections)


def problems(manager: PluginManager, path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        manager.load(path)
    return str(caught.value).replace(str(path), "node.yaml")


def program(name: str, target: str) -> str:
    return hook(
        "netloom_bpf_programs", f'return [BpfProgram(name="{name}", file="f.c", source="", target={target})]', "context"
    )


async def test_the_defaults_give_a_whole_node(shop: Workshop) -> None:
    manager = shop.discover()
    active = await activate(manager)
    assert [str(prefix) for prefix in active.ipam.prefixes] == ["10.1.0.0/24", "fd00:1::/64"]
    assert active.mode.tunnel is not None
    assert {owned.program.target for owned in active.programs} == {
        CallSlot.ENCAP,
        AttachPoint("loom_vxlan", "ingress"),
        AttachPoint(UNDERLAY, "ingress"),
    }
    states = {record.name: record.state for record in manager.records()}
    assert {states[name] for name in ("hostscope", "local", "vxlan")} == {"active"}


async def test_a_third_partys_ipam_is_used_when_the_config_names_it(shop: Workshop) -> None:
    """Ours is then available, not active."""
    shop.install("mine", IPAM + plugin("mine", hook("netloom_ipam", "return ThePool()"), role="IPAM"))
    manager = shop.discover()
    active = await activate(manager, "ipam: mine\n", "")
    assert str((await active.ipam.allocate(AddressRequest(owner="a"))).addresses[0]) == "10.1.0.9"
    assert shop.record("mine", manager).state == "active"
    assert shop.record("hostscope", manager).state == "available"


async def test_a_plugin_that_was_not_chosen_is_not_asked_for_anything(shop: Workshop) -> None:
    hooks = (hook("netloom_ipam", "raise OSError"), hook("netloom_routers", "raise OSError"))
    shop.install("mine", plugin("mine", *hooks, role="IPAM"))
    manager = shop.discover()
    await activate(manager)
    assert (shop.record("mine", manager).state, shop.record("mine", manager).error) == ("available", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ipam: nobody\n", 'node.yaml:1: ipam: found "nobody", which is not installed'),
        ("ipam: vxlan\n", 'node.yaml:1: ipam: found "vxlan", which has role network-mode'),
        ("ipam: vxlan\n", "expected one installed plugin with role ipam (hostscope)"),
        ("network_mode: [vxlan, ipvlan]\n", "node.yaml:1: network_mode: found a list, expected text"),
        ("hooks: {disabled: [vxlan]}\n", 'node.yaml: network_mode: found "vxlan", which is disabled'),
        ("hooks: {disabled: [vxlna]}\n", 'found "vxlna", which is not installed'),
        ("masquerade: maybe\nipam: nobody\n", 'node.yaml:2: ipam: found "nobody", which is not installed'),
        ("network_mode: broken\n", 'found "broken", which cannot be used: loading raised OSError'),
    ],
)
def test_a_choice_that_cannot_be_is_told_with_its_line(shop: Workshop, tmp_path: Path, text: str, words: str) -> None:
    shop.install("broken", "raise OSError('no')")
    assert words in problems(shop.discover(), tmp_path / "node.yaml", text + PREFIXES).replace("defaults", "node.yaml")


async def test_the_agent_refuses_the_same_choices(shop: Workshop) -> None:
    """Whoever starts it without reading a file gets the sentence too."""
    with pytest.raises(PluginError, match=r'"vxlan": is named as ipam, but which has role network-mode'):
        await activate(shop.discover(), "ipam: vxlan\n")


async def test_an_extension_that_needs_settings_and_has_none_is_left_out(shop: Workshop) -> None:
    body = (
        "from dataclasses import dataclass\n@dataclass\nclass Needs:\n    port: int\n"
        + plugin("p", hook("netloom_config_type", "return Needs"), hook("netloom_routers", "return []", "context"))
    )  # fmt: skip
    shop.install("p", body)
    manager = shop.discover()
    await activate(manager)
    assert "needs settings: write a section plugins.p in the node config" in shop.record("p", manager).error


async def test_a_plugin_gets_its_section_and_the_nodes_name(shop: Workshop) -> None:
    body = (
        "from dataclasses import dataclass\n@dataclass\nclass Has:\n    port: int = 1\nseen = []\n"
        + plugin(
            "p",
            hook("netloom_config_type", "return Has"),
            hook("netloom_routers", "seen.append(context)\nreturn []", "context"),
        )
    )  # fmt: skip
    shop.install("p", body)
    await activate(shop.discover(), "node: {name: n7}\n", PREFIXES + "  p: {port: 9}\n")
    import loomtest_netloom_p  # type: ignore[import-not-found]

    (context,) = loomtest_netloom_p.seen
    assert (context.node_name, context.config.port) == ("n7", 9)


async def test_a_plugin_that_only_listens_gets_its_settings_at_start(shop: Workshop) -> None:
    body = (
        "from dataclasses import dataclass\n@dataclass\nclass Has:\n    port: int = 1\nseen = []\n"
        + plugin(
            "p",
            hook("netloom_config_type", "return Has"),
            hook("netloom_start", "seen.append(context.config.port)\nawait asyncio.sleep(0)", "context"),
            hook("netloom_flows", "seen.append(event.lost)", "event"),
        )
    )  # fmt: skip
    shop.install("p", body)
    manager = shop.discover()
    await activate(manager, "", PREFIXES + "  p: {port: 9}\n")
    await manager.notify("netloom_flows", Flows(flows=(), lost=3))
    import loomtest_netloom_p

    assert loomtest_netloom_p.seen == [9, 3]


async def test_an_extension_that_does_not_start_is_not_used_at_all(shop: Workshop) -> None:
    start = hook("netloom_start", "raise OSError('no license')")
    listen = hook("netloom_flows", "raise SystemExit('called')")
    shop.install("p", plugin("p", start, listen, program("mine", "CallSlot.CUSTOM_FROM_CONTAINER")))
    manager = shop.discover()
    active = await activate(manager)
    await manager.notify("netloom_flows", Flows(flows=(), lost=0))
    assert "p" not in {owned.plugin for owned in active.programs}
    record = shop.record("p", manager)
    assert record.state == "failed"
    assert record.error.startswith("netloom_start raised OSError: no license")


async def test_failures_are_logged_with_plugin_version_and_hook_and_so_is_their_end(shop: Workshop) -> None:
    """Once each, however often they happen; nothing is logged before an agent uses the plugins."""
    listen = hook("netloom_flows", "calls.append(1)\nif len(calls) < 3: raise OSError('collector is away')")
    shop.install("p", "calls = []\n" + plugin("p", listen))
    shop.install("q", "raise OSError('no')", version="7.0")
    with capture_logs() as discovered:
        manager = shop.discover()
    with capture_logs() as logged:
        await activate(manager)
        for _ in range(4):
            await manager.notify("netloom_flows", Flows(flows=(), lost=0))
    assert discovered == []
    found = [(line["event"], line["plugin"], line["version"], line["hook"]) for line in logged]
    assert found == [
        ("plugin.failed", "q", "7.0", "plugin"),
        ("plugin.failed", "p", "1.2.3", "netloom_flows"),
        ("plugin.recovered", "p", "1.2.3", "netloom_flows"),
    ]


async def test_a_chosen_plugin_that_does_not_start_stops_the_agent(shop: Workshop) -> None:
    start = hook("netloom_start", "raise OSError('no disk')")
    shop.install("mine", IPAM + plugin("mine", hook("netloom_ipam", "return ThePool()"), start, role="IPAM"))
    with pytest.raises(PluginError, match='"mine": netloom_start raised OSError: no disk'):
        await activate(shop.discover(), "ipam: mine\n", "")


async def test_a_disabled_extension_is_not_used(shop: Workshop) -> None:
    shop.install("p", plugin("p", program("mine", "CallSlot.CUSTOM_FROM_CONTAINER")))
    manager = shop.discover()
    active = await activate(manager, "hooks: {disabled: [p]}\n")
    assert "p" not in {owned.plugin for owned in active.programs}
    assert shop.record("p", manager).state == "disabled"


async def test_programs_of_extensions_carry_their_plugins_name(shop: Workshop) -> None:
    shop.install("p", plugin("p", program("mine", "CallSlot.CUSTOM_FROM_CONTAINER")))
    active = await activate(shop.discover())
    assert [owned.plugin for owned in active.programs] == ["vxlan", "vxlan", "vxlan", "p"]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("CallSlot.ENCAP", 'claims slot ENCAP, which plugin "vxlan" claims too'),
        ('AttachPoint("loom_vxlan", "ingress")', "claims ingress of loom_vxlan"),
        ("AttachPoint(UNDERLAY, 'egress')", 'is for device "@underlay", expected a device of the network mode'),
        ('AttachPoint("eth0", "ingress")', 'is for device "eth0", expected a device of the network mode (loom_vxlan)'),
    ],
)
async def test_a_place_that_is_taken_or_not_open_stops_the_agent(shop: Workshop, target: str, words: str) -> None:
    shop.install("p", plugin("p", program("mine", target)))
    with pytest.raises(PluginError) as caught:
        await activate(shop.discover())
    assert str(caught.value).startswith('plugin "p": ')
    assert words in str(caught.value)


async def test_two_plugins_with_one_protocol_stop_the_agent(shop: Workshop) -> None:
    body = "from dataclasses import dataclass\n@dataclass\nclass Rule:\n    path: str = ''\n"
    parsers = 'return [L7Protocol(name="smtp", rule_type=Rule, matcher=print, describe=print, new_parser=print)]'
    for name in ("one", "two"):
        shop.install(name, body + plugin(name, hook("netloom_l7_parsers", parsers), role="L7_PARSER"))
    with pytest.raises(PluginError, match='"two": claims protocol "smtp", which plugin "one" claims too'):
        await activate(shop.discover())


# --- the second network mode --------------------------------------------------------------------

SECOND = """
from netloom.plugins import Reach, WorkloadKind

class Plain:
    workload = WorkloadKind.VETH
    tunnel = None
    def mtu_bytes(self, underlay_mtu_bytes, underlay): return underlay_mtu_bytes
    def devices(self): return ()
    def reach(self, local, remote, mtu_bytes): return Reach()

"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fallback_mode: nobody\n", 'node.yaml:1: fallback_mode: found "nobody", which is not installed'),
        ("fallback_mode: local\n", 'node.yaml:1: fallback_mode: found "local", which has role store'),
        ("fallback_mode: vxlan\n", 'node.yaml:1: fallback_mode: found "vxlan", which is network_mode already'),
    ],
)
def test_a_fallback_that_cannot_be_is_told_with_its_line(shop: Workshop, tmp_path: Path, text: str, words: str) -> None:
    assert words in problems(shop.discover(), tmp_path / "node.yaml", text + PREFIXES)


async def test_the_agent_refuses_a_fallback_that_is_the_mode_itself(shop: Workshop) -> None:
    with pytest.raises(PluginError, match='is named as fallback_mode, but is "vxlan", which is network_mode already'):
        await activate(shop.discover(), "fallback_mode: vxlan\n")


async def test_a_fallback_is_asked_for_its_work_like_the_mode(shop: Workshop) -> None:
    """Its programs come behind the mode's, where both have one at the underlay."""
    at_underlay = program("second", "AttachPoint(UNDERLAY, 'ingress')")
    shop.install(
        "mine",
        SECOND + plugin("mine", hook("netloom_network_mode", "return Plain()"), at_underlay, role="NETWORK_MODE"),
    )
    manager = shop.discover()
    active = await activate(manager, "fallback_mode: mine\n")
    assert active.mode.names == ("vxlan", "mine")
    assert shop.record("mine", manager).state == "active"
    found = {(owned.plugin, owned.direct) for owned in active.programs if owned.at_underlay}
    assert found == {("vxlan", True), ("mine", False)}
