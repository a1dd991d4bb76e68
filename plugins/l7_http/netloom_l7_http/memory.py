"""What was read of bytes, for when the same bytes come again. Bounded."""

from __future__ import annotations

from typing import Final, TypeVar

T = TypeVar("T")

COUNT_MAX: Final = 1024


class Memory(dict[bytes, T]):
    """By the bytes, once they have come twice; forgets everything when it is full, so that nobody pays for order."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__()
        self._bytes_max = bytes_max
        """What is longer is not kept."""
        self._once: set[int] = set()
        """Hashes of what came: most that never comes again shall leave nothing behind."""

    def keep(self, data: bytes, found: T) -> T:
        """Returns ``found``."""
        if len(data) > self._bytes_max:
            return found
        mark = hash(data)
        if mark in self._once:
            if len(self) >= COUNT_MAX:
                self.clear()
            self[data] = found
        elif len(self._once) >= COUNT_MAX:
            self._once = {mark}
        else:
            self._once.add(mark)
        return found
