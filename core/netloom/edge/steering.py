"""Routes that keep the proxy's packets on this node, whatever address they are for.

What a program marks as the proxy's is looked up in a table of its own, in which every address is local. Rules and
routes carry our protocol number. Numbers are those of linux/fib_rules.h and linux/rtnetlink.h.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable, Iterator

from pyroute2.netlink import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE
from pyroute2.netlink import rtnl as numbers

from netloom.datapath.proxy import MARK_TO_PROXY
from netloom.edge.messages import HEADER_BYTES, attribute, attributes, number, route_header
from netloom.edge.ownership import ROUTE_PROTOCOL
from netloom.edge.routes import RTA_OIF
from netloom.edge.rtnl import Request, RtnlSocket
from netloom.model.address import Family

TABLE = 0x6C30
"""Of routing tables; nobody else's in /etc/iproute2/rt_tables."""
PREFERENCE = 76
"""Before the table ``local`` would matter: that one's rule has 0, and knows nothing of these addresses."""
_RULE = struct.Struct("=BBBBBBBBI")
"""struct fib_rule_hdr: family, lengths of destination and source, tos, table, two reserved, action, flags."""
_TO_TABLE = 1
_FRA_PRIORITY, _FRA_FWMARK, _FRA_TABLE, _FRA_FWMASK, _FRA_PROTOCOL = 6, 10, 15, 16, 21
_RTA_TABLE = 15
_RTN_LOCAL = 2
_RT_SCOPE_HOST = 254
_NO_FAMILY = frozenset({errno.EAFNOSUPPORT, errno.EOPNOTSUPP})
_GONE = frozenset({errno.ENOENT, errno.ESRCH, *_NO_FAMILY})


def ensure_steering(rtnl: RtnlSocket, families: Iterable[Family], ifindex: int) -> None:
    """Make what is missing; ``ifindex``: of loom_host, with which the routes go. Raises KernelError."""
    for family in families:
        rtnl.call(_route(family, ifindex))
        if not _has_rule(rtnl, family):
            rtnl.call(_rule(family, "add", numbers.RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL))


def steered(rtnl: RtnlSocket, families: Iterable[Family]) -> frozenset[Family]:
    """The families in which rule and route are in place. Raises KernelError."""
    return frozenset(family for family in families if _has_rule(rtnl, family) and _has_route(rtnl, family))


def remove_steering(rtnl: RtnlSocket) -> tuple[str, ...]:
    """Remove rules of ours; says which were there. The routes go with their device. Raises KernelError."""
    families: tuple[Family, ...] = (4, 6)
    removed = [family for family in families if _has_rule(rtnl, family)]
    for family in removed:
        rtnl.call(_rule(family, "delete", numbers.RTM_DELRULE, accept=_GONE))
    return tuple(f"IPv{family} rule for packets of the proxy" for family in removed)


def _has_rule(rtnl: RtnlSocket, family: Family) -> bool:
    asking = Request("list", f"IPv{family} rules", numbers.RTM_GETRULE, _header(family, 0), accept=_NO_FAMILY)
    return any(_is_ours(message) for message in rtnl.dump(asking))


def _is_ours(message: bytes) -> bool:
    found = dict(attributes(message, HEADER_BYTES + _RULE.size))
    wanted = {_FRA_PRIORITY: PREFERENCE, _FRA_FWMARK: MARK_TO_PROXY, _FRA_TABLE: TABLE}
    return all(int.from_bytes(found.get(kind, b""), "little") == value for kind, value in wanted.items())


def _has_route(rtnl: RtnlSocket, family: Family) -> bool:
    body = route_header(family=_af(family), protocol=ROUTE_PROTOCOL, kind=_RTN_LOCAL) + number(_RTA_TABLE, TABLE)
    asking = Request("list", _name(family), numbers.RTM_GETROUTE, body, accept=_GONE)
    return any(rtnl.dump(asking))


def _rule(family: Family, op: str, kind: int, flags: int = 0, accept: frozenset[int] = frozenset()) -> Request:
    body = _header(family, _TO_TABLE) + b"".join(_attributes())
    return Request(op, f"IPv{family} rule for packets of the proxy", kind, body, flags, accept=accept)


def _attributes() -> Iterator[bytes]:
    for kind, value in (
        (_FRA_PRIORITY, PREFERENCE),
        (_FRA_FWMARK, MARK_TO_PROXY),
        (_FRA_FWMASK, 0xFFFFFFFF),
        (_FRA_TABLE, TABLE),
    ):
        yield number(kind, value)
    yield attribute(_FRA_PROTOCOL, bytes([ROUTE_PROTOCOL]))


def _route(family: Family, ifindex: int) -> Request:
    body = route_header(
        family=_af(family), protocol=ROUTE_PROTOCOL, scope=_RT_SCOPE_HOST if family == 4 else 0, kind=_RTN_LOCAL
    )
    body += number(_RTA_TABLE, TABLE) + number(RTA_OIF, ifindex)
    return Request("add", _name(family), numbers.RTM_NEWROUTE, body, NLM_F_CREATE | NLM_F_REPLACE)


def _header(family: Family, action: int) -> bytes:
    return _RULE.pack(_af(family), 0, 0, 0, 0, 0, 0, action, 0)


def _name(family: Family) -> str:
    return f"IPv{family} route for packets of the proxy"


def _af(family: Family) -> int:
    return socket.AF_INET if family == 4 else socket.AF_INET6
