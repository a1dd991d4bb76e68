"""Which plugins there are, which of them this node uses, and how the agent calls them.

Plugins are found with stevedore, checked with pluggy, and called each in a thread of its own
(:mod:`netloom.plugins.guard`). There is no global: whoever needs plugins makes a manager.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from netloom.config.load import Choices, Loaded, NoSection, Unread, load_config
from netloom.config.schema import closest
from netloom.config.settings import Settings
from netloom.model.errors import ConfigError, NetloomError, PluginError, Problem
from netloom.plugins import accept, accept_answers, discovery
from netloom.plugins.answering import Sample
from netloom.plugins.batches import BatchStore
from netloom.plugins.capabilities import capabilities
from netloom.plugins.cleaning import Cleaned, clean_plugins
from netloom.plugins.contexts import context_of
from netloom.plugins.contract import (
    CHOSEN_ROLES,
    BpfProgram,
    Context,
    Ipam,
    NetworkMode,
    Role,
)
from netloom.plugins.discovery import Plugin
from netloom.plugins.fallback import Modes
from netloom.plugins.guard import DEFAULT_TIMEOUT_S, PluginFailure
from netloom.plugins.guarded import GuardedIpam, GuardedMode, GuardedStore
from netloom.plugins.guarded_query import GuardedQuery
from netloom.plugins.guarded_router import AnyRouter, guarded_router
from netloom.plugins.owned import OwnedProgram, refuse_doubles, refuse_programs
from netloom.plugins.protocols import L7Protocol
from netloom.plugins.spoken import fingerprint, spoken

T = TypeVar("T")
FALLBACK: Final = "fallback_mode"
"""The setting that names the second network mode."""
State = Literal["active", "available", "disabled", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginRecord:
    """One line of ``netctl plugins list``."""

    name: str
    kind: str
    """Its role; "" when it could not say."""
    version: str
    """Of the distribution."""
    distribution: str
    hooks: tuple[str, ...]
    capabilities: tuple[str, ...]
    """What it can do, in words."""
    state: State
    """``active``: used by this node; ``available``: could be; ``failed``: see error."""
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """What the chosen and collected plugins gave; every object answers in time or raises a NetloomError."""

    ipam: Ipam
    mode: Modes
    store: BatchStore
    routers: Mapping[str, tuple[AnyRouter, ...]]
    """By name of the plugin, of those that have some."""
    unheard: bool = False
    """Whether a plugin of routers could not be used: what it knows is not known."""
    protocols: tuple[L7Protocol, ...]
    programs: tuple[OwnedProgram, ...]
    queries: Mapping[str, tuple[GuardedQuery, ...]] = field(default_factory=dict)
    """By name of the plugin."""


class PluginManager:
    """The plugins of one process."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self._plugins = tuple(plugins)
        self._active: tuple[Plugin, ...] = ()
        self.queries: Mapping[str, tuple[GuardedQuery, ...]] = {}
        """What may be asked of each active plugin, by its name."""

    @classmethod
    def discover(cls, disabled: Iterable[str] = (), timeout_s: float = DEFAULT_TIMEOUT_S) -> PluginManager:
        """Find, import and check every installed plugin but the disabled ones, in ``timeout_s`` a step.

        A plugin that cannot be used is in :meth:`records` with the reason; :meth:`check` refuses to start with it.
        """
        return cls(discovery.find(disabled, timeout_s))

    def records(self) -> tuple[PluginRecord, ...]:
        """Every installed plugin, by name."""
        return tuple(self._record(plugin) for plugin in self._plugins)

    def section_types(self) -> Mapping[str, type]:
        """The type of each plugin's config section, for ``load_config``."""
        return {plugin.name: Unread if not plugin.usable else plugin.section_type for plugin in self._plugins}

    def load(self, path: Path | None) -> Loaded:
        """Read a node config and check its choice of plugins. Raises ConfigError, or PluginError from :meth:`check`."""
        choices: Choices = {_key(role): partial(self._refuse, role) for role in CHOSEN_ROLES}
        choices = {**choices, FALLBACK: self._refuse_fallback}
        loaded = load_config(path, self.section_types(), choices)
        if problems := tuple(self._choice_problems(loaded)):
            raise ConfigError(problems)
        self.check(loaded.settings.hooks.disabled)
        return loaded

    def check(self, disabled: Iterable[str] = ()) -> None:
        """Raises PluginError when a plugin that is not disabled breaks the contract."""
        off = frozenset(disabled)
        for plugin in self._plugins:
            if plugin.breach and not plugin.disabled and plugin.name not in off:
                raise PluginError(
                    plugin.name, f"{plugin.breach}. Until that is mended, name it in hooks.disabled of the node config"
                )

    async def activate(self, settings: Settings, sections: Mapping[str, Any]) -> Active:
        """Choose plugins and ask them for their work. Raises PluginError when that gives no working node."""
        for plugin in self._plugins:
            plugin.disabled = plugin.disabled or plugin.name in settings.hooks.disabled
            plugin.guard.timeout_s = settings.hooks.timeout_s
            plugin.guard.changed = partial(_log_change, plugin)
            if plugin.failure and not plugin.disabled:
                _log_change(plugin, "plugin", plugin.failure)
        self.check()
        if problem := _not_twice(settings.network_mode, settings.fallback_mode):
            raise PluginError(
                settings.fallback_mode, f"is named as {FALLBACK}, but is {problem[0]}; expected {problem[1]}"
            )
        chosen = {role: self._choose(role, name) for role, name in _choices(settings)}
        second = settings.fallback_mode
        fallback = (self._choose(Role.NETWORK_MODE, second),) if second else ()
        added = [p for p in self._plugins if p.usable and p.info and p.info.role not in CHOSEN_ROLES]
        self._active = (*chosen.values(), *fallback)
        activation = _Activation(settings, sections)
        extensions = await activation.start(self._active, added)
        self._active += tuple(extensions)
        active = await activation.run(chosen, fallback, extensions)
        self.queries = active.queries
        return replace(active, unheard=any(map(_is_unheard, self._plugins)))

    async def notify(self, hook: str, event: object) -> None:
        """Call a notification hook of every active plugin side by side, and wait for all of them. Never fails."""
        await asyncio.gather(*(_notify(plugin, hook, event) for plugin in self._listeners(hook)))

    async def samples(self) -> dict[str, tuple[Sample, ...]]:
        """The numbers of every active plugin that has some, by its name. Never fails."""
        asked = self._listeners("netloom_metrics")
        found = await asyncio.gather(*map(_samples, asked))
        return {plugin.name: samples for plugin, samples in zip(asked, found, strict=True) if samples}

    def clean(self, settings: Settings, sections: Mapping[str, Any]) -> Cleaned:
        """Have plugins remove what they left on the node; as :func:`clean_plugins`."""
        return clean_plugins(self._plugins, settings, sections)

    async def spoken(self, settings: Settings, sections: Mapping[str, Any]) -> list[tuple[str, L7Protocol]]:
        """As :func:`~netloom.plugins.spoken.spoken`; :meth:`activate` need not have been called."""
        return await spoken(self._plugins, settings, sections)

    def fingerprint(self, loaded: Loaded) -> str:
        """As :func:`~netloom.plugins.spoken.fingerprint`."""
        return fingerprint(self._plugins, loaded)

    def listen_to(self, hook: str) -> bool:
        """Whether any active plugin has this notification hook."""
        return any(self._listeners(hook))

    def _listeners(self, hook: str) -> list[Plugin]:
        return [plugin for plugin in self._active if hook in plugin.hooks and plugin.usable]

    def close(self) -> None:
        """End the plugins' threads."""
        for plugin in self._plugins:
            plugin.guard.close()

    def _record(self, plugin: Plugin) -> PluginRecord:
        error = plugin.breach or plugin.failure or plugin.guard.error
        state: State = "active" if plugin in self._active else "available"
        return PluginRecord(
            name=plugin.name,
            kind=str(plugin.info.role) if plugin.info else "",
            version=plugin.version,
            distribution=plugin.distribution,
            hooks=tuple(plugin.hooks),
            capabilities=capabilities(plugin.hooks, [query.name for query in self.queries.get(plugin.name, ())]),
            state="disabled" if plugin.disabled else "failed" if error else state,
            error="" if plugin.disabled else error,
        )

    def _choice_problems(self, loaded: Loaded) -> Iterator[Problem]:
        for role, name in _choices(loaded.settings):
            if refused := self._refuse(role, name, loaded.settings.hooks.disabled):
                yield _problem(loaded, _key(role), *refused)
        settings = loaded.settings
        twice = _not_twice(settings.network_mode, settings.fallback_mode)
        if refused := twice or self._refuse_fallback(settings.fallback_mode, settings.hooks.disabled):
            yield _problem(loaded, FALLBACK, *refused)
        names = [plugin.name for plugin in self._plugins]
        for name in loaded.settings.hooks.disabled:
            if name not in names:
                expected = f"an installed plugin ({', '.join(names)}){closest(name, names)}"
                yield _problem(loaded, "hooks.disabled", f'"{name}", which is not installed', expected)

    def _refuse(self, role: Role, name: str, disabled: Iterable[str] = ()) -> tuple[str, str] | None:
        """What was found and what was expected, when the plugin cannot take the role."""
        reason = self._unfit(role, name, disabled)
        return (f'"{name}", {reason}', self._offer(role)) if reason else None

    def _refuse_fallback(self, name: str, disabled: Iterable[str] = ()) -> tuple[str, str] | None:
        """As :meth:`_refuse`; none need be chosen."""
        return self._refuse(Role.NETWORK_MODE, name, disabled) if name else None

    def _choose(self, role: Role, name: str) -> Plugin:
        if reason := self._unfit(role, name, ()):
            raise PluginError(name, f"is named as {role}, but {reason}; expected {self._offer(role)}")
        return next(plugin for plugin in self._plugins if plugin.name == name)

    def _unfit(self, role: Role, name: str, disabled: Iterable[str]) -> str:
        """Why the plugin cannot take the role; "" when it can."""
        plugin = next((plugin for plugin in self._plugins if plugin.name == name), None)
        if plugin is None:
            return "which is not installed"
        if plugin.disabled or name in disabled:
            return "which is disabled"
        if not plugin.usable:
            return f"which cannot be used: {plugin.breach or plugin.failure}"
        found = plugin.info.role if plugin.info else None
        return "" if found is role else f"which has role {found}"

    def _offer(self, role: Role) -> str:
        names = [plugin.name for plugin in self._plugins if plugin.usable and plugin.info and plugin.info.role is role]
        return f"one installed plugin with role {role} ({', '.join(names) or 'none is installed'})"


