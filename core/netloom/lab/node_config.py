"""The config file of a lab's node: the user's settings, and those by which nodes differ. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from netloom.lab.topology import LabNode, Topology
from netloom.lab.underlay import DEVICE
from netloom.model.errors import Invalid

Tree = Mapping[str, Any]
"""Settings as read from YAML: text keys, any values."""


DEFAULTS: Tree = {"maps": {"connections_tcp": 16384, "connections_any": 8192}}
"""What a lab's nodes have unless they are told otherwise: they share the memory of one machine."""


def parse_settings(text: str, file: str) -> Tree:
    """Settings for every node; raises Invalid unless the text is a YAML mapping. The agent checks what is in it."""
    try:
        settings = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Invalid(f"{file} is not YAML: {error}") from error
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise Invalid(f"{file} holds a {type(settings).__name__}, expected a mapping of settings")
    return settings


def render(topology: Topology, node: LabNode, settings: Tree) -> str:
    """YAML of one node's config; raises Invalid when ``settings`` names something that only the lab can know."""
    own = _own(topology, node)
    if clash := _common(settings, own):
        raise Invalid(f'setting "{clash}" cannot be given to a lab: the lab sets it for each node itself')
    return yaml.safe_dump(merge(merge(DEFAULTS, settings), own), sort_keys=False)


def merge(base: Tree, over: Tree) -> dict[str, Any]:
    """Both trees in one; where both have a value that is no mapping, that of ``over`` stands."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged


def _own(topology: Topology, node: LabNode) -> dict[str, Any]:
    files = topology.files
    return {
        "node": {"name": node.name, "underlay_device": DEVICE, **_in_rack(node)},
        "paths": {
            "run_dir": str(files.run_dir),
            "state_dir": str(files.state_dir),
            "bpf_dir": str(files.bpf_dir),
        },
        "plugins": {
            "hostscope": {"pod_cidrs": [str(node.pod_cidr_v4), str(node.pod_cidr_v6)]},
            "local": {"path": str(files.store)},
        },
    }


def _in_rack(node: LabNode) -> dict[str, Any]:
    """What a node behind several cables must be told: which they are, and its address, which stands on none of them."""
    if not node.cables:
        return {}
    return {
        "uplinks": [cable.device for cable in node.cables[1:]],
        "underlay_ipv4": str(node.ipv4.ip),
        "underlay_ipv6": str(node.ipv6.ip),
        "labels": {"name": node.name, "rack": node.rack},
    }


def _common(left: Tree, right: Tree, above: str = "") -> str:
    """Dotted name of the first value both trees have; "" when there is none."""
    for key in left.keys() & right.keys():
        name = f"{above}{key}"
        if isinstance(left[key], Mapping) and isinstance(right[key], Mapping):
            if found := _common(left[key], right[key], f"{name}."):
                return found
        else:
            return name
    return ""
