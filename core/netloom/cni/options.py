"""What a runtime may ask of an ADD besides an interface: each thing is done, or refused with a sentence. Pure.

Nothing is passed over in silence. A runtime sends under ``runtimeConfig`` only what the network config declares
under ``capabilities``, so an operator who wants a refusal gone takes the capability out, and knows what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from netloom.cni.bandwidth import Limits, limits_of
from netloom.cni.errors import CniError, Code
from netloom.cni.request import Request, bad_variable, objects, table, text, texts, wrong_kind
from netloom.cni.wanted import Wanted, wanted_of

ANNOTATIONS = "io.kubernetes.cri.pod-annotations"
VISIBILITY = "policy.cilium.io/proxy-visibility"
"""Annotation by which a pod's requests are made visible."""
_KNOWN_ARGUMENTS = frozenset(
    ("IP", "IgnoreUnknown", "K8S_POD_INFRA_CONTAINER_ID", "K8S_POD_NAME", "K8S_POD_NAMESPACE", "K8S_POD_UID", "MAC")
)
_LIMITED_HOW = "limits come with each pod, by the capability bandwidth"
_NOT_OURS = {
    "ipam": "addresses are given by the IPAM plugin of the node config",
    "mtu": "the MTU is that of the overlay, from the node config",
    "ipMasq": "masquerading is a setting of the node config",
    "bandwidth": _LIMITED_HOW,
    **dict.fromkeys(("ingressRate", "ingressBurst", "egressRate", "egressBurst"), _LIMITED_HOW),
}
"""Keys that other plugins know, and whoever writes them expects to do something."""
_DNS = {"nameservers": "servers", "search": "searches", "options": "options"}
"""Fields of a result's ``dns``, and what the capability ``dns`` calls them."""


class Options(NamedTuple):
    """What an ADD asks for, as far as it can be had."""

    labels: tuple[str, ...]
    """``source:key=value``."""
    pod_name: str
    pod_namespace: str
    pod_uid: str
    dns: Mapping[str, Any]
    """As a result has it."""
    limits: Limits = Limits()
    wanted: Wanted = Wanted()
    ports: tuple[tuple[str, str, int], ...] = ()
    """Name, protocol and number of ports of the container."""
    visibility: str = ""
    """The annotation VISIBILITY."""


def options_of(request: Request) -> Options:
    """Read ``args``, CNI_ARGS, ``dns`` and ``runtimeConfig``; raises CniError for what cannot be done."""
    arguments = request.arguments
    if unknown := sorted(arguments.keys() - _KNOWN_ARGUMENTS):
        _refuse_unknown_arguments(arguments, unknown)
    for key in sorted(_NOT_OURS.keys() & request.config.keys()):
        raise _not_done(f'"{key}" in the network config', _NOT_OURS[key], f'take "{key}" out of the network config')
    asked = table(request.config, "runtimeConfig")
    for name, value in asked.items():
        if value and not _is_idle(value):
            _CAPABILITIES.get(name, _refuse_unknown)(name, value)
    return Options(
        labels=(*_labels(request.config), *_labels_from_annotations(request.config, asked)),
        pod_name=arguments.get("K8S_POD_NAME", ""),
        pod_namespace=arguments.get("K8S_POD_NAMESPACE", ""),
        pod_uid=arguments.get("K8S_POD_UID", ""),
        dns=_dns(table(request.config, "dns"), table(asked, "dns")),
        limits=limits_of(table(asked, "bandwidth")),
        wanted=wanted_of(request),
        ports=_ports(request.config),
        visibility=text(table(asked, ANNOTATIONS), VISIBILITY, ""),
    )


def _refuse_unknown_arguments(arguments: Mapping[str, str], unknown: list[str]) -> None:
    """The convention of CNI_ARGS: what is not known is an error unless the runtime says otherwise."""
    if arguments.get("IgnoreUnknown", "").lower() not in ("1", "true"):
        raise bad_variable(
            "CNI_ARGS",
            ";".join(f"{key}={value}" for key, value in arguments.items()),
            f"none of {', '.join(unknown)}, which is not known here, or IgnoreUnknown=1",
        )


