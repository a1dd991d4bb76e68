"""The plugin contract: every hook a plugin may implement.

A plugin is a class without constructor arguments, named by an entry point in the group
``netloom.plugins`` whose name is the plugin's name. The agent makes one instance and calls the hooks
below, marked with :data:`hookimpl`; a hook that does not need its argument may leave it out. A method that begins with
``netloom_`` and is no hook, or is not marked, stops the agent at start.

**Task and time.** Every plugin has a thread with an event loop of its own. All its hooks, and the methods of the
objects it gives, are called there; plain functions one after another, ``async`` ones side by side. So a plugin needs no
locks, may block, and delays nobody but itself. Every call is given ``hooks.timeout_s`` (default 5 s): then a coroutine
is cancelled; a function that blocks cannot be, and until it returns the plugin's other calls fail at once.

**Failure.** A hook that raises, takes longer, or returns something else than it should is logged as
``plugin.failed`` with the plugin's name and version, shown by ``netctl plugins list``, and the plugin's state is
``failed`` until that hook works again. Nobody else's hooks are affected. If the plugin was *chosen* (network mode,
IPAM, store) the agent stops at start with that sentence, because running without it would be unsafe; while running,
the request at hand fails.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

import pluggy

from netloom.plugins.answering import Query, Sample
from netloom.plugins.contract import (
    BpfProgram,
    Context,
    EndpointReady,
    EndpointRemoved,
    Flows,
    Ipam,
    NetworkMode,
    NodeChanged,
    PluginInfo,
    Router,
    RouteWatcher,
    Store,
)
from netloom.plugins.protocols import L7Protocol

PROJECT = "netloom"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def netloom_plugin_info() -> PluginInfo:  # type: ignore[empty-body]
    """Describe the plugin.

    When:    once, right after loading, before any other hook; also by ``netctl plugins list``. Required.
    Task:    a plain function.
    Failure: the plugin is not used.

    .. versionadded:: 1.0
    """


@hookspec
def netloom_config_type() -> type:  # type: ignore[empty-body]
    """Give the dataclass of the plugin's own config section, ``plugins.<name>``.

    Fields are checked like the agent's own: unknown keys, wrong types and missing values are reported with file and
    line. A ``ValueError`` from its ``__post_init__`` is reported against the section. A dataclass that is a ``Fitting``
    tells each setting that does not fit to others at its own key, together with all other problems.

    When:    once, before the node config is read. Without this hook the section must be absent.
    Task:    a plain function.
    Failure: the plugin is not used.

    .. versionadded:: 1.0
    """


@hookspec
def netloom_start(context: Context) -> Awaitable[None] | None:
    """Get the plugin's settings, open what it needs, begin what runs on.

    When:    once at start, for every plugin the node uses, before its other hooks but the two above.
    Task:    plain or ``async``; tasks made here go on in the plugin's own event loop.
    Failure: of a chosen plugin: the agent does not start. Of any other: the plugin is not used.

    :param context: ``context.config`` is an instance of the plugin's config type.

    .. versionadded:: 1.0
    """


@hookspec
def netloom_clean(context: Context) -> Sequence[str]:  # type: ignore[empty-body]
    """Remove what the plugin left on this node, running or on disk, but for what belongs to the whole cluster.

    Gives the names of what there was, as people are to read them.

    When:    by ``netloom-agent --clean``, while no agent runs, for every installed plugin, whether this node used it or
             not; no other hook is called then but the first two.
    Task:    plain or ``async``.
    Failure: named at the end, with exit status 1; everything else is removed all the same.

    :param context: ``context.config`` is None when the plugin has no settings on this node.

    .. versionadded:: 1.3
    """


@hookspec
def netloom_ipam(context: Context) -> Ipam:  # type: ignore[empty-body]
    """Give the address manager. Required of a plugin with role ``ipam``.

    When:    once at start, if ``ipam`` in the node config names the plugin.
    Task:    a plain function; the object's methods may be ``async``.
    Failure: the agent does not start. Of the object's methods: the request that needed it fails.

    :param context: ``context.config`` is an instance of the plugin's config type.

    .. versionadded:: 1.0
    """


@hookspec
def netloom_network_mode(context: Context) -> NetworkMode:  # type: ignore[empty-body]
    """Give the network mode. Required of a plugin with role ``network-mode``.

    When:    once at start, if ``network_mode`` or ``fallback_mode`` in the node config names the plugin.
    Task:    a plain function.
    Failure: the agent does not start. Of the object's methods: the node concerned is not reached, and is reported.

    :param context: ``context.config`` is an instance of the plugin's config type.

    .. versionadded:: 1.0
    """


@hookspec
def netloom_store(context: Context) -> Store:  # type: ignore[empty-body]
    """Give the cluster store. Required of a plugin with role ``store``.

    When:    once at start, if ``store`` in the node config names the plugin.
    Task:    a plain function.
    Failure: the agent does not start. Of the object's methods: agents go on with their last state and try again.

    :param context: ``context.config`` is an instance of the plugin's config type.

    .. versionadded:: 1.0
    """


@hookspec
def netloom_routers(context: Context) -> Sequence[Router | RouteWatcher]:  # type: ignore[empty-body]
    """Give routers; their announcements and learnt routes add up. A RouteWatcher is a router too, since 1.3.

    When:    once at start, for every enabled plugin.
    Task:    a plain function.
    Failure: the plugin's routers are left out.

    :param context: ``context.config`` is an instance of the plugin's config type.

    .. versionadded:: 1.0
    """


@hookspec
def netloom_queries(context: Context) -> Sequence[Query]:  # type: ignore[empty-body]
    """Give questions that people may ask the plugin through the agent's API.

    When:    once at start, for every enabled plugin.
    Task:    a plain function; answers may be ``async``.
    Failure: the plugin has no queries. Of an answer: the request fails.

    :param context: ``context.config`` is an instance of the plugin's config type.

    .. versionadded:: 1.3
    """


@hookspec
def netloom_metrics() -> Sequence[Sample]:  # type: ignore[empty-body]
    """Give the plugin's numbers.

    When:    whenever somebody reads the agent's metrics.
    Task:    a plain function, quick: it reads what is known.
    Failure: the plugin's metrics are left out.

    .. versionadded:: 1.3
    """


@hookspec
def netloom_l7_parsers(context: Context) -> Sequence[L7Protocol]:  # type: ignore[empty-body]
    """Give application protocols. Two plugins with one protocol name are a conflict: the agent does not start.

    When:    once at start, for every enabled plugin.
    Task:    a plain function.
    Failure: the plugin's protocols are unknown; a policy that names one is refused.

    :param context: ``context.config`` is an instance of the plugin's config type.

    .. versionadded:: 1.0
    """


@hookspec
def netloom_bpf_programs(context: Context) -> Sequence[BpfProgram]:  # type: ignore[empty-body]
    """Give eBPF programs: for a device of the network mode, or for a slot of the pipeline.

    A network mode may also have them at the devices of the underlay, ``AttachPoint(UNDERLAY, ...)``. Those of a mode
    without a tunnel stand on each of them, which must be Ethernet then. Those of a mode with one are loaded where its
    ``Tunnel`` says ``direct`` and the underlay is Ethernet with an IPv4 address.

    Two programs for one slot or one attach point are a conflict: the agent does not start. At the underlay, though, the
    program of ``fallback_mode`` stands behind that of ``network_mode``, in slot ``NEXT_AT_UNDERLAY``: every program
    there ends with ``leave_to_next`` (``lib/stage.h``) for what it leaves alone, since 1.3.

    When:    once at start, before compiling, for the chosen network modes and every enabled extension.
    Task:    a plain function.
    Failure: of the network mode: the agent does not start. Of an extension: its programs are left out.

    :param context: ``context.config`` is an instance of the plugin's config type.

    .. versionadded:: 1.0
    """


@hookspec
def netloom_endpoint_ready(event: EndpointReady) -> Awaitable[None] | None:
    """Hear that an endpoint can carry traffic.

    When:    once per ADD, after maps and interface are in place, before ADD is answered; again for
             every endpoint found at restart.
    Task:    plain or ``async``.
    Failure: logged; the ADD succeeds all the same.

    :param event: the endpoint, with addresses and identity.

    .. versionadded:: 1.0
    """


@hookspec
def netloom_endpoint_removed(event: EndpointRemoved) -> Awaitable[None] | None:
    """Hear that an endpoint is gone.

    When:    once per endpoint, after its map entries, interface and addresses were given back.
    Task:    plain or ``async``.
    Failure: logged.

    :param event: the endpoint as it last was.

    .. versionadded:: 1.0
    """


@hookspec
def netloom_node_changed(event: NodeChanged) -> Awaitable[None] | None:
    """Hear that another node appeared, changed or left.

    When:    after the change was applied to the data path; once per node at start.
    Task:    plain or ``async``.
    Failure: logged.

    :param event: the node's name, and the node unless it left.

    .. versionadded:: 1.0
    """


@hookspec
def netloom_flows(event: Flows) -> Awaitable[None] | None:
    """Hear of drops, verdicts and traces.

    When:    in batches, at most ten a second, only when there is something to tell.
    Task:    plain or ``async``. While a call is running, later batches wait, and are dropped past 100,000 flows.
    Failure: logged.

    :param event: the flows, and how many were lost.

    .. versionadded:: 1.0
    """
