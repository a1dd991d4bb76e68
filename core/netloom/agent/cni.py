"""CNI calls as the agent answers them: the whole meaning of a call, from the runtime's words to what is printed.

The program that the runtime runs (:mod:`netloom.cni`, or its compiled relay) only carries a call here.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import TYPE_CHECKING, Any, NamedTuple

from netloom.agent import views
from netloom.agent.endpoint_changes import check_sources
from netloom.agent.endpoints import AttachRequest
from netloom.cni.bandwidth import Limit
from netloom.cni.errors import CniError, Code, render_error
from netloom.cni.frame import unpack
from netloom.cni.options import Options, options_of
from netloom.cni.request import Request, parse, previous_of, valid_attachments, version_of
from netloom.cni.result import Added, differences, promised_addresses, render_added, versions
from netloom.model.address import Address
from netloom.model.bandwidth import Bandwidth, RateLimit
from netloom.model.endpoint import Attachment, Endpoint
from netloom.model.errors import Conflict, Exhausted, Invalid, NetloomError, NotFound, StoreError, Unavailable
from netloom.model.labels import NAMESPACE_KEY, Label, Labels, label_set
from netloom.model.ports import NamedPort
from netloom.model.visibility import Visibility, visibility_of
from netloom.plan.shaping import default_burst_bits
from netloom.plugins.contract import PoolStatus

if TYPE_CHECKING:
    from netloom.agent.core import Agent

_CODES: tuple[tuple[type[NetloomError], Code], ...] = (
    (Invalid, Code.INVALID_ENVIRONMENT),
    (NotFound, Code.CONTAINER_UNKNOWN),
    (Conflict, Code.CONFLICT),
    (Exhausted, Code.EXHAUSTED),
    (Unavailable, Code.TRY_AGAIN_LATER),
    (StoreError, Code.TRY_AGAIN_LATER),
    (NetloomError, Code.AGENT_FAILED),
)


class Answer(NamedTuple):
    """How the program that the runtime runs must end."""

    exit_status: int
    output: bytes
    """For standard output."""


@dataclass(frozen=True, slots=True)
class _Patience:
    """How long somebody waits for an answer."""

    deadline_ms: int | None

    @classmethod
    def until(cls, text: str) -> _Patience:
        if not text:
            return cls(None)
        if not (text.isascii() and text.isdecimal() and len(text) < 19):
            raise CniError(Code.IO_FAILURE, f'the call has "{text[:40]}" as deadline, expected milliseconds')
        return cls(int(text))

    @property
    def is_over(self) -> bool:
        return self.deadline_ms is not None and time.monotonic() * 1000 > self.deadline_ms

    def check(self) -> None:
        """Raises CniError when nobody waits any more, for the log of whoever still listens."""
        if self.is_over:
            raise CniError(Code.TRY_AGAIN_LATER, "the agent was too late: nothing was attached, try again")


class CniCalls:
    """Answers the calls of the runtimes of one node. Calls for different attachments run side by side."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._commands: Mapping[str, Callable[[Request], Awaitable[Any]]] = {
            "ADD": self._add,
            "DEL": self._delete,
            "CHECK": self._check,
            "GC": self._collect_garbage,
            "STATUS": self._status,
            "VERSION": self._version,
        }

    async def answer(self, frame: bytes, deadline: str = "") -> Answer:
        """Carry out a call; every error is an answer.

        ``deadline``: what stood under DEADLINE_HEADER, "" for none. An ADD that nobody waits for any more (an agent
        that was stopped for a while finds such calls) is not begun, or undone: its runtime was told to try again.
        """
        stdin = b""
        try:
            patience = _Patience.until(deadline)
            environment, stdin = unpack(frame)
            request = parse(environment, stdin)
            if request.command == "ADD":
                patience.check()
            view = await self._commands[request.command](request)
            if request.command == "ADD" and patience.is_over:
                await self._agent.detachments.detach(_attachment(request))
                patience.check()
        except CniError as error:
            return Answer(1, render_error(error, version_of(stdin)))
        except NetloomError as error:
            code = next(code for kind, code in _CODES if isinstance(error, kind))
            return Answer(1, render_error(CniError(code, str(error)), version_of(stdin)))
        return Answer(0, b"" if view is None else json.dumps(view).encode() + b"\n")

    async def _add(self, request: Request) -> Any:
        self._agent.require_ready()
        previous, options = previous_of(request), options_of(request)
        wanted = _attach_request(request, options)
        await self._agent.detachments.settle(wanted.attachment)
        endpoint = await self._agent.endpoints.attach(wanted)
        made = Added(
            endpoint=views.endpoint_view(endpoint),
            gateways=views.plain(self._agent.node.gateways),
            mtu_bytes=self._agent.mtu_bytes,
            dns=options.dns,
        )
        return render_added(request, previous, made)

    async def _delete(self, request: Request) -> None:
        """A container must be able to go away whatever state we are in."""
        if self._agent.is_ready:
            await self._agent.detachments.detach(_attachment(request))
        else:
            self._agent.detachments.remember(request)

    async def _check(self, request: Request) -> None:
        self._agent.require_ready()
        previous = previous_of(request)
        if not previous:
            raise CniError(Code.INVALID_CONFIG, "CHECK came without prevResult, expected the result of the ADD")
        endpoint = self._agent.endpoints.of_attachment(request.key)
        gateways = views.plain(self._agent.node.gateways)
        problems = differences(request, previous, views.endpoint_view(endpoint), gateways)
        addresses = _parsed(promised_addresses(request, previous))
        problems += await self._agent.datapath.condition_of(endpoint, request.netns, addresses)
        if problems:
            raise CniError(Code.CHANGED, f"container {request.key} is not as it was attached: {'; '.join(problems)}")

    async def _collect_garbage(self, request: Request) -> None:
        """What cannot be removed keeps nobody from removing the rest."""
        self._agent.require_ready()
        valid = valid_attachments(request)
        stale = [item for item in self._agent.endpoints.of_network(request.network) if item.attachment.key not in valid]
        failures = [text for text in await asyncio.gather(*map(self._try_to_detach, stale)) if text]
        if failures:
            raise CniError(
                Code.GARBAGE_LEFT,
                f"{len(failures)} of {len(stale)} attachments that nobody needs could not be removed: "
                + "; ".join(failures),
            )

    async def _try_to_detach(self, endpoint: Endpoint) -> str:
        """Why it could not be; "" when it was."""
        try:
            await self._agent.detachments.detach(endpoint.attachment)
        except NetloomError as error:
            return f"{endpoint.attachment.key}: {error}"
        return ""

    async def _status(self, request: Request) -> None:
        """A store that is away does not count: most ADDs succeed without it, and a runtime may give up the node."""
        del request
        try:
            self._agent.require_ready()
        except Unavailable as error:
            raise CniError(Code.NOT_AVAILABLE, str(error)) from error
        if full := full_families(await self._agent.refresh_pools()):
            raise CniError(Code.NOT_AVAILABLE, f"no {' and no '.join(full)} address of this node is free")

    async def _version(self, request: Request) -> Any:
        return versions(request)


