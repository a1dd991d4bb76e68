"""What answers to questions about policies have in common: what is asked, and by what the answer is.

A question about what stands is answered from the repository whose tables the kernel has. One about what does not stand,
labels that nobody has or policies that are not imported, gets a repository of its own, built in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from netloom.agent.policies import Policies
from netloom.agent.policy_seen import SeenSource
from netloom.agent.policy_views import Json
from netloom.model.address import Address
from netloom.model.endpoint import Endpoint
from netloom.policy.replay import SeenRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What the agent knows besides policies: asked anew for each question."""

    endpoints: Callable[[], Iterable[Endpoint]]
    gateways: Callable[[], tuple[Address, ...]]
    addresses: Callable[[], Mapping[int, Collection[Address]]]
    """All that are known, by identity."""
    identity_at: Callable[[Address], int]
    """Whom the data path takes for the owner of an address."""
    seen: Sequence[SeenSource] = ()
    requests: Callable[[], Iterable[SeenRequest]] = tuple
    """Those that this node has seen lately; called in a thread."""


def enforces(policies: Policies) -> bool:
    """Whether this node denies anything at all."""
    return policies.settings.enforcement != "never"


def standing_view(policies: Policies) -> Json:
    """What an answer is by."""
    return {
        "revision": policies.revision,
        "enforced_revision": policies.written,
        "enforcement": policies.settings.enforcement,
    }


def caveats(policies: Policies) -> list[str]:
    """Where this node does something else than its policies say."""
    notes = []
    if not enforces(policies):
        notes.append("policy.enforcement is never on this node: nothing is denied, whatever policies say")
    if policies.written != policies.revision:
        notes.append(
            f"revision {policies.revision} is not enforced yet, revision {policies.written} is: see `netctl status`"
        )
    return notes
