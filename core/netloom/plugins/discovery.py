"""Finds plugins by their entry points, and brings each one to the point where it can be used, or says why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy
from stevedore import DriverManager

from netloom.config.load import NoSection, Unread
from netloom.config.schema import closest
from netloom.model.errors import NetloomError, PluginError
from netloom.plugins import accept, hookspecs
from netloom.plugins.contract import CONTRACT_VERSION, PluginInfo, Role
from netloom.plugins.guard import Guard, PluginFailure

GROUP = "netloom.plugins"
"""The group of entry points plugins are found in."""
PREFIX = f"{hookspecs.PROJECT}_"
ROLE_HOOKS = {
    Role.IPAM: "netloom_ipam",
    Role.NETWORK_MODE: "netloom_network_mode",
    Role.STORE: "netloom_store",
    Role.ROUTER: "netloom_routers",
    Role.L7_PARSER: "netloom_l7_parsers",
}
"""The hook without which a plugin of that role would be none."""


@dataclass(slots=True)
class Plugin:
    """One installed plugin and how far it came."""

    name: str
    distribution: str
    version: str
    guard: Guard
    disabled: bool = False
    breach: str = ""
    """How it breaks the contract: the agent refuses to start with it."""
    failure: str = ""
    """Why it cannot be used though it breaks no rule: the agent starts without it, unless it was chosen."""
    info: PluginInfo | None = None
    hooks: dict[str, Callable[..., Any]] = field(default_factory=dict)
    section_type: type = Unread

    @property
    def usable(self) -> bool:
        """Whether its hooks may be called."""
        return not (self.disabled or self.breach or self.failure)


class _Driver(DriverManager[object]):
    """stevedore's loader of one plugin, given its entry point.

    stevedore would read entry points through a cache file in the user's home, and that file knows no distributions.
    """

    def __init__(self, entry_point: EntryPoint) -> None:
        self._found = entry_point
        super().__init__(entry_point.group, entry_point.name, invoke_on_load=True)

    def list_entry_points(self) -> list[EntryPoint]:
        """The one that is to be loaded."""
        return [self._found]


def find(disabled: Iterable[str], timeout_s: float) -> list[Plugin]:
    """Every installed plugin, by name, loaded and checked; disabled ones and doubles are not even imported."""
    found: dict[str, list[EntryPoint]] = {}
    for entry_point in entry_points(group=GROUP):
        found.setdefault(entry_point.name, []).append(entry_point)
    off = frozenset(disabled)
    return [plugin for name in sorted(found) for plugin in _bring_up(found[name], timeout_s, disabled=name in off)]


def _bring_up(candidates: list[EntryPoint], timeout_s: float, *, disabled: bool) -> list[Plugin]:
    plugins = [_describe(entry_point) for entry_point in candidates]
    for plugin in plugins:
        plugin.guard.timeout_s = timeout_s
        plugin.disabled = disabled
        if len(plugins) > 1:
            owners = " and ".join(sorted(f"{other.distribution} {other.version}" for other in plugins))
            plugin.breach = f"{owners} both bring a plugin of this name; uninstall one of them"
    if plugins[0].usable:
        load(plugins[0], lambda: _Driver(candidates[0]).driver)
    return plugins


def _describe(entry_point: EntryPoint) -> Plugin:
    name, distribution = entry_point.name, entry_point.dist
    return Plugin(
        name=name,
        distribution=distribution.name if distribution else "unknown",
        version=distribution.version if distribution else "unknown",
        guard=Guard(name),
    )


def load(plugin: Plugin, make: Callable[[], object]) -> None:
    """Make the plugin's object with ``make`` and read what it says of itself; problems end up in ``plugin``."""
    try:
        plugin.hooks = plugin.guard.call("loading", make, partial(hooks_of, plugin.name))
        info: PluginInfo = plugin.guard.call("netloom_plugin_info", plugin.hooks["netloom_plugin_info"], accept.info)
        plugin.info = info
        check_info(plugin.name, info, plugin.hooks)
        plugin.section_type = NoSection
        if "netloom_config_type" in plugin.hooks:
            plugin.section_type = Unread
            hook = plugin.hooks["netloom_config_type"]
            plugin.section_type = plugin.guard.call("netloom_config_type", hook, accept.section_type)
    except Breach as breach:
        plugin.breach = breach.text
    except PluginFailure as failure:
        plugin.failure = f"{failure.what} {failure.text}"
    except NetloomError as error:
        plugin.failure = str(error)


class Breach(PluginError):
    """A rule of the contract that can be checked before anything is called is broken."""

    def __init__(self, plugin: str, text: str) -> None:
        super().__init__(plugin, text)
        self.text = text


def hooks_of(name: str, instance: Any) -> dict[str, Callable[..., Any]]:
    """The plugin's implementations, by hook. Raises Breach when one is misspelt, unmarked, or takes unknown arguments.

    Calling an implementation takes the hook's arguments by name; those it did not ask for are left out.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    known = {hook for hook in dir(hookspecs) if manager.parse_hookspec_opts(hookspecs, hook) is not None}
    for attribute in dir(instance):
        options = manager.parse_hookimpl_opts(instance, attribute)
        hook = (options and options.get("specname")) or attribute
        if (options is not None or attribute.startswith(PREFIX)) and hook not in known:
            raise Breach(name, f'method "{attribute}" is no hook of contract {CONTRACT_VERSION}{closest(hook, known)}')
        if options is None and attribute in known:
            raise Breach(name, f'method "{attribute}" is not marked with @hookimpl')
        if options is not None and (options.get("wrapper") or options.get("hookwrapper")):
            raise Breach(name, f'method "{attribute}" wraps a hook; plugins are called one by one, so wrap nothing')
    try:
        manager.register(instance, name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise Breach(name, " ".join(str(error).split())) from error
    if not manager.hook.netloom_plugin_info.get_hookimpls():
        raise Breach(name, "has no netloom_plugin_info hook, which every plugin must have")
    callers = {hook: getattr(manager.hook, hook).get_hookimpls() for hook in sorted(known)}
    return {hook: partial(_call, implementations[0]) for hook, implementations in callers.items() if implementations}


def _call(implementation: Any, **arguments: Any) -> Any:
    return implementation.function(*(arguments[name] for name in implementation.argnames))


def check_info(name: str, info: PluginInfo, hooks: Iterable[str]) -> None:
    """Raises Breach unless the plugin's own words fit its entry point, this agent, and its hooks."""
    if info.name != name:
        raise Breach(name, f'calls itself "{info.name}", expected "{name}", the name of its entry point')
    if not info.contract_min <= CONTRACT_VERSION <= info.contract_max:
        raise Breach(
            name,
            f"speaks contract {info.contract_min} to {info.contract_max}, this agent speaks {CONTRACT_VERSION}; "
            f"install a version of the plugin, or of Netloom, that fits",
        )
    needed = ROLE_HOOKS.get(info.role)
    if needed is not None and needed not in hooks:
        raise Breach(name, f'has role "{info.role}" but no {needed} hook')