def full_families(pools: Iterable[PoolStatus]) -> list[str]:
    """The IP versions of which a node has no address left; a workload gets one of each. Pure."""
    free: dict[int, int] = {}
    for pool in pools:
        free[pool.prefix.version] = free.get(pool.prefix.version, 0) + pool.capacity - pool.used
    return [f"IPv{version}" for version, count in sorted(free.items()) if count <= 0]


def _attachment(request: Request) -> Attachment:
    return Attachment(container_id=request.container_id, ifname=request.ifname, netns=request.netns)


def _attach_request(request: Request, options: Options) -> AttachRequest:
    return AttachRequest(
        attachment=_attachment(request),
        labels=_labels(options),
        ports=_ports(options),
        visibility=_visibility(options),
        pod_name=options.pod_name,
        pod_namespace=options.pod_namespace,
        pod_uid=options.pod_uid,
        network=request.network,
        addresses=options.wanted.addresses,
        mac=options.wanted.mac,
        bandwidth=Bandwidth(ingress=_rate_limit(options.limits.ingress), egress=_rate_limit(options.limits.egress)),
    )


def _rate_limit(limit: Limit | None) -> RateLimit | None:
    if limit is None:
        return None
    return RateLimit(rate_bps=limit.rate_bps, burst_bits=limit.burst_bits or default_burst_bits(limit.rate_bps))


def _parsed(addresses: Iterable[str]) -> list[Address]:
    try:
        return [ip_interface(text).ip for text in addresses]
    except ValueError as error:
        raise CniError(Code.INVALID_CONFIG, f'"prevResult" has an address that is none: {error}') from error


def _ports(options: Options) -> tuple[NamedPort, ...]:
    try:
        return tuple(NamedPort.of(*port) for port in options.ports)
    except Invalid as error:
        raise CniError(Code.INVALID_CONFIG, str(error)) from error


def _visibility(options: Options) -> tuple[Visibility, ...]:
    try:
        return visibility_of(options.visibility)
    except Invalid as error:
        raise CniError(Code.INVALID_CONFIG, str(error), "mend the annotation, or take it off the pod") from error


def _labels(options: Options) -> Labels:
    """The namespace is a label, the pod's name and number are none: each pod would have an identity of its own."""
    try:
        labels = label_set(options.labels)
        check_sources(labels)
        return labels | {Label("k8s", NAMESPACE_KEY, options.pod_namespace)} if options.pod_namespace else labels
    except Invalid as error:
        raise CniError(Code.INVALID_CONFIG, str(error)) from error
