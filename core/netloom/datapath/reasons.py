"""Every cause for which a packet is dropped: number, name, sentence, who should act.

Numbers follow Cilium's where the meaning is the same (130 to 205), so that tools and habits carry
over; Netloom's own begin at 220. A number is never used again for another cause.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class DropReason(IntEnum):
    """Numbered causes of drops; 0 stands for forwarded packets in counters."""

    text: str
    hint: str

    def __new__(cls, number: int, text: str, hint: str) -> Self:
        """Number, words as shown to operators, and what one can do about it."""
        self = int.__new__(cls, number)
        self._value_ = number
        self.text = text
        self.hint = hint
        return self

    FORWARDED = 0, "Forwarded", "Not a drop: the packet went on."
    INVALID_SOURCE_MAC = 130, "Invalid source mac", "The workload forges its MAC address."
    INVALID_SOURCE_IP = 132, "Invalid source ip", "The workload sends from an address it was not given."
    POLICY = 133, "Policy denied", "No policy allows it, and one isolates the endpoint: see `netctl policy trace`."
    INVALID_PACKET = 134, "Invalid packet", "Headers are cut short or contradict each other; capture and look."
    UNSUPPORTED_L3 = 139, "Unsupported L3 protocol", "Only IPv4, IPv6, ARP are carried."
    MISSED_TAIL_CALL = 140, "Missed tail call", "A stage is not loaded: see `netctl status` and the agent's log."
    WRITE_ERROR = 141, "Error writing to packet", "The kernel could not grow or change the packet: low memory?"
    TUNNEL_KEY = 147, "Error handling tunnel key", "loom_vxlan is not in collect-metadata mode: restart the agent."
    UNKNOWN_TARGET = 150, "Unknown L3 target address", "No endpoint has that address: it may just have gone."
    UNROUTABLE = 151, "Stale or unroutable IP", "No node is known for that address: see `netctl node list`."
    NO_LOCAL_ENDPOINT = 152, "No matching local container found", "The other node's tables are stale."
    CONNECTION_NOT_MADE = (
        155,
        "CT: Map insertion failed",
        "The kernel had no room to remember the connection: low memory?",
    )
    IPV6_EXTENSION = 156, "Unsupported IPv6 extension header", "The chain is longer than the parser's bound."
    NO_TUNNEL_ENDPOINT = (
        160,
        "No tunnel/encapsulation endpoint",
        "No network mode of this node reaches the one that owns the address: see `netctl node get`.",
    )
    UNSUPPORTED_L2 = 166, "Unsupported L2 protocol", "Only Ethernet frames with IP or ARP are carried."
    NO_ROUTE = 169, "FIB lookup failed", "The node's routes say that nothing leads there: see `ip route get`."
    ENCAP_PROHIBITED = 170, "Encapsulation traffic is prohibited", "Workloads may not send tunnel traffic."
    INVALID_IDENTITY = 171, "Invalid identity", "A remote node claimed an identity it cannot have."
    UNKNOWN_SENDER = 172, "Unknown sender", "Tunnel traffic from an address that is no known node."
    FRAGMENT_NOT_FOUND = (
        175,
        "First logical datagram fragment not found",
        "A fragment came before its first, or too late.",
    )
    FORBIDDEN_ICMP6 = 176, "Forbidden ICMPv6 message", "Router and redirect messages from workloads are not carried."
    PROXY_AWAY = (
        178,
        "Socket lookup failed",
        "Its requests are to be judged, and no proxy takes connections: see `netctl status`.",
    )
    PROXY_UNREACHED = 179, "Socket assign failed", "The kernel would not hand the packet to the proxy's socket."
    POLICY_DENY = 181, "Policy denied by denylist", "A policy denies it by name: see `netctl policy trace`."
    VLAN = 182, "VLAN traffic disallowed", "Workloads may not send VLAN-tagged frames."
    TTL_EXCEEDED = 196, "TTL exceeded", "The packet's hop limit ran out; a traceroute does this on purpose."
    RATE_LIMITED = (
        198,
        "Rate limited",
        "The workload sends more than its limit, past the queue that would keep it to that.",
    )
    MULTICAST = (
        201,
        "Multicast handled",
        "Multicast, broadcast and link-local traffic is not carried between workloads.",
    )
    NOT_READY = 202, "Host datapath is not ready", "The agent has not finished starting."
    NO_POLICY = (
        203,
        "Endpoint policy not available",
        "The agent has not said yet what the endpoint may do: see `netctl status`.",
    )
    TOO_BIG = 220, "Packet too big", "Larger than its way takes, the overlay or a route; the sender was told by ICMP."
    NO_VERDICT = 221, "No verdict", "A program ended without deciding: a defect in it; the event names the line."
    DENIED_BY_PLUGIN = (
        222,
        "Denied by plugin",
        "A plugin's stage refused it: see `netctl plugins list` for who has one.",
    )
    POLICY_UNKNOWN_PEER = (
        223,
        "Policy denied: peer unknown",
        "The endpoint is isolated, and this node has not heard yet who has the peer's address.",
    )
    POLICY_INCOMPLETE = (
        224,
        "Policy incomplete",
        "The endpoint's policies did not fit into its table, so nothing passes: see `netctl status`.",
    )
    PREFILTERED = (
        225,
        "Prefiltered",
        "Its source stands in the node's prefilter (counted alone, no event): see `netctl prefilter list`.",
    )
    UNMASQUERADED = (
        226,
        "Not masqueraded",
        "A pod's packet was about to leave the cluster with the pod's address: is Netloom's firewall table there?",
    )
    PROXY_TOO_LATE = (
        227,
        "Connection older than its rules",
        "Its requests are to be judged since a policy says so, and nobody has heard its beginning: connect again.",
    )
    BY_STACK = (
        253,
        "By the host's stack",
        "Not a drop: the node's routes want something for this packet that only the host's stack can do.",
    )
    VERDICT_UNTOLD = (
        254,
        "Verdict untold",
        "Not a drop: more connections were allowed at once than are told while nobody listens.",
    )
    EVENT_LOST = 255, "Event lost", "Not a drop: the monitor's ring was full, so these events were never seen."

    @property
    def c_name(self) -> str:
        """``DROP_TOO_BIG``; in C the value is negative."""
        return f"DROP_{self.name}"


class Direction(IntEnum):
    """Of a packet, seen from the endpoint."""

    INGRESS = 1
    EGRESS = 2


class Observation(IntEnum):
    """Where a trace was taken; numbers as in Cilium's trace notification."""

    TO_ENDPOINT = 0
    TO_PROXY = 1
    TO_HOST = 2
    TO_STACK = 3
    TO_OVERLAY = 4
    FROM_ENDPOINT = 5
    FROM_PROXY = 6
    FROM_HOST = 7
    FROM_OVERLAY = 9
    FROM_NETWORK = 10
    TO_NETWORK = 11
