"""Packets for twins, and what became of them."""

from __future__ import annotations

import platform

from netloom.bpf.core_programs import core_programs
from netloom.bpf.features import WALKS_SINCE, release_number
from netloom.bpf.twin import Arrival, TwinRun
from netloom.datapath.layout import decode
from netloom.datapath.reasons import DropReason
from netloom.datapath.registry import EventHeader, EventType
from netloom_native.plugin import Native
from netloom_vxlan.plugin import Vxlan
from support.pipeline import HEADER_BYTES, LOOPBACK, REASONS

WALKS = release_number(platform.release()) >= WALKS_SINCE
"""Whether the kernel takes programs of walks."""
OBJECTS = (*core_programs(), *Vxlan().netloom_bpf_programs(), *Native().netloom_bpf_programs())


def arriving(frame: bytes) -> Arrival:
    return Arrival(frame=frame, ifindex=LOOPBACK)


def reason_of(found: TwinRun) -> DropReason | None:
    headers = [decode(EventHeader, raw[:HEADER_BYTES]) for raw in found.events]
    codes = [header.code for header in headers if header.type == EventType.DROP]
    return REASONS[codes[0]] if codes else None
