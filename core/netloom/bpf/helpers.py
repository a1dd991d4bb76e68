"""Kernel helpers that tc programs call, by number, and what a packet walk does with each.

Numbers and names are those of ``enum bpf_func_id`` (linux/bpf.h). A walk runs programs on a packet that nobody sent, so
it must know of every helper whether its effect stays within that packet. One that is not listed here is unknown, and a
program that calls it cannot be walked.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

TAIL_CALL = 12
GET_TUNNEL_KEY = 20
PROBE_READ_KERNEL = 113
RINGBUF_RESERVE = 131
RINGBUF_SUBMIT = 132


class Treatment(Enum):
    """What a walk does with a call."""

    LEFT = "left"
    """Stays as it is: it reads, computes, or writes to the packet what the walk sees afterwards anyway."""
    NOTED = "noted"
    """Is made, and written down with arguments and result."""
    WITHHELD = "withheld"
    """Would reach beyond the packet: is written down and not made; the program is told that it succeeded."""


class Memory(Enum):
    """Memory of a call that is worth writing down."""

    NONE = "none"
    KEY_AND_FOUND = "key and found"
    """Second argument before the call, result after it: a lookup in a map."""
    KEY_AND_GIVEN = "key and given"
    """Second and third argument before the call: an entry that is written to a map."""
    KEY = "key"
    """Second argument before the call, as long as the map's key."""
    BUFFER_2 = "buffer at 2"
    """Second argument, whose size is the third."""
    BUFFER_3 = "buffer at 3"
    """Third argument, whose size is the fourth."""


@dataclass(frozen=True, slots=True)
class Helper:
    """One helper."""

    number: int
    name: str
    """Without ``bpf_``."""
    arguments: int
    treatment: Treatment = Treatment.LEFT
    memory: Memory = Memory.NONE
    by_chance: bool = False
    """Whether it gives another result each time, so that two runs on one packet may differ."""


_NOTED, _WITHHELD = Treatment.NOTED, Treatment.WITHHELD

HELPERS = {
    helper.number: helper
    for helper in (
        Helper(1, "map_lookup_elem", 2, _NOTED, Memory.KEY_AND_FOUND),
        Helper(2, "map_update_elem", 4, _NOTED, Memory.KEY_AND_GIVEN),
        Helper(3, "map_delete_elem", 2, _NOTED, Memory.KEY),
        Helper(5, "ktime_get_ns", 0, by_chance=True),
        Helper(6, "trace_printk", 5, _WITHHELD),
        Helper(7, "get_prandom_u32", 0, by_chance=True),
        Helper(8, "get_smp_processor_id", 0),
        Helper(9, "skb_store_bytes", 5, _NOTED, Memory.BUFFER_3),
        Helper(10, "l3_csum_replace", 5),
        Helper(11, "l4_csum_replace", 5),
        Helper(TAIL_CALL, "tail_call", 3),
        Helper(13, "clone_redirect", 3, _WITHHELD),
        Helper(18, "skb_vlan_push", 3, _NOTED),
        Helper(19, "skb_vlan_pop", 1, _NOTED),
        Helper(GET_TUNNEL_KEY, "skb_get_tunnel_key", 4, _NOTED, Memory.BUFFER_2),
        Helper(21, "skb_set_tunnel_key", 4, _NOTED, Memory.BUFFER_2),
        Helper(23, "redirect", 2, _NOTED),
        Helper(25, "perf_event_output", 5, _WITHHELD),
        Helper(26, "skb_load_bytes", 4),
        Helper(28, "csum_diff", 5),
        Helper(31, "skb_change_proto", 3, _NOTED),
        Helper(32, "skb_change_type", 2, _NOTED),
        Helper(34, "get_hash_recalc", 1),
        Helper(38, "skb_change_tail", 3, _NOTED),
        Helper(39, "skb_pull_data", 2),
        Helper(40, "csum_update", 2),
        Helper(41, "set_hash_invalid", 1),
        Helper(43, "skb_change_head", 3, _NOTED),
        Helper(48, "set_hash", 2),
        Helper(50, "skb_adjust_room", 4, _NOTED),
        Helper(68, "skb_load_bytes_relative", 5),
        Helper(86, "sk_release", 1),
        Helper(69, "fib_lookup", 4, _NOTED, Memory.BUFFER_2),
        Helper(97, "skb_ecn_set_ce", 1, _NOTED),
        Helper(99, "skc_lookup_tcp", 5),
        Helper(PROBE_READ_KERNEL, "probe_read_kernel", 3),
        Helper(118, "jiffies64", 0, by_chance=True),
        Helper(124, "sk_assign", 3, _WITHHELD),
        Helper(125, "ktime_get_boot_ns", 0, by_chance=True),
        Helper(130, "ringbuf_output", 4),
        Helper(RINGBUF_RESERVE, "ringbuf_reserve", 3),
        Helper(RINGBUF_SUBMIT, "ringbuf_submit", 2),
        Helper(133, "ringbuf_discard", 2),
        Helper(134, "ringbuf_query", 2),
        Helper(135, "csum_level", 2),
        Helper(152, "redirect_neigh", 4, _NOTED, Memory.BUFFER_2),
        Helper(155, "redirect_peer", 2, _NOTED),
        Helper(160, "ktime_get_coarse_ns", 0, by_chance=True),
        Helper(163, "check_mtu", 5, _NOTED),
        Helper(192, "skb_set_tstamp", 3),
    )
}
"""Rings are of the walk's own, so writing to one goes nowhere."""
