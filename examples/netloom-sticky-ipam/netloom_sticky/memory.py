"""The file that outlives the agent: addresses by pod, as JSON."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

from netloom.model.address import Address, parse_address

log = logging.getLogger(__name__)


def read(path: Path) -> dict[str, tuple[Address, ...]]:
    """Addresses by pod, in the order written; nothing when there is no file, or one that was damaged and put aside."""
    try:
        written = json.loads(path.read_bytes())
        return {str(pod): tuple(parse_address(text) for text in texts) for pod, texts in written.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")
        path.rename(aside)
        log.warning("%s was damaged (%s); it is kept as %s", path, error, aside)
        return {}


def write(path: Path, addresses: Mapping[str, tuple[Address, ...]]) -> None:
    """Replace the file at once, so that a crash leaves the old one or the new one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    text = json.dumps({pod: [str(address) for address in found] for pod, found in addresses.items()}, indent=1)
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600, exist_ok=False)
    with fresh.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)
