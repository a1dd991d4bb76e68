"""The capability ``bandwidth``: limits in bits per second and bits, by CNI's conventions (CONVENTIONS.md). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from netloom.cni.errors import CniError, Code
from netloom.cni.request import wrong_kind

LEAST_RATE_BPS = 1_000
MOST_RATE_BPS = 10**15
"""What Kubernetes takes for a reasonable rate, too (pkg/util/bandwidth)."""
NO_BURST_BITS = 2**31 - 1
"""Runtimes that know rates alone (those of pod annotations) send a burst from here on: older kubelets this one,
containerd 2^32 - 1, CRI-O eight times that. It would pass gigabytes before the rate holds, and nobody asked for it."""
_KEYS = ("ingressRate", "ingressBurst", "egressRate", "egressBurst")
_ANY_CASE = {key.lower(): key for key in _KEYS}
"""containerd writes ``EgressRate``: its plugins are in Go, which takes keys of any case."""


class Limit(NamedTuple):
    """Of one direction."""

    rate_bps: int
    burst_bits: int
    """0 when none was named."""


class Limits(NamedTuple):
    """Ingress is towards the container. None for no limit."""

    ingress: Limit | None = None
    egress: Limit | None = None


def limits_of(asked: Mapping[str, Any]) -> Limits:
    """Read ``runtimeConfig.bandwidth``; raises CniError for what is no limit, or cannot be kept."""
    asked = {_ANY_CASE.get(key.lower(), key): value for key, value in asked.items()}
    for key, value in asked.items():
        if key not in _KEYS and value:
            raise CniError(
                Code.UNSUPPORTED_FIELD,
                f'runtimeConfig "bandwidth" has "{key[:40]}": {value!r:.60}, which is not known here',
                f"limits are made of {', '.join(_KEYS)}",
            )
    return Limits(_limit(asked, "ingress"), _limit(asked, "egress"))


def _limit(asked: Mapping[str, Any], direction: str) -> Limit | None:
    rate, burst = _number(asked, f"{direction}Rate"), _number(asked, f"{direction}Burst")
    if not rate and burst:
        raise wrong_kind(f"bandwidth.{direction}Burst", burst, f"no burst without {direction}Rate")
    if not rate:
        return None
    if not LEAST_RATE_BPS <= rate <= MOST_RATE_BPS:
        expected = f"{LEAST_RATE_BPS} to {MOST_RATE_BPS} bits per second, or 0 for no limit"
        raise wrong_kind(f"bandwidth.{direction}Rate", rate, expected)
    return Limit(rate, burst if burst < NO_BURST_BITS else 0)


def _number(asked: Mapping[str, Any], key: str) -> int:
    value = asked.get(key)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise wrong_kind(f"bandwidth.{key}", value, "a whole number that is not negative")
    return value
