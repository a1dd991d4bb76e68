"""Settings of a node: every key of the YAML node config, with unit, default and the reason for it.

Field docstrings are data: ``netctl config check`` and the reference in the documentation print them.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Literal

from netloom.config.annotations import Doc, Length, Pattern, Range


def _host_name() -> str:
    return socket.gethostname().split(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """``node``: this node in the cluster."""

    name: Annotated[
        str,
        Length(1, 63),
        Pattern("[A-Za-z0-9][A-Za-z0-9._-]*", "letters, digits and . _ -, beginning with a letter or digit"),
        Doc(
            "Unique in the cluster; names the node's directories and pins. Unset: the host's name up to its first dot."
        ),
    ] = field(default_factory=_host_name)
    underlay_device: Annotated[
        str,
        Length(0, 15),
        Pattern(r"[^/:\s]*", "a device name: no slash, colon or space"),
        Doc("Device other nodes are reached through; empty: the device of the default route."),
    ] = ""
    uplinks: Annotated[
        tuple[str, ...],
        Doc(
            "Further devices by which packets to other nodes leave and come natively, beside underlay_device: what "
            "routes spread connections over."
        ),
    ] = ()
    labels: Annotated[
        Mapping[str, str], Doc("Of this node; plugins may have settings that hold for nodes with certain labels.")
    ] = field(default_factory=dict)
    underlay_ipv4: Annotated[
        IPv4Address | None, Doc("Address other nodes reach this one at; unset: the device's first global one.")
    ] = None
    underlay_ipv6: Annotated[IPv6Address | None, Doc("As underlay_ipv4, for IPv6.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HookSettings:
    """``hooks``: how plugins are treated."""

    timeout_s: Annotated[float, Range(0.1, 60), Doc("Seconds one call of a plugin may take.")] = 5.0
    disabled: Annotated[tuple[str, ...], Doc("Installed plugins that are not to be used.")] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSettings:
    """``paths``: where files live; each gets a directory per node below it."""

    run_dir: Annotated[Path, Doc("API socket and lock.")] = Path("/run/netloom")
    state_dir: Annotated[Path, Doc("Endpoints and the prefilter, to survive restarts.")] = Path("/var/lib/netloom")
    cache_dir: Annotated[Path, Doc("Compiled eBPF objects, by content hash; safe to delete.")] = Path(
        "/var/cache/netloom"
    )
    bpf_dir: Annotated[Path, Doc("Pins, on a bpf file system.")] = Path("/sys/fs/bpf/netloom")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatapathSettings:
    """``datapath``: how eBPF programs meet packets."""

    attach: Annotated[
        Literal["auto", "tcx", "clsact"],
        Doc(
            "How programs hang on devices: tcx (Linux 6.6), clsact filters, or auto: tcx where the kernel has it, but "
            "clsact on pods' interfaces, where tcx would cost each attachment and detachment milliseconds."
        ),
    ] = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSettings:
    """``maps``: room in the kernel's tables, in entries; a table that is full refuses the next entry by name."""

    endpoints: Annotated[int, Range(16, 1 << 20), Doc("Addresses of this node's pods, and its own.")] = 65535
    devices: Annotated[int, Range(16, 1 << 20), Doc("Interfaces of this node's pods.")] = 65535
    ipcache: Annotated[
        int, Range(16, 1 << 24), Doc("Addresses of the whole cluster, two for a pod of both families.")
    ] = 512000
    tunnels: Annotated[int, Range(16, 1 << 20), Doc("Pod prefixes of other nodes.")] = 65536
    peers: Annotated[int, Range(16, 1 << 20), Doc("Underlay addresses of other nodes.")] = 65536
    prefilter_ip4: Annotated[int, Range(1, 1 << 24), Doc("Single IPv4 addresses the prefilter refuses.")] = 131072
    prefilter_ip6: Annotated[int, Range(1, 1 << 24), Doc("Single IPv6 addresses the prefilter refuses.")] = 131072
    prefilter_net4: Annotated[int, Range(1, 1 << 24), Doc("Ranges of IPv4 addresses the prefilter refuses.")] = 512000
    prefilter_net6: Annotated[int, Range(1, 1 << 24), Doc("Ranges of IPv6 addresses the prefilter refuses.")] = 512000
    subjects: Annotated[int, Range(16, 1 << 20), Doc("Identities of this node's pods, each with its policies.")] = 65535
    cidrs: Annotated[int, Range(16, 1 << 24), Doc("Prefixes that policies name.")] = 512000
    connections_tcp: Annotated[
        int | None,
        Range(1024, 1 << 24),
        Doc(
            "TCP connections of this node's pods that are remembered, 160 bytes each, taken at once; the oldest make "
            "room. Unset: by the machine's memory, of which all connections get 0.25 %, between 16384 and 524288."
        ),
    ] = None
    connections_any: Annotated[
        int | None,
        Range(1024, 1 << 24),
        Doc("As connections_tcp, of all other protocols. Unset: half as many."),
    ] = None
    fragments: Annotated[
        int, Range(64, 1 << 20), Doc("Packets in pieces whose later pieces are known by their first one.")
    ] = 8192
    policy_entries: Annotated[
        int, Range(16, 1 << 24), Doc("Of one identity's policies: about one for each peer and range of ports.")
    ] = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """``policy``: how network policies are enforced on this node."""

    enforcement: Annotated[
        Literal["default", "always", "never"],
        Doc(
            "default: pods that a policy selects are isolated as it says; always: all pods are isolated, whether a "
            "policy selects them or not; never: policies are kept and explained, and nothing is denied."
        ),
    ] = "default"
    audit: Annotated[
        bool, Doc("Whether all policies are watched only: what they would deny passes and is reported.")
    ] = False
    allow_host: Annotated[
        bool, Doc("Whether a pod's own node always reaches it, as Kubernetes wants it, unless a policy denies that.")
    ] = True
    cut_connections: Annotated[
        bool, Doc("Whether connections that policies do not allow any more are cut, or may end by themselves.")
    ] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """``proxy``: the process that judges requests; what goes beyond a limit costs its own connection only."""

    port: Annotated[
        int,
        Range(0, 65535),
        Doc("Where it listens on loopback addresses; 0, or while another process has it: any that is free."),
    ] = 15076
    connections: Annotated[
        int,
        Range(1, 1 << 20),
        Doc(
            "Open at once, as far as the limit of open files allows two for each; more are reset. An idle one takes "
            "about 6 KiB of memory, any at most about four times buffer_bytes and 256 KiB."
        ),
    ] = 16384
    buffer_bytes: Annotated[
        int,
        Range(1024, 1 << 24),
        Doc("Held for an end that does not read, before the other end is not read from any more."),
    ] = 65536
    connect_timeout_s: Annotated[float, Range(0.1, 300), Doc("Seconds until a server must have answered.")] = 5.0
    head_timeout_s: Annotated[
        float,
        Range(1, 3600),
        Doc("Seconds that a request may take until enough of it has come to judge it."),
    ] = 15.0
    idle_timeout_s: Annotated[float, Range(1, 1 << 20), Doc("Seconds a connection may carry nothing.")] = 3600.0
    keepalive_s: Annotated[
        int,
        Range(1, 32767),
        Doc("Seconds of silence until the kernel asks an end for a sign of life; without one for as long, it is gone."),
    ] = 60
    event_timeout_s: Annotated[
        float,
        Range(0.04, 10),
        Doc("Seconds of CPU a parser may take for what has come, in steps of 0.02; then its connection is reset."),
    ] = 0.2
    drain_timeout_s: Annotated[
        float,
        Range(0, 1 << 20),
        Doc("Seconds that connections of a replaced proxy may go on, before they are reset."),
    ] = 3600.0
    records: Annotated[
        int, Range(16, 1 << 20), Doc("Requests told of that wait for an agent, about 1 KiB each; more are counted.")
    ] = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """``log``: what the agent writes to standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Doc("Least important event written.")] = "info"
    format: Annotated[Literal["console", "json"], Doc("For people, or one JSON object a line.")] = "console"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """``api``: the agent's socket."""

    group: Annotated[str, Doc("Group that may use the socket (mode 0660); empty: root's.")] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserveSettings:
    """``observe``: what the agent remembers of packets."""

    flows: Annotated[
        int,
        Range(16, 1 << 20),
        Doc("Drops and verdicts kept in memory, the last ones, up to 1 KiB each: what `netctl observe` looks back on."),
    ] = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole node config, without the plugins' own sections (``plugins.<name>``)."""

    node: NodeSettings = field(default_factory=NodeSettings)
    network_mode: Annotated[str, Doc("Plugin that carries packets between nodes.")] = "vxlan"
    fallback_mode: Annotated[
        str,
        Doc("Plugin that carries packets to and from the nodes that network_mode does not reach; empty: none does."),
    ] = ""
    ipam: Annotated[str, Doc("Plugin that gives addresses.")] = "hostscope"
    store: Annotated[str, Doc("Plugin through which nodes learn of each other.")] = "local"
    masquerade: Annotated[
        bool, Doc("Whether packets from pods to addresses outside the cluster take the node's address.")
    ] = True
    mtu_bytes: Annotated[
        int | None, Range(576, 65535), Doc("Of the underlay; unset: what the underlay device says.")
    ] = None
    resync_interval_s: Annotated[
        float, Range(1, 3600), Doc("Seconds between two comparisons of the kernel with what should be there.")
    ] = 5.0
    hooks: HookSettings = field(default_factory=HookSettings)
    paths: PathSettings = field(default_factory=PathSettings)
    datapath: DatapathSettings = field(default_factory=DatapathSettings)
    maps: MapSettings = field(default_factory=MapSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    observe: ObserveSettings = field(default_factory=ObserveSettings)
    proxy: ProxySettings = field(default_factory=ProxySettings)
    log: LogSettings = field(default_factory=LogSettings)
    api: ApiSettings = field(default_factory=ApiSettings)
