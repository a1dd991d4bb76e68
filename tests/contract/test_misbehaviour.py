"""Every hook, done wrongly in every way: the plugin is named, and nobody else notices."""

from __future__ import annotations

import inspect
from ipaddress import IPv4Network

import pytest

from netloom.config.settings import Settings
from netloom.model.errors import NetloomError
from netloom.plugins import EndpointReady, EndpointRemoved, Flows, NodeChanged, hookspecs
from netloom.plugins.discovery import GROUP, ROLE_HOOKS
from netloom.plugins.guard import DEFAULT_TIMEOUT_S, PluginFailure
from netloom.plugins.testing import endpoint, flow
from support.plugins import TIMEOUT_S, Workshop, activate, hook, plugin

HOOKS = {name: value for name, value in vars(hookspecs).items() if hasattr(value, "netloom_spec")}
CHOSEN = {"netloom_ipam": "ipam", "netloom_network_mode": "network_mode", "netloom_store": "store"}
AT_LOADING = {"netloom_plugin_info", "netloom_config_type"}
EVENTS = {
    "netloom_endpoint_ready": EndpointReady(endpoint=endpoint()),
    "netloom_endpoint_removed": EndpointRemoved(endpoint=endpoint()),
    "netloom_node_changed": NodeChanged(name="n", node=None),
    "netloom_flows": Flows(flows=(flow(),), lost=0),
}
WAYS = {
    "raise": ("raise KeyError('boom')", "raised KeyError: 'boom'"),
    "hang": ("hang()", "took longer than "),
    "hang in await": ("await asyncio.sleep(60)", "took longer than "),
    "exit": ("raise SystemExit(3)", "raised SystemExit: 3"),
    "junk": ("return object()", "returned "),
    "junk in a list": ("return [object()]", "returned "),
}
CASES = [(name, way) for name in HOOKS for way in WAYS]


def culprit(name: str, way: str) -> str:
    """Source of a plugin whose hook ``name`` misbehaves."""
    body, _ = WAYS[way]
    if name == "netloom_plugin_info":
        return plugin("bad", info=body).replace("def", "async def" if "await " in body else "def", 1)
    role = next((str(role.name) for role, needed in ROLE_HOOKS.items() if needed == name), "EXTENSION")
    return plugin("bad", hook(name, body), role=role)


@pytest.mark.parametrize(("name", "way"), CASES, ids=[f"{name}-{way}" for name, way in CASES])
async def test_a_hook_that_misbehaves_is_named_and_harms_nobody(shop: Workshop, name: str, way: str) -> None:
    """A chosen plugin stops the start; any other is left out, and the rest of the node is whole."""
    shop.install("bad", culprit(name, way))
    shop.install("good", "heard = []\n" + plugin("good", *(hook(n, "heard.append(event)", "event") for n in EVENTS)))
    manager = shop.discover(timeout_s=TIMEOUT_S if "hang" in way else DEFAULT_TIMEOUT_S)
    if name in CHOSEN:
        with pytest.raises(PluginFailure, match=f'plugin "bad": {name} '):
            await activate(manager, f"{CHOSEN[name]}: bad\n")
    else:
        active = await activate(manager)
        assert active.ipam.prefixes == (IPv4Network("10.1.0.0/24"),)
        assert {owned.plugin for owned in active.programs} == {"vxlan"}
        for event_name, event in EVENTS.items():
            await manager.notify(event_name, event)
        assert await manager.samples() == {}
        manager.clean(Settings(), {})
        import loomtest_netloom_good  # type: ignore[import-not-found]

        assert loomtest_netloom_good.heard == list(EVENTS.values())
        assert shop.record("good", manager).state == "active"
    record = shop.record("bad", manager)
    assert record.state == "failed"
    assert f"{name} {WAYS[way][1]}" in record.error


async def test_a_notification_that_works_again_makes_the_plugin_active_again(shop: Workshop) -> None:
    body = "calls = []\n" + plugin(
        "bad", hook("netloom_flows", "calls.append(1)\nif len(calls) < 2: raise OSError('first')")
    )
    shop.install("bad", body)
    manager = shop.discover()
    await activate(manager)
    states = []
    for _ in range(2):
        await manager.notify("netloom_flows", EVENTS["netloom_flows"])
        states.append(shop.record("bad", manager).state)
    assert states == ["failed", "active"]


async def test_an_error_on_purpose_in_a_notification_is_shown_too(shop: Workshop) -> None:
    body = "from netloom.model.errors import StoreError\n"
    shop.install("bad", body + plugin("bad", hook("netloom_flows", "raise StoreError('collector is away')")))
    manager = shop.discover()
    await activate(manager)
    await manager.notify("netloom_flows", EVENTS["netloom_flows"])
    assert "collector is away" in shop.record("bad", manager).error


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return int", "int is not a dataclass"),
        ("return 3", "returned int, expected a dataclass (the class, not an instance)"),
        (
            "from dataclasses import make_dataclass\nreturn make_dataclass('Odd', [('x', complex)])",
            "returned a type that no config can hold: Odd.x has type <class 'complex'>",
        ),
    ],
)
def test_a_config_type_no_config_can_hold_is_named(shop: Workshop, body: str, words: str) -> None:
    shop.install("bad", plugin("bad", hook("netloom_config_type", body)))
    assert words in shop.record("bad").error


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("name='Not a name', file='', source='', target=CallSlot.ENCAP", "expected up to 15 of a-z, 0-9 and _"),
        ("name='x', file='', source=b'', target=CallSlot.ENCAP", "whose source is bytes, expected str"),
        (
            "name='x', file='', source='', target=CallSlot.FORWARD",
            "expected an AttachPoint or slot ENCAP, NATIVE, CUSTOM",
        ),
        ("name='x', file='', source='', target=4", "expected an AttachPoint or slot"),
        ("name='x', file='', source='', target=AttachPoint('d', 'up')", "for direction 'up'"),
        ("name='x', file='', source='', target=CallSlot.ENCAP, maps=(3,)", "expected only MapSpec"),
    ],
)
async def test_a_program_that_cannot_be_is_left_out(shop: Workshop, program: str, words: str) -> None:
    shop.install("bad", plugin("bad", hook("netloom_bpf_programs", f"return [BpfProgram({program})]")))
    manager = shop.discover()
    await activate(manager)
    assert words in shop.record("bad", manager).error


def test_every_hook_takes_one_frozen_argument_or_none() -> None:
    """So a new fact never changes a signature."""
    for name, spec in HOOKS.items():
        parameters = list(inspect.signature(spec).parameters)
        assert parameters in ([], ["context"], ["event"]), name
    assert GROUP == "netloom.plugins"
    assert issubclass(PluginFailure, NetloomError)
