"""The marks by which an agent with no memory knows its own kernel objects.

========  =====================================================================================================
object    mark
========  =====================================================================================================
links     link group LINK_GROUP, which the kernel sets with the creation itself; alias ``netloom:<node>``
routes    route protocol ROUTE_PROTOCOL, of rules too, which also asks other routing daemons to leave them alone;
          those learnt by routers LEARNED_PROTOCOL, so that the kernel tells the two apart, however many there are
filters   name begins with FILTER_PREFIX, at priority FILTER_PRIORITY and handle FILTER_HANDLE
queues    handle QUEUE_HANDLE
programs  attached by tcx or to XDP: the kernel's name of it begins with PROGRAM_PREFIX (netloom.datapath.program_names)
firewall  tables ``netloom_<hash of the node's name>``, with ``_guard`` and with ``_proxy``, of family inet
========  =====================================================================================================
"""

from __future__ import annotations

import hashlib

LINK_GROUP = 0x6C6F6F6D
"""``loom`` in ASCII."""
ROUTE_PROTOCOL = 76
"""``L`` in ASCII; not taken in /etc/iproute2/rt_protos."""
LEARNED_PROTOCOL = 77
"""The next one, for what routers have learnt; not taken either."""
LEARNED_METRIC = 2000
"""Of learnt routes. Ours have none, which is 0 for IPv4 and 1024 for IPv6, so ours win where both lead to a prefix."""
FILTER_PREFIX = "netloom/"
FILTER_PRIORITY = 76
FILTER_HANDLE = 1
QUEUE_HANDLE = 76 << 16
"""What ``tc qdisc show`` prints as ``4c:``."""
_ALIAS_PREFIX = "netloom:"


def link_alias(node: str) -> str:
    """What ``ip link`` shows of a link of this node."""
    return _ALIAS_PREFIX + node


def filter_name(program_name: str) -> str:
    """What ``tc filter show`` prints of a program of ours."""
    return FILTER_PREFIX + program_name


def masquerade_table(node: str) -> str:
    """A node's name may hold letters that nft does not take in a table's, so it is hashed."""
    return "netloom_" + hashlib.sha256(node.encode()).hexdigest()[:12]


def guard_table(node: str) -> str:
    """The other table of a node: it stands whether or not anything is masqueraded."""
    return masquerade_table(node) + "_guard"


def proxy_table(node: str) -> str:
    """The table by which packets of the proxy's connections are known."""
    return masquerade_table(node) + "_proxy"


def firewall_tables(node: str) -> frozenset[str]:
    """All tables of a node."""
    return frozenset({masquerade_table(node), guard_table(node), proxy_table(node)})
