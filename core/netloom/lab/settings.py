"""The ``lab`` section of a config given to ``netctl lab up``: what to make, apart from the nodes' settings. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import yaml

from netloom.config.annotations import Doc, Length, Pattern, Range
from netloom.config.document import compose
from netloom.config.schema import Reader
from netloom.lab import topology
from netloom.lab.node_config import Tree, parse_settings
from netloom.lab.racks import DEFAULT_ASN, DEFAULT_UPLINKS, MAX_RACKS, MAX_UPLINKS, RackSpec
from netloom.lab.topology import LabSpec
from netloom.model.errors import Invalid

SECTION = "lab"


@dataclass(frozen=True, slots=True, kw_only=True)
class RackSettings:
    """``lab.racks``, one of them."""

    name: Annotated[
        str,
        Pattern("[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?", "1 to 15 of a-z, 0-9 and inner hyphens"),
        Doc("Every node of the rack has it as its label rack."),
    ]
    nodes: Annotated[int, Range(1, topology.MAX_NODES), Doc("How many nodes stand in it.")] = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LabSettings:
    """``lab``: what kind of cluster to make."""

    nodes: Annotated[int | None, Range(1, topology.MAX_NODES), Doc("How many nodes; unset: 2, or as racks say.")] = None
    pods_per_node: Annotated[int, Range(0, topology.MAX_PODS_PER_NODE), Doc("How many pods on each node.")] = (
        topology.DEFAULT_PODS_PER_NODE
    )
    racks: Annotated[
        tuple[RackSettings, ...],
        Length(0, MAX_RACKS),
        Doc("A router (FRR) for each; a route reflector (BIRD) between them. Without racks: one bridge for all nodes."),
    ] = ()
    uplinks: Annotated[int, Range(1, MAX_UPLINKS), Doc("Cables from each node to its rack's router.")] = DEFAULT_UPLINKS
    asn: Annotated[
        int, Range(1, 4294967294), Doc("Autonomous system of the racks' routers and of the route reflector.")
    ] = DEFAULT_ASN

    def __post_init__(self) -> None:
        names = [rack.name for rack in self.racks]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"rack {', '.join(twice)} more than once in lab.racks")
        if self.racks and self.nodes is not None:
            raise ValueError("both lab.nodes and lab.racks, which say how many nodes there are")
        if (inside := sum(rack.nodes for rack in self.racks)) > topology.MAX_NODES:
            raise ValueError(f"{inside} nodes in lab.racks, of at most {topology.MAX_NODES}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line says; None where it leaves that open."""

    name: str
    nodes: int | None = None
    pods_per_node: int | None = None


def read(text: str, file: str) -> tuple[LabSettings, Tree]:
    """The ``lab`` section, and the settings of every node. Raises Invalid, ConfigError with all problems."""
    settings = parse_settings(text, file)
    reader = Reader(file)
    section = reader.section(LabSettings, _section(text, file), SECTION)
    reader.finish()
    rest: Mapping[str, Any] = {key: value for key, value in settings.items() if key != SECTION}
    return section or LabSettings(), rest


def spec_of(asked: Asked, section: LabSettings, file: str) -> LabSpec:
    """The lab both ask for, where the command line has the last word. Raises Invalid where that cannot be."""
    if section.racks and asked.nodes is not None:
        raise Invalid(
            f"--nodes {asked.nodes} and lab.racks of {file} both say how many nodes there are: leave out the option, "
            "or change nodes of the racks"
        )
    in_racks = sum(rack.nodes for rack in section.racks)
    return LabSpec(
        name=asked.name,
        nodes=in_racks or asked.nodes or section.nodes or topology.DEFAULT_NODES,
        pods_per_node=section.pods_per_node if asked.pods_per_node is None else asked.pods_per_node,
        racks=tuple(RackSpec(name=rack.name, nodes=rack.nodes) for rack in section.racks),
        uplinks=section.uplinks,
        asn=section.asn,
    )


def _section(text: str, file: str) -> yaml.Node | None:
    root = compose(text, file)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    return next((value for key, value in pairs if getattr(key, "value", None) == SECTION), None)
