"""A plugin's query as the agent holds it: answered in time, with what JSON can hold, or not at all."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from netloom.model.errors import Invalid
from netloom.plugins import accept_answers
from netloom.plugins.answering import Query
from netloom.plugins.guard import Guard, anything


class GuardedQuery:
    """A question that people may ask."""

    def __init__(self, guard: Guard, query: Query) -> None:
        self._guard = guard
        self._query = query

    @property
    def name(self) -> str:
        """As in the path of a request."""
        return self._query.name

    async def answer(self, parameters: Iterable[tuple[str, str]]) -> Any:
        """What the plugin answers. Raises Invalid for unknown parameters, PluginFailure, and what it raises."""
        given: dict[str, str] = {}
        for name, value in parameters:
            if name not in self._query.parameters:
                known = ", ".join(self._query.parameters) or "none"
                raise Invalid(f'query "{self.name}" has no parameter "{name[:40]}", known are: {known}')
            if name in given:
                raise Invalid(f'query "{self.name}" is given parameter "{name}" twice, expected it once')
            given[name] = value
        return await self._guard.acall(f'query "{self.name}"', partial(self._checked, given), anything)

    async def _checked(self, given: Mapping[str, str]) -> Any:
        answer = self._query.answer(given)
        return await accept_answers.answer_by_turns(await answer if inspect.isawaitable(answer) else answer)
