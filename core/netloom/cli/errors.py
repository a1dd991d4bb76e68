"""What can go wrong between ``netctl`` and an agent, and the exit status each gives."""

from __future__ import annotations

from netloom.model.errors import ConfigError, Invalid, NetloomError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_AWAY = 3
EXIT_CONFIG = 4
EXIT_DROPPED = 5
"""A packet asked about, of a walk or a trace, does not come to its destination: no error, so no error's number."""
EXIT_CHANGES = 6
"""What was asked "what if" would change something; as with a dropped packet, no error's number."""
EXIT_INTERRUPTED = 130
"""128 and SIGINT, as shells have it."""


class AgentAway(NetloomError):
    """No agent runs, or it cannot be reached."""


class RequestFailed(NetloomError):
    """The agent answered with an error; :attr:`kind` is its word for it, for example ``not_found``."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Unusable(Invalid):
    """Wrong usage: words that make no sense together, whatever runs here."""


class Ambiguous(Unusable):
    """Several agents run on this machine, and none was chosen."""


def exit_status(error: NetloomError) -> int:
    """The exit status for an error."""
    match error:
        case AgentAway():
            return EXIT_AWAY
        case Unusable():
            return EXIT_USAGE
        case ConfigError():
            return EXIT_CONFIG
        case _:
            return EXIT_FAILED