def _is_idle(value: object) -> bool:
    """Whether it asks for nothing: empty, zero, or made of such."""
    if isinstance(value, dict):
        return all(_is_idle(item) for item in value.values())
    return not value


def _accept(name: str, value: object) -> None:
    del name, value


def _not_done(asked_by: str, sentence: str, hint: str = "") -> CniError:
    return CniError(Code.UNSUPPORTED_FIELD, f"{asked_by} asks for what Netloom does not do: {sentence}", hint)


def _refuse(sentence: str, hint: str = "") -> Callable[[str, object], None]:
    def refuse(name: str, value: object) -> None:
        del value
        raise _not_done(
            f'runtimeConfig "{name}"',
            sentence,
            hint or f'take "{name}" out of "capabilities" in the network config: it is then not asked for',
        )

    return refuse


_refuse_unknown = _refuse("it is not known here")
_refuse_port_mappings = _refuse(
    "ports of the host",
    'chain the plugin "portmap" after netloom-cni, with the capability in its section of the network config '
    "and not in netloom-cni's",
)


def _check_port_mappings(name: str, value: object) -> None:
    """A port of the container that nobody wants on the host is no request. containerd writes ``HostPort``."""
    mappings = objects({name: value}, name)
    if any(port for mapping in mappings for key, port in mapping.items() if key.lower() == "hostport"):
        _refuse_port_mappings(name, value)


_CAPABILITIES: Mapping[str, Callable[[str, Any], None]] = {
    "dns": _accept,
    "labels": _accept,
    "cgroupPath": _accept,
    ANNOTATIONS: _accept,
    "bandwidth": _accept,
    "ips": _accept,
    "ipRanges": _refuse("addresses are given by the IPAM plugin from its own prefixes"),
    "mac": _accept,
    "portMappings": _check_port_mappings,
}


def _labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    """``args.cni.labels`` and ``runtimeConfig.labels``: lists of ``{"key", "value"}``.

    A key without source is Kubernetes'.
    """
    given = objects(table(table(config, "args"), "cni"), "labels") + objects(table(config, "runtimeConfig"), "labels")
    return tuple(_label(text(label, "key", ""), text(label, "value", "")) for label in given)


def _ports(config: Mapping[str, Any]) -> tuple[tuple[str, str, int], ...]:
    """``args.cni.ports``: a list of ``{"name", "containerPort", "protocol"}``, as Kubernetes writes a container's."""
    given = objects(table(table(config, "args"), "cni"), "ports")
    return tuple(
        (text(port, "name", ""), text(port, "protocol", "TCP"), _number(port, "containerPort"))
        for port in given
        if port.get("name")
    )


def _number(port: Mapping[str, Any], key: str) -> int:
    found = port.get(key)
    if not isinstance(found, int) or isinstance(found, bool):
        raise wrong_kind(key, found, "a whole number from 1 to 65535")
    return found


def _labels_from_annotations(config: Mapping[str, Any], asked: Mapping[str, Any]) -> tuple[str, ...]:
    """Only those that the network config names: each set of labels is an identity, and annotations are many."""
    wanted = config.get("labelAnnotations") or []
    if not isinstance(wanted, list) or not all(isinstance(key, str) for key in wanted):
        raise wrong_kind("labelAnnotations", wanted, "a list of names of annotations")
    annotations = table(asked, ANNOTATIONS)
    return tuple(_label(key, text(annotations, key, "")) for key in wanted if key in annotations)


def _label(key: str, value: str) -> str:
    source = "" if ":" in key else "k8s:"
    return f"{source}{key}={value}"


def _dns(configured: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The network config's, with every list that the runtime gives in place of its own."""
    found = {key: texts("dns", configured, key) for key in _DNS}
    found |= {key: given for key, name in _DNS.items() if (given := texts("dns", asked, name))}
    dns: dict[str, Any] = {key: value for key, value in found.items() if value}
    if domain := text(configured, "domain", ""):
        dns["domain"] = domain
    return dns
