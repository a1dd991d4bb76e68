"""``python -m netloom.cni``: what the compiled relay runs when something is out of the ordinary."""

from __future__ import annotations

import sys

from netloom.cni.main import main

if __name__ == "__main__":
    sys.exit(main())