def _key(role: Role) -> str:
    """The setting that chooses a plugin for the role."""
    return role.value.replace("-", "_")


def _not_twice(mode: str, fallback: str) -> tuple[str, str] | None:
    """What was found and what was expected, when the fallback is the mode itself."""
    return (f'"{mode}", which is network_mode already', "another network mode, or none") if mode == fallback else None


def _choices(settings: Settings) -> tuple[tuple[Role, str], ...]:
    return (Role.NETWORK_MODE, settings.network_mode), (Role.IPAM, settings.ipam), (Role.STORE, settings.store)


def _problem(loaded: Loaded, key: str, found: str, expected: str) -> Problem:
    file, _, line = loaded.origins[key].rpartition(":")
    return Problem(file or "defaults", int(line) if file else 0, key, found, expected)


class _Activation:
    """The questions a node asks its plugins once, at start."""

    def __init__(self, settings: Settings, sections: Mapping[str, Any]) -> None:
        self._settings = settings
        self._sections = sections

    async def start(self, chosen: Iterable[Plugin], added: Iterable[Plugin]) -> list[Plugin]:
        """Start all plugins; those of ``added`` that did start. Raises PluginError when a chosen one does not."""
        for plugin in chosen:
            await self._start(plugin)
        return [plugin for plugin in added if await _tolerated(plugin, "netloom_start", self._start(plugin))]

    async def run(
        self, chosen: Mapping[Role, Plugin], fallback: tuple[Plugin, ...], extensions: list[Plugin]
    ) -> Active:
        """Raises PluginError."""
        ipam, mode, store = (chosen[role] for role in (Role.IPAM, Role.NETWORK_MODE, Role.STORE))
        ipam_facts = await self._require(ipam, "netloom_ipam", accept.ipam)
        serves_ipv6 = any(prefix.version == 6 for prefix in ipam_facts.prefixes)
        modes, programs = await self._modes((mode, *fallback), serves_ipv6=serves_ipv6)
        kept = await self._require(store, "netloom_store", accept.store)
        active = (*chosen.values(), *fallback, *extensions)
        routers = {plugin.name: await self._collect(plugin, "netloom_routers", accept.routers) for plugin in active}
        protocols = [
            (plugin, protocol)
            for plugin in active
            for protocol in await self._collect(plugin, "netloom_l7_parsers", accept.protocols)
        ]
        for plugin in extensions:
            found = await self._collect(plugin, "netloom_bpf_programs", accept.programs)
            programs += [OwnedProgram(plugin.name, program) for program in found]
        refuse_doubles([(plugin.name, f'protocol "{protocol.name}"') for plugin, protocol in protocols])
        refuse_programs(programs, modes)
        return Active(
            ipam=GuardedIpam(ipam.guard, ipam_facts),
            mode=modes,
            store=GuardedStore(store.guard, kept),
            routers={
                plugin.name: tuple(guarded_router(plugin.guard, router) for router in routers[plugin.name])
                for plugin in active
                if routers[plugin.name]
            },
            protocols=tuple(protocol for _, protocol in protocols),
            programs=tuple(programs),
            queries={plugin.name: await self._queries_of(plugin) for plugin in active},
        )

    async def _queries_of(self, plugin: Plugin) -> tuple[GuardedQuery, ...]:
        found = await self._collect(plugin, "netloom_queries", accept_answers.queries)
        return tuple(GuardedQuery(plugin.guard, query) for query in found)

    async def _modes(self, plugins: tuple[Plugin, ...], *, serves_ipv6: bool) -> tuple[Modes, list[OwnedProgram]]:
        """The network mode and its fallback, with their programs. Raises PluginError."""
        modes: dict[str, NetworkMode] = {}
        programs: list[OwnedProgram] = []
        for plugin in plugins:
            facts = await self._require(plugin, "netloom_network_mode", accept.mode)
            modes[plugin.name] = GuardedMode(plugin.guard, facts, serves_ipv6=serves_ipv6)
            direct = facts.tunnel is not None
            programs += [OwnedProgram(plugin.name, found, direct) for found in await self._programs_of(plugin)]
        return Modes(modes), programs

    async def _start(self, plugin: Plugin) -> bool:
        """True; raises a NetloomError when it does not start."""
        work = partial(plugin.hooks.get("netloom_start", _no_start), context=self._context(plugin))
        await plugin.guard.acall("netloom_start", work, accept.nothing)
        return True

    async def _programs_of(self, mode: Plugin) -> tuple[BpfProgram, ...]:
        if "netloom_bpf_programs" not in mode.hooks:
            return ()
        found: tuple[BpfProgram, ...] = await self._require(mode, "netloom_bpf_programs", accept.programs)
        return found

    async def _require(self, plugin: Plugin, hook: str, check: Any) -> Any:
        return await plugin.guard.acall(hook, partial(plugin.hooks[hook], context=self._context(plugin)), check)

    async def _collect(self, plugin: Plugin, hook: str, check: Any) -> tuple[Any, ...]:
        """What an added plugin gives; nothing when it fails, which its record then says."""
        if hook not in plugin.hooks:
            return ()
        found: tuple[Any, ...] | None = await _tolerated(plugin, hook, self._require(plugin, hook, check))
        return found or ()

    def _context(self, plugin: Plugin) -> Context:
        context = context_of(plugin.name, self._settings, self._sections)
        if context.config is None and plugin.section_type is not NoSection:
            raise PluginError(plugin.name, f"needs settings: write a section plugins.{plugin.name} in the node config")
        return context


