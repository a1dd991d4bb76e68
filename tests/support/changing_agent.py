"""An agent that tells a proxy other tables without end, and says so: ``python -m support.changing_agent SOCKET``."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from netloom.model.l7 import L7Table
from support.numbered import changing
from support.proxy_world import ControlSocket


def main() -> None:
    """Until it is killed."""
    agent = ControlSocket(Path(sys.argv[1]))

    def put(table: L7Table) -> None:
        agent.put(table)
        sys.stdout.write("told\n")
        sys.stdout.flush()

    changing(put, threading.Event())


if __name__ == "__main__":
    main()
