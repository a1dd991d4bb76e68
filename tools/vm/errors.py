"""What can go wrong with a machine, as opposed to with the command that runs in it."""

from __future__ import annotations


class MachineError(Exception):
    """The kernel could not be had, or the machine did not run; the text is a sentence."""