def _no_start(context: Context) -> None:
    """What a plugin without the hook does; asking for its context has shown whether its settings are there."""


def _is_unheard(plugin: Plugin) -> bool:
    is_router = plugin.info is not None and plugin.info.role is Role.ROUTER
    return is_router and not plugin.disabled and bool(plugin.breach or plugin.failure or plugin.guard.error)


async def _notify(plugin: Plugin, hook: str, event: object) -> None:
    work = partial(plugin.hooks[hook], event=event)
    await _tolerated(plugin, hook, plugin.guard.acall(hook, work, accept.nothing))


async def _samples(plugin: Plugin) -> tuple[Sample, ...]:
    hook = "netloom_metrics"
    return await _tolerated(plugin, hook, plugin.guard.acall(hook, plugin.hooks[hook], accept_answers.samples)) or ()


async def _tolerated(plugin: Plugin, hook: str, call: Awaitable[T]) -> T | None:
    """The answer; None when there is none, which the plugin's record then says."""
    try:
        return await call
    except PluginFailure:
        return None
    except NetloomError as error:
        plugin.guard.fail(hook, str(error))
        return None


def _log_change(plugin: Plugin, what: str, error: str) -> None:
    import structlog

    log = structlog.get_logger().bind(plugin=plugin.name, version=plugin.version, hook=what)
    if error:
        log.error("plugin.failed", error=error)
    else:
        log.info("plugin.recovered")
