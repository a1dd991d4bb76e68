"""Settings of ``plugins.bgp``: typed, checked, and what of them holds for a node with given labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal

from netloom.plugins import Doc, Fitting, Length, Misfit, Misfits, Pattern, Range, Secret
from netloom_bgp import misfits

FamilyName = misfits.FamilyName
Action = Literal["accept", "reject"]
AS_TRANS = 23_456
MAX_PASSWORD_BYTES = 80
"""What Linux takes as a key of TCP MD5 (``TCP_MD5SIG_MAXKEYLEN``)."""


@dataclass(frozen=True, slots=True)
class ZeroOr(Range):
    """0, which turns something off, or a number of the range."""

    def problem(self, value: object) -> str:
        """What would have been right; "" when ``value`` is."""
        if value == 0 or not Range.problem(self, value):
            return ""
        return f"0, or a number from {self.low:.10g} to {self.high:.10g}"


@dataclass(frozen=True, slots=True)
class NumberOfAs(Range):
    """An AS number that somebody may have."""

    def problem(self, value: object) -> str:
        """What would have been right; "" when ``value`` is."""
        if value == AS_TRANS:
            return f"another AS number: {AS_TRANS} only stands for those of four bytes (RFC 6793)"
        return f"an AS number, from {self.low:.10g} to {self.high:.10g}" if Range.problem(self, value) else ""


@dataclass(frozen=True, slots=True)
class TwoNumbers(Pattern):
    """A community."""

    def problem(self, value: object) -> str:
        """What would have been right; "" when ``value`` is."""
        wrong = Pattern.problem(self, value)
        return wrong or (self.text if any(int(part) > 65_535 for part in str(value).split(":")) else "")


AsNumber = Annotated[int, NumberOfAs(1, 4_294_967_295)]
Community = Annotated[
    str, TwoNumbers(r"[0-9]{1,5}:[0-9]{1,5}", "a community such as 65000:100: two numbers from 0 to 65535")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """``plugins.bgp.speaker``: the GoBGP that speaks for this node."""

    socket: Annotated[
        Path | None,
        Doc(
            "Unix socket of a gobgpd that somebody else runs; its other peers and policies stay as they are. Without "
            "it the plugin starts one, and starts it again when it dies."
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bfd:
    """``plugins.bgp.peers[].bfd``: fast detection of a peer that is gone."""

    enabled: Annotated[bool, Doc("Watch the peer by BFD.")] = False
    min_interval_ms: Annotated[int, Range(50, 10_000), Doc("Milliseconds between two packets, at least.")] = 300
    multiplier: Annotated[int, Range(2, 50), Doc("Packets that must be missing.")] = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer(Fitting):
    """``plugins.bgp.peers[]``: a neighbour."""

    address: Annotated[IPv4Address | IPv6Address, Doc("Address of the peer.")]
    remote_as: Annotated[AsNumber, Doc("Its AS number; the node's own for internal BGP.")]
    description: Annotated[str, Length(0, 200), Doc("Shown with the peer.")] = ""
    password_file: Annotated[
        Path | None, Secret(), Doc("File that holds the TCP MD5 password (RFC 2385); nobody but its owner may read it.")
    ] = None
    port: Annotated[int, Range(1, 65_535), Doc("TCP port of the peer.")] = 179
    local_address: Annotated[IPv4Address | IPv6Address | None, Doc("Address of this node to speak from.")] = None
    passive: Annotated[bool, Doc("Wait for the peer to connect.")] = False
    multihop_ttl: Annotated[int | None, Range(2, 255), Doc("TTL towards an external peer that is no neighbour.")] = None
    hold_time_s: Annotated[
        int, ZeroOr(3, 65_535), Doc("Seconds of silence after which the peer is given up; 0: never.")
    ] = 9
    keepalive_s: Annotated[
        int | None, Range(1, 21_845), Doc("Seconds between keepalives; a third of the hold time unless set.")
    ] = None
    connect_retry_s: Annotated[
        int, Range(1, 65_535), Doc("Seconds between attempts to connect. GoBGP waits for at least 5.")
    ] = 5
    families: Annotated[
        tuple[FamilyName, ...], Doc("Prefixes exchanged with it; those of its address's IP version unless set.")
    ] = ()
    next_hops: Annotated[
        tuple[IPv4Address | IPv6Address, ...],
        Doc(
            "Addresses of this node that go out as next hop of prefixes of their IP version, instead of the session's."
        ),
    ] = ()
    max_prefixes: Annotated[
        int | None, Range(1, 4_294_967_295), Doc("Prefixes of one family; with one more the session ends.")
    ] = None
    max_prefixes_retry_s: Annotated[
        int, Range(1, 65_535), Doc("Seconds after which a session is tried again that ended by max_prefixes.")
    ] = 60
    bfd: Bfd = field(default_factory=Bfd)

    @classmethod
    def misfits(cls, values: Mapping[str, Any]) -> Iterable[Misfit]:
        """As Fitting."""
        return misfits.of_peer(values)

    @property
    def all_families(self) -> tuple[FamilyName, ...]:
        """What is exchanged, in a fixed order."""
        named = self.families or (misfits.family(self.address),)
        return tuple(name for name in misfits.FAMILIES if name in named)

    @property
    def all_keepalive_s(self) -> int:
        """Seconds between keepalives."""
        return self.keepalive_s if self.keepalive_s is not None else self.hold_time_s // 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixMatch(Fitting):
    """``prefixes[]`` of a filter: the prefix itself, or those within it with a length between ``ge`` and ``le``."""

    prefix: Annotated[IPv4Network | IPv6Network, Doc("The prefix.")]
    ge: Annotated[int | None, Range(0, 128), Doc("Least length of a prefix within it.")] = None
    le: Annotated[int | None, Range(0, 128), Doc("Greatest length of a prefix within it.")] = None

    @classmethod
    def misfits(cls, values: Mapping[str, Any]) -> Iterable[Misfit]:
        """As Fitting."""
        return misfits.of_lengths(values)

    @property
    def lengths(self) -> tuple[int, int]:
        """Least and greatest length that match, as in FRR: ``ge`` alone is open to the longest."""
        least = self.prefix.prefixlen if self.ge is None else self.ge
        if self.le is not None:
            return least, self.le
        return least, self.prefix.prefixlen if self.ge is None else self.prefix.max_prefixlen


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFilter:
    """``plugins.bgp.imports.filters[]``: a route that has one of the prefixes and one of the communities."""

    action: Annotated[Action, Doc("What becomes of a route that matches.")]
    prefixes: Annotated[tuple[PrefixMatch, ...], Doc("Any of these; any prefix when there is none.")] = ()
    communities: Annotated[tuple[Community, ...], Doc("Any of these; any route when there is none.")] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFilter:
    """``plugins.bgp.exports.filters[]``: one of this node's prefixes."""

    action: Annotated[Action, Doc("What becomes of a prefix that matches.")]
    prefixes: Annotated[tuple[PrefixMatch, ...], Doc("Any of these; any prefix when there is none.")] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Imports:
    """``plugins.bgp.imports``: what is learnt."""

    filters: Annotated[tuple[ImportFilter, ...], Doc("The first that matches decides.")] = ()
    otherwise: Annotated[Action, Doc("What becomes of a route that no filter matches.")] = "accept"
    max_paths: Annotated[
        int, Range(1, 64), Doc("Next hops that one prefix may have, when several routes are equally good.")
    ] = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Exports:
    """``plugins.bgp.exports``: what is announced."""

    filters: Annotated[tuple[ExportFilter, ...], Doc("The first that matches decides.")] = ()
    otherwise: Annotated[Action, Doc("What becomes of a prefix that no filter matches.")] = "accept"
    communities: Annotated[tuple[Community, ...], Doc("Sent with every prefix.")] = ()
    local_preference: Annotated[int | None, Range(0, 4_294_967_295), Doc("Sent to internal peers; 100 unless set.")] = (
        None
    )
    med: Annotated[int | None, Range(0, 4_294_967_295), Doc("Multi-exit discriminator, sent with every prefix.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GracefulRestart:
    """``plugins.bgp.graceful_restart``: packets go on while a speaker is started again (RFC 4724)."""

    enabled: Annotated[bool, Doc("Agree on it with every peer that can.")] = True
    restart_time_s: Annotated[
        int, Range(1, 4095), Doc("Seconds for which routes stay without a session, here and at the peers.")
    ] = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Override(Fitting):
    """``plugins.bgp.overrides[]``: settings of nodes with certain labels; what is set here replaces the whole value."""

    match_labels: Annotated[Mapping[str, str], Length(1, 64), Doc("Labels the node must have, as in node.labels.")]
    local_as: Annotated[AsNumber | None, Doc("As plugins.bgp.local_as.")] = None
    router_id: Annotated[IPv4Address | None, Doc("As plugins.bgp.router_id.")] = None
    listen_port: Annotated[int | None, Range(0, 65_535), Doc("As plugins.bgp.listen_port.")] = None
    peers: Annotated[tuple[Peer, ...] | None, Doc("As plugins.bgp.peers.")] = None
    imports: Imports | None = None
    exports: Exports | None = None
    graceful_restart: GracefulRestart | None = None

    @classmethod
    def misfits(cls, values: Mapping[str, Any]) -> Iterable[Misfit]:
        """As Fitting."""
        return misfits.of_override(values, (one.name for one in fields(cls)))


@dataclass(frozen=True, slots=True, kw_only=True)
class BgpSettings(Fitting):
    """``plugins.bgp``: sessions with routers that carry this node's prefixes, and theirs."""

    local_as: Annotated[AsNumber | None, Doc("AS number of this node; needed as soon as there are peers.")] = None
    router_id: Annotated[
        IPv4Address | None, Doc("BGP identifier; an IPv4 address of the node unless set, one of its loopback first.")
    ] = None
    listen_port: Annotated[int, Range(0, 65_535), Doc("TCP port where peers may connect; 0: none may.")] = 179
    peers: Annotated[tuple[Peer, ...], Doc("The neighbours; without any, the plugin does nothing.")] = ()
    speaker: Speaker = field(default_factory=Speaker)
    imports: Imports = field(default_factory=Imports)
    exports: Exports = field(default_factory=Exports)
    graceful_restart: GracefulRestart = field(default_factory=GracefulRestart)
    overrides: Annotated[tuple[Override, ...], Doc("Settings of nodes with certain labels, one after the other.")] = ()

    @classmethod
    def misfits(cls, values: Mapping[str, Any]) -> Iterable[Misfit]:
        """As Fitting."""
        return misfits.of_section(values)

    def of_node(self, labels: Mapping[str, str]) -> BgpSettings:
        """What holds for a node with these labels, overrides applied. Raises Misfits, with keys as they are written."""
        values = {one.name: getattr(self, one.name) for one in fields(self)} | {"overrides": ()}
        written = {name: name for name in values}
        for number, override in enumerate(self.overrides):
            if override.match_labels.items() <= labels.items():
                names = [one.name for one in fields(override) if one.name != "match_labels"]
                set_here = {name: value for name in names if (value := getattr(override, name)) is not None}
                values |= set_here
                written |= {name: f"overrides[{number}].{name}" for name in set_here}
        try:
            return BgpSettings(**values)
        except Misfits as error:
            raise Misfits(tuple(one._replace(key=_written(one.key, written)) for one in error.found)) from error


def _written(key: str, written: Mapping[str, str]) -> str:
    name = key.replace("[", ".").partition(".")[0]
    return written[name] + key.removeprefix(name)
