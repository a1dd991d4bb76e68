"""The prefilter's four maps, written without claims: a set of a hundred thousand must not cost a table's memory."""

from __future__ import annotations

from netloom.agent.repairs import Repair
from netloom.bpf.maps import BpfMap, MapSet
from netloom.datapath.layout import decode
from netloom.datapath.prefilter import PREFILTER_MAPS
from netloom.model.errors import NetloomError
from netloom.plan.prefilter import PRESENT, Entries, check_room

NAMED = 10
"""So many entries put right are told of by name, the others by their number."""


class PrefilterTables:
    """Everything here may take as long as a large set takes: call it off the event loop."""

    def __init__(self, maps: MapSet) -> None:
        self._maps: dict[str, BpfMap[object, object]] = {spec.name: maps[spec.name] for spec in PREFILTER_MAPS}

    def check_room(self, wanted: Entries) -> None:
        """Raises Exhausted as :func:`netloom.plan.prefilter.check_room`."""
        check_room(wanted, {name: item.spec.max_entries for name, item in self._maps.items()})

    def write(self, before: Entries, after: Entries) -> None:
        """All of it or nothing: raises Exhausted or KernelError with the maps as they were.

        What is refused both before and after is refused at every moment between. New ranges come before old ones go,
        except where a map has no room for both.
        """
        done: list[tuple[str, bytes]] = []
        try:
            for name, item in self._maps.items():
                old, new = set(before[name]), set(after[name])
                steps = [(new - old, True), (old - new, False)]
                if len(old | new) > item.spec.max_entries:
                    steps.reverse()
                for keys, present in steps:
                    for key in keys:
                        _set(item, key, present=present)
                        done.append((name, key))
        except NetloomError:
            for name, key in reversed(done):
                _set(self._maps[name], key, present=key in before[name])
            raise

    def repair(self, wanted: Entries) -> list[Repair]:
        """Make the maps hold exactly this; returns what they did not. Raises Exhausted, KernelError."""
        repairs: list[Repair] = []
        for name, item in self._maps.items():
            found = dict(item.raw_items())
            missing = [key for key in wanted[name] if found.get(key) != PRESENT]
            extra = found.keys() - set(wanted[name])
            for key in extra:
                item.delete_raw(key)
            for key in missing:
                item.put_raw(key, PRESENT)
            repairs += [*_told(item, missing, "written"), *_told(item, sorted(extra), "deleted")]
        return repairs


def _set(item: BpfMap[object, object], key: bytes, *, present: bool) -> None:
    if present:
        item.put_raw(key, PRESENT)
    else:
        item.delete_raw(key)


def _told(item: BpfMap[object, object], keys: list[bytes], action: str) -> list[Repair]:
    named = [f"{item.spec.name} {decode(item.spec.key, key)}" for key in keys[:NAMED]]
    if len(keys) > NAMED:
        named.append(f"{len(keys) - NAMED} more of {item.spec.name}")
    return [Repair(kind="map entry", name=name, action=action) for name in named]
