"""``/v1/policies``: what is asked of policies over the API. Handlers translate; bodies are checked here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from aiohttp import web

from netloom.agent import policy_views
from netloom.agent.answers import answer, large_answer, read_body, read_number, read_truth, refuse_others
from netloom.agent.judging import bytes_of
from netloom.agent.policy_changes import File, PolicyChanges
from netloom.agent.policy_everybody import Everybody, Whom
from netloom.agent.policy_facts import sources_of
from netloom.agent.policy_questions import standing_view
from netloom.agent.policy_trace import Named, TraceQuestion, Traces
from netloom.model.errors import Invalid
from netloom.model.labels import Label
from netloom.policy.names import CLUSTERWIDE, find_policy
from netloom.policy.read import POLICY_FILE

if TYPE_CHECKING:
    from netloom.agent.core import Agent

MAX_BODY_BYTES: Final = 2 * POLICY_FILE.max_bytes
"""JSON writes a line's end, and much else of YAML, with more bytes than the file has."""
DEFAULT_WAIT_S: Final = 30.0
MAX_WAIT_S: Final = 600.0


class FileBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file."""

    name: str
    text: str


class ImportBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``PUT /v1/policies``."""

    files: list[FileBody]
    dry_run: bool = False


class DeleteBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``DELETE /v1/policies``."""

    names: list[str] = []
    all: bool = False


class NamedBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An end that was found already."""

    name: str
    addresses: list[str]


class TraceBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /v1/policies/trace``."""

    source: str | NamedBody
    destination: str | NamedBody
    services: list[str]
    family: Literal[4, 6] | None = None
    protocol: str = ""
    data: str = ""


class WhatIfBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /v1/policies/what-if``."""

    files: list[FileBody] = []
    delete: list[str] = []


class PolicyApi:
    """Serves one agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._policies = agent.policies
        self._changes = PolicyChanges(agent.policies)
        sources = sources_of(agent)
        self._traces = Traces(agent.policies, sources)
        self._everybody = Everybody(agent.policies, sources)

    def routes(self) -> list[web.RouteDef]:
        """All below ``/v1/policies``."""
        return [
            web.get("/v1/policies", self._list),
            web.put("/v1/policies", self._import),
            web.delete("/v1/policies", self._delete),
            web.get("/v1/policies/selectors", self._selectors),
            web.get("/v1/policies/wait", self._wait),
            web.get("/v1/policies/matrix", self._matrix),
            web.post("/v1/policies/trace", self._trace),
            web.post("/v1/policies/what-if", self._what_if),
            web.get("/v1/policies/{kind}/{namespace}/{name}", self._one),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        with_objects = read_truth("objects", request.query.get("objects", "false"))
        view = policy_views.document_view if with_objects else policy_views.policy_view
        repository, local = self._policies.repository, self._agent.endpoints.refcounts()
        rows = [view(policy, repository, local) for policy in repository.policies]
        audit = self._policies.settings.audit
        return await large_answer({**standing_view(self._policies), "audit": audit, "policies": rows})

    async def _one(self, request: web.Request) -> web.Response:
        parts = request.match_info
        namespace = "" if parts["namespace"] == CLUSTERWIDE else parts["namespace"]
        known = [policy.name for policy in self._policies.repository.policies]
        name = find_policy(f"{parts['kind']}/{namespace or CLUSTERWIDE}/{parts['name']}", known)
        policy = self._policies.policy(name)
        return answer(policy_views.document_view(policy, self._policies.repository, self._agent.endpoints.refcounts()))

    async def _selectors(self, request: web.Request) -> web.Response:
        del request
        return await large_answer(policy_views.selectors_view(self._policies.repository))

    async def _import(self, request: web.Request) -> web.Response:
        self._agent.require_ready()
        body = await read_body(request, ImportBody, MAX_BODY_BYTES)
        # What was begun is finished, whether its asker waits or not: half of an import is nobody's wish.
        done = await asyncio.shield(self._changes.take(_files(body.files), dry_run=body.dry_run))
        return answer(policy_views.import_view(done))

    async def _delete(self, request: web.Request) -> web.Response:
        self._agent.require_ready()
        body = await read_body(request, DeleteBody, MAX_BODY_BYTES)
        gone, revision = await asyncio.shield(self._changes.drop(body.names, everything=body.all))
        return answer({"revision": revision, "deleted": [policy_views.name_view(name) for name in gone]})

    async def _wait(self, request: web.Request) -> web.Response:
        revision = read_number("revision", request.query.get("revision", str(self._policies.revision)))
        seconds = _seconds(request)
        enforced = await self._policies.wait(revision, seconds)
        closed = policy_views.closed_view(self._policies)
        return answer({"revision": self._policies.revision, "enforced_revision": enforced, "closed": closed})

    async def _trace(self, request: web.Request) -> web.Response:
        body = await read_body(request, TraceBody, MAX_BODY_BYTES)
        asked = TraceQuestion(
            source=_end(body.source),
            destination=_end(body.destination),
            services=tuple(body.services),
            family=body.family,
            protocol=body.protocol,
            data=bytes_of(body.data),
        )
        return answer(await self._traces.trace(asked))

    async def _what_if(self, request: web.Request) -> web.Response:
        body = await read_body(request, WhatIfBody, MAX_BODY_BYTES)
        return await large_answer(await self._everybody.what_if(_files(body.files), body.delete))

    async def _matrix(self, request: web.Request) -> web.Response:
        query = request.query
        refuse_others(query, ("namespace", "label", "unused"), "a matrix")
        whom = Whom(
            namespaces=frozenset(query.getall("namespace", [])),
            labels=frozenset(Label.parse(text) for text in query.getall("label", [])),
            unused=read_truth("unused", query.get("unused", "false")),
        )
        return await large_answer(await self._everybody.matrix(whom))


def _files(found: list[FileBody]) -> list[File]:
    return [File(one.name, one.text) for one in found]


def _end(body: str | NamedBody) -> str | Named:
    return body if isinstance(body, str) else Named(body.name, tuple(body.addresses))


def _seconds(request: web.Request) -> float:
    text = request.query.get("timeout_s", "") or str(DEFAULT_WAIT_S)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= MAX_WAIT_S:
        raise Invalid(f'timeout_s "{text[:40]}" cannot be waited, expected 0 to {MAX_WAIT_S:g} seconds')
    return seconds
