"""Pins of maps whose size was changed in the node config since they were made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from netloom.bpf import libbpf
from netloom.bpf.maps import check_layout
from netloom.datapath.maps import MapSpec
from netloom.model.errors import MapLayoutMismatch


def unpin_resized(path: Path, spec: MapSpec[Any, Any]) -> int | None:
    """Remove the pin of a map that differs from ``spec`` in its size alone; returns that size, None if it stays.

    Programs at work keep the map. Raises KernelError.
    """
    fd = libbpf.library().bpf_obj_get(os.fsencode(path))
    if fd < 0:
        return None
    try:
        check_layout(fd, spec, path)
    except MapLayoutMismatch as mismatch:
        if mismatch.field != "max_entries":
            return None
        path.unlink(missing_ok=True)
        return mismatch.found
    finally:
        os.close(fd)
    return None
