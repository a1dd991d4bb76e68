"""How long a lab waits for what must happen: only ever noticed when it does not, or on a very slow machine."""

from __future__ import annotations

import os

from netloom.model.errors import Invalid

VARIABLE = "NETLOOM_LAB_PATIENCE"
"""Environment variable: a factor for every time limit of the lab, for machines that are emulated or crowded."""


def patient(seconds: float) -> float:
    """A time limit as this machine needs it. Raises Invalid when the factor is not a number from 1 to 1000."""
    text = os.environ.get(VARIABLE, "1")
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 1 <= factor <= 1000:
        raise Invalid(f'{VARIABLE} is "{text}", expected a factor from 1 to 1000 for the lab\'s time limits')
    return seconds * factor
