"""Whether an attachment still is in the kernel what it was made to be. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from netloom.edge.inspection import WorkloadState
from netloom.model.address import Address
from netloom.model.endpoint import Endpoint
from netloom.plan.shaping import Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a workload must have; more addresses and routes are the business of plugins chained after ours."""

    program_id: int
    addresses: frozenset[Address]
    gateways: tuple[Address, ...]
    mtu_bytes: int
    ingress: Queue | None = None
    """On the host side. The container's own queue is no fault: what holds without it is the policer."""


def faults(endpoint: Endpoint, expected: Expectation, found: WorkloadState) -> tuple[str, ...]:
    """In what the kernel differs; sentences."""
    return (*_host_faults(endpoint, expected, found), *_inside_faults(endpoint, expected, found))


def _host_faults(endpoint: Endpoint, expected: Expectation, found: WorkloadState) -> Iterable[str]:
    name = endpoint.attachment.host_ifname
    if found.host is None:
        yield f'the host side "{name}" is gone'
        return
    if not found.host.up:
        yield f'the host side "{name}" is down'
    if found.program_id is None:
        yield f'the host side "{name}" has no program of Netloom'
    elif found.program_id != expected.program_id:
        yield f'the host side "{name}" has program {found.program_id}, expected {expected.program_id}'
    queue = found.queue
    if expected.ingress and not (queue and queue.keeps(expected.ingress)):
        kind = queue.kind if queue else "none"
        yield f'the host side "{name}" has queue {kind}, expected tbf of {expected.ingress.rate_bytes_ps} bytes/s'


def _inside_faults(endpoint: Endpoint, expected: Expectation, found: WorkloadState) -> Iterable[str]:
    name, inside = endpoint.attachment.ifname, found.inside
    if inside is None:
        yield f'the container has no interface "{name}"'
        return
    if found.host is not None and inside.peer_ifindex != found.host.ifindex:
        yield f'"{name}" in the container is not the other end of "{found.host.name}"'
    if not inside.up:
        yield f'"{name}" in the container is down'
    if inside.mac != endpoint.mac:
        yield f'"{name}" in the container has MAC address {inside.mac.hex(":")}, expected {endpoint.mac.hex(":")}'
    if inside.mtu_bytes > expected.mtu_bytes:
        yield f'"{name}" in the container has an MTU of {inside.mtu_bytes} bytes, expected {expected.mtu_bytes}'
    if not expected.addresses <= found.addresses:
        yield f'"{name}" in the container has {_words(found.addresses)}, expected {_words(expected.addresses)}'
    families = {address.version for address in endpoint.addresses}
    gateways = frozenset(gateway for gateway in expected.gateways if gateway.version in families)
    if not gateways <= found.gateways:
        yield (f'"{name}" in the container has default routes by {_words(found.gateways)}, expected {_words(gateways)}')


def _words(addresses: Collection[Address]) -> str:
    return " and ".join(sorted(map(str, addresses))) or "none"
