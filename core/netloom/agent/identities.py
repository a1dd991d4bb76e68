"""Identities: one number per label set, the same on every node that shares the store.

Two keys make one identity: ``identities/<number>`` holds the labels and is what claims the number;
``labels/<labels>`` holds the number and is what makes it the only one for these labels. A crash between the two
leaves a number unused, never two numbers in use for one label set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from netloom.model.errors import Exhausted, Invalid
from netloom.model.identity import FIRST_CLUSTER_ID, LAST_CLUSTER_ID, Identity, IdentityId, Reserved
from netloom.model.labels import Label, Labels, canonical
from netloom.plugins.contract import Store

IDENTITIES = "identities/"
LABELS = "labels/"
_MAX_DIGITS = 10


def labels_of(value: bytes) -> Labels:
    """Read what ``identities/<number>`` holds; raises Invalid."""
    try:
        texts = value.decode().split(";")[:-1]
    except UnicodeDecodeError as error:
        raise Invalid(f"identity labels in the store cannot be read: {error}") from error
    return frozenset(Label.parse(text) for text in texts)


def number_of(text: str) -> IdentityId | None:
    """Read the end of a key ``identities/<number>``; None for what is no number."""
    is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
    return IdentityId(int(text)) if is_number else None


class Identities:
    """What this agent knows of the cluster's identities."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_id: dict[int, Labels] = {}
        self._by_labels: dict[str, IdentityId] = {}
        self._next = FIRST_CLUSTER_ID
        self._lock = asyncio.Lock()

    def known(self) -> Mapping[int, Labels]:
        """Every identity seen in the store, by number."""
        return dict(self._by_id)

    def learn(self, number: int, labels: Labels) -> None:
        """The store says so."""
        self._by_id[number] = labels

    def forget(self, number: int) -> None:
        """The store no longer has it."""
        self._by_id.pop(number, None)

    async def identity_of(self, labels: Labels) -> Identity:
        """The identity of a label set, made if there is none yet. Raises Exhausted or StoreError."""
        if not labels:
            return Identity(IdentityId(Reserved.INIT.value), frozenset({Reserved.INIT.label}))
        text = canonical(labels)
        async with self._lock:
            number = self._by_labels.get(text) or await self._find(text) or await self._make(text)
        self._by_labels[text] = number
        self._by_id[number] = labels
        return Identity(number, labels)

    async def confirm(self, identity: Identity) -> Identity:
        """See that the store still holds an identity in use here, and put it back if it can be; raises StoreError.

        A store that was replaced has lost it. The answer has another number only if that was given away since.
        """
        text = canonical(identity.labels)
        if identity.id < FIRST_CLUSTER_ID or (found := await self._find(text)) == identity.id:
            return identity
        if found is None and await self._store.compare_and_swap(f"{IDENTITIES}{identity.id}", 0, text.encode()):
            await self._store.compare_and_swap(LABELS + text, 0, str(identity.id).encode())
        self._by_labels.pop(text, None)
        return await self.identity_of(identity.labels)

    async def _find(self, text: str) -> IdentityId | None:
        entry = await self._store.get(LABELS + text)
        return IdentityId(int(entry.value)) if entry else None

    async def _make(self, text: str) -> IdentityId:
        number = await self._claim_number(text)
        if await self._store.compare_and_swap(LABELS + text, 0, str(number).encode()):
            return number
        await self._store.delete(f"{IDENTITIES}{number}")
        winner = await self._find(text)
        return winner if winner is not None else await self._make(text)

    async def _claim_number(self, text: str) -> IdentityId:
        count = LAST_CLUSTER_ID - FIRST_CLUSTER_ID + 1
        for step in range(count):
            number = FIRST_CLUSTER_ID + (self._next - FIRST_CLUSTER_ID + step) % count
            if number in self._by_id:
                continue
            if await self._store.compare_and_swap(f"{IDENTITIES}{number}", 0, text.encode()):
                self._next = number + 1
                return IdentityId(number)
        raise Exhausted(
            f"all identities from {FIRST_CLUSTER_ID} to {LAST_CLUSTER_ID} are in use; "
            "give workloads fewer distinct label sets"
        )
