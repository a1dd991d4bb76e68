"""A run on an emulated machine, twenty to fifty times slower than this one: the same tests, fewer repetitions.

``make test-kernels`` sets the variable; what is left out is done by the same run on the machine's own kernel.
"""

from __future__ import annotations

import os

EMULATED_VARIABLE = "NETLOOM_TEST_EMULATED"
EMULATED = os.environ.get(EMULATED_VARIABLE) == "1"


def fewer(count: int) -> int:
    """How many made-up examples to try."""
    return max(1, count // 30) if EMULATED else count


FAMILIES = (False,) if EMULATED else (False, True)
"""Whether it is IPv6, for tests that say the same of both families."""
