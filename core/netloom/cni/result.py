"""The result of ADD, in the shape each version of the specification wants. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from netloom.cni.request import SUPPORTED_VERSIONS, Request

Json = dict[str, Any]


class Added(NamedTuple):
    """What an ADD made."""

    endpoint: Mapping[str, Any]
    """As the agent's API shows it."""
    gateways: Sequence[str]
    """At most one of each family."""
    mtu_bytes: int
    dns: Mapping[str, Any]


def render_added(request: Request, previous: Mapping[str, Any], made: Added) -> Json:
    """What ADD prints; extends ``prevResult`` when chained."""
    endpoint = made.endpoint
    interfaces = [
        *previous.get("interfaces", []),
        {"name": endpoint["host_ifname"], "mac": endpoint["node_mac"]},
        {"name": endpoint["ifname"], "mac": endpoint["mac"], "sandbox": request.netns},
    ]
    if request.version == "1.1.0":
        for interface in interfaces[-2:]:
            interface["mtu"] = made.mtu_bytes
    container = len(interfaces) - 1
    gateways = {_family(gateway): gateway for gateway in made.gateways}
    ips = [_ip(request.version, address, gateways, container) for address in _addresses(endpoint)]
    routes = [{"dst": _DEFAULT[_family(ip["address"])], "gw": ip["gateway"]} for ip in ips if "gateway" in ip]
    return {
        "cniVersion": request.version,
        "interfaces": interfaces,
        "ips": [*previous.get("ips", []), *ips],
        "routes": [*previous.get("routes", []), *routes],
        "dns": {**previous.get("dns", {}), **made.dns},
    }


def versions(request: Request) -> Json:
    """What VERSION prints."""
    return {"cniVersion": request.version, "supportedVersions": list(SUPPORTED_VERSIONS)}


def differences(
    request: Request, previous: Mapping[str, Any], endpoint: Mapping[str, Any], gateways: Sequence[str]
) -> tuple[str, ...]:
    """In what an endpoint is not as ``prevResult`` says; sentences. What plugins chained behind added is no fault."""
    ours = _inside(request, previous)
    if not ours:
        return (f'prevResult has no interface "{request.ifname}" in a sandbox',)
    found = []
    promised = promised_addresses(request, previous)
    actual = {_host_prefix(address) for address in _addresses(endpoint)}
    if not actual <= promised:
        found.append(f"it has {_words(actual)}, expected {_words(promised)}")
    if endpoint["state"] != "ready":
        found.append(f'its state is "{endpoint["state"]}", expected "ready"')
    found += [
        f"its MAC address is {endpoint['mac']}, expected {interface['mac']!r:.40}"
        for interface in ours.values()
        if not _same_mac(interface, endpoint["mac"])
    ]
    return (*found, *_host_side(previous, endpoint), *_gateways(request, previous, gateways))


def _host_side(previous: Mapping[str, Any], endpoint: Mapping[str, Any]) -> Iterator[str]:
    name = endpoint["host_ifname"]
    sides = [one for one in previous.get("interfaces", []) if one.get("name") == name and not one.get("sandbox")]
    if not sides:
        yield f'prevResult does not have "{name}", its interface on the node'
    for side in sides:
        if not _same_mac(side, endpoint["node_mac"]):
            yield f'the MAC address of "{name}" is {endpoint["node_mac"]}, expected {side["mac"]!r:.40}'


def _gateways(request: Request, previous: Mapping[str, Any], gateways: Sequence[str]) -> Iterator[str]:
    """Of its addresses and of the default routes."""
    promised = [ip.get("gateway") for ip in _promised(request, previous)]
    promised += [route.get("gw") for route in previous.get("routes", []) if route.get("dst") in _DEFAULT.values()]
    for wrong in sorted({f"{gateway!r:.60}" for gateway in promised if gateway not in (None, *gateways)}):
        yield f"its gateways are {', '.join(gateways)}, expected {wrong}"


def _same_mac(interface: Mapping[str, Any], mac: str) -> bool:
    """An interface may leave it out; letters are of either case."""
    return str(interface.get("mac", mac)).lower() == mac


def promised_addresses(request: Request, previous: Mapping[str, Any]) -> set[str]:
    """``address/length`` of everything that ``prevResult`` says the container's interface has."""
    return {ip.get("address", "") for ip in _promised(request, previous)}


def _promised(request: Request, previous: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those of ``ips`` that are of the container's interface."""
    ours = _inside(request, previous)
    numbered = ((ip, ip.get("interface")) for ip in previous.get("ips", []))
    return [ip for ip, interface in numbered if isinstance(interface, int) and interface in ours]


def _inside(request: Request, previous: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """Interfaces of ``prevResult`` that are the container's, by their number there."""
    return {
        index: interface
        for index, interface in enumerate(previous.get("interfaces", []))
        if interface.get("name") == request.ifname and interface.get("sandbox")
    }


_DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}


def _family(address: str) -> int:
    return 6 if ":" in address else 4


def _host_prefix(address: str) -> str:
    return f"{address}/{128 if _family(address) == 6 else 32}"


def _addresses(endpoint: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(address for address in (endpoint["ipv4"], endpoint["ipv6"]) if address)


def _ip(version: str, address: str, gateways: Mapping[int, str], interface: int) -> Json:
    family = _family(address)
    ip: Json = {"address": _host_prefix(address), "interface": interface}
    if family in gateways:
        ip["gateway"] = gateways[family]
    if version.startswith("0."):
        ip["version"] = str(family)
    return ip


def _words(addresses: set[str]) -> str:
    return " and ".join(sorted(addresses)) or "no address"
