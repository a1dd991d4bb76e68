"""Which installed plugins can be used, and what is said of those that cannot."""

from __future__ import annotations

import pytest

from netloom.model.errors import PluginError
from netloom.plugins.guard import DEFAULT_TIMEOUT_S
from netloom.plugins.hookspecs import hookimpl
from support.plugins import IPAM, TIMEOUT_S, Workshop, hook, out_of_range, plugin

BUILT_IN = {"hostscope": "ipam", "local": "store", "vxlan": "network-mode"}


def refusal(shop: Workshop) -> str:
    """What the agent would stop with."""
    with pytest.raises(PluginError) as caught:
        shop.discover().check()
    return str(caught.value)


def test_our_own_plugins_come_through_the_same_door(shop: Workshop) -> None:
    records = {record.name: record for record in shop.discover().records()}
    assert {name: records[name].kind for name in BUILT_IN} == BUILT_IN
    assert all(records[name].state == "available" and not records[name].error for name in BUILT_IN)
    assert {records[name].distribution for name in BUILT_IN} == {"netloom"}


def test_a_plugin_of_somebody_else_is_found_with_version_and_hooks(shop: Workshop) -> None:
    body = IPAM + plugin("mine", hook("netloom_ipam", "return ThePool()"), role="IPAM")
    shop.install("mine", body, distribution="acme-ipam", version="4.5")
    record = shop.record("mine")
    assert (record.kind, record.distribution, record.version) == ("ipam", "acme-ipam", "4.5")
    assert record.hooks == ("netloom_ipam", "netloom_plugin_info")
    assert (record.state, record.error) == ("available", "")


def test_two_plugins_of_one_name_stop_the_agent_and_neither_is_imported(shop: Workshop) -> None:
    for distribution in ("one", "two"):
        shop.install("twin", "raise SystemExit('imported')", distribution=distribution)
    assert [record.state for record in shop.discover().records() if record.name == "twin"] == ["failed", "failed"]
    assert "one 1.2.3 and two 1.2.3 both bring a plugin of this name; uninstall one of them" in refusal(shop)


def test_a_stranger_cannot_take_the_name_of_a_built_in(shop: Workshop) -> None:
    shop.install("vxlan", plugin("vxlan"), distribution="evil")
    assert "both bring a plugin of this name" in refusal(shop)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            plugin("p", hook("netloom_endpont_ready", "pass", "event")),
            'method "netloom_endpont_ready" is no hook of contract 1.4; did you mean "netloom_endpoint_ready"?',
        ),
        (plugin("p", "def netloom_flows(self, event): pass"), 'method "netloom_flows" is not marked with @hookimpl'),
        (plugin("p", hook("netloom_flows", "pass", "flows")), "flows"),
        (
            plugin("p", "@hookimpl(wrapper=True)\ndef netloom_flows(self, event):\n    yield"),
            'method "netloom_flows" wraps a hook',
        ),
        (
            plugin("p", "@hookimpl(specname='netloom_nothing')\ndef quiet(self): pass"),
            'method "quiet" is no hook',
        ),
        ("class P: pass", "has no netloom_plugin_info hook, which every plugin must have"),
        (plugin("other"), 'calls itself "other", expected "p", the name of its entry point'),
        (plugin("p", role="IPAM"), 'has role "ipam" but no netloom_ipam hook'),
        (
            plugin("p", info=out_of_range()).replace('"late"', '"p"'),
            "speaks contract 2.0 to 2.0, this agent speaks 1.4",
        ),
    ],
)
def test_a_plugin_that_breaks_a_rule_stops_the_agent_with_a_sentence(shop: Workshop, body: str, words: str) -> None:
    shop.install("p", body)
    assert shop.record("p").state == "failed"
    message = refusal(shop)
    assert message.startswith('plugin "p": ')
    assert words in message
    assert message.endswith("name it in hooks.disabled of the node config")


def test_a_plugin_that_breaks_a_rule_does_no_harm_when_disabled(shop: Workshop) -> None:
    """Disabled at discovery it is not even imported; disabled by the config it is not used."""
    shop.install("p", plugin("p", hook("netloom_nothing", "pass")))
    shop.discover().check(("p",))
    assert shop.record("p", shop.discover(("p",))).state == "disabled"
    shop.discover(("p",)).check()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "import no_such_library\nclass P: pass",
            "loading raised ModuleNotFoundError: No module named 'no_such_library'",
        ),
        ("def P(broken", "loading raised SyntaxError"),
        ("raise SystemExit(3)", "loading raised SystemExit: 3"),
        ("assert False, 'not on this machine'", "loading raised AssertionError: not on this machine"),
        ("hang()", f"loading took longer than {TIMEOUT_S:g} s"),
        ("x = 1", "loading raised AttributeError"),
        ("class P:\n    def __init__(self, argument): pass", "loading raised TypeError"),
        ("class P:\n    def __dir__(self): raise OSError('dir')", "loading raised OSError: dir"),
        ("class Unprintable(Exception):\n    def __str__(self): raise self\nraise Unprintable", "cannot be printed"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_named_and_stops_nobody(shop: Workshop, body: str, words: str) -> None:
    shop.install("p", body)
    manager = shop.discover(timeout_s=TIMEOUT_S if "hang" in body else DEFAULT_TIMEOUT_S)
    record = shop.record("p", manager)
    assert record.state == "failed"
    assert words in record.error
    manager.check()
    assert shop.record("vxlan", manager).state == "available"


def test_a_plugin_may_be_any_object_that_gives_hooks(shop: Workshop) -> None:
    """A function that makes the object will do."""
    shop.install("p", plugin("p").replace("class P", "class Real") + "def P(): return Real()\n")
    assert shop.record("p").state == "available"


def test_a_disabled_plugin_is_listed_and_not_imported(shop: Workshop) -> None:
    shop.install("p", "raise SystemExit('imported')")
    record = shop.record("p", shop.discover(("p",)))
    assert (record.state, record.error, record.hooks) == ("disabled", "", ())


def test_the_marker_authors_use_is_the_one_the_manager_looks_for() -> None:
    assert hookimpl.project_name == "netloom"
