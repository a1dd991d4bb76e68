"""Random policies, identities and packets, out of pools so small that they overlap nearly always."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import strategies as st

from netloom.model.address import Network, parse_network
from netloom.model.identity import IdentityId
from netloom.model.policy import (
    CidrPeer,
    EndpointPeer,
    Entity,
    EntityPeer,
    Entry,
    Icmp,
    Operator,
    Origin,
    Policy,
    PolicyKind,
    PolicyName,
    Ports,
    Protocol,
    RequestRule,
    Requests,
    Requirement,
    Rule,
    Section,
    Selector,
)
from netloom.policy.repository import Repository
from support.policy_oracle import Packet, Peerage, Standing, labels, select

NETWORKS = tuple(
    map(
        parse_network,
        (
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.1.0/24",
            "10.1.1.4/30",
            "10.1.1.5/32",
            "10.2.0.0/16",
            "192.0.2.0/24",
            "::/0",
            "fd00::/8",
            "fd00:1::/32",
            "fd00:1::5/128",
        ),
    )
)
ADDRESSES = tuple(
    map(
        ip_address,
        (
            "10.1.1.5",
            "10.1.1.6",
            "10.1.1.9",
            "10.1.9.9",
            "10.2.0.1",
            "10.9.9.9",
            "192.0.2.1",
            "198.51.100.1",
            "fd00:1::5",
            "fd00:1::6",
            "fd00:2::1",
            "2001:db8::1",
        ),
    )
)
POOL = {
    IdentityId(256 + number): labels(f"k8s:app={app}", f"k8s:ns={namespace}", *extra)
    for number, (app, namespace, extra) in enumerate(
        [("a", "x", ()), ("b", "x", ()), ("c", "x", ("any:tier=db",)), ("a", "y", ()), ("b", "y", ("k8s:tier=db",))]
    )
}
UNKNOWN = 4711
"""No policy can know it."""
PORTS = (0, 1, 53, 79, 80, 81, 443, 1023, 1024, 8080, 65535)
NAMES = ("http", "dns")
RULES = ('"a"', '"b"', '"c"')
"""About requests that are one of these letters, or "d"."""

requirements = st.one_of(
    st.builds(
        Requirement,
        st.sampled_from(["k8s", "any"]),
        st.sampled_from(["app", "ns", "tier"]),
        st.sampled_from([Operator.IN, Operator.IN, Operator.NOT_IN]),
        st.lists(st.sampled_from(["a", "b", "x", "y", "db"]), min_size=1, max_size=3, unique=True).map(
            lambda values: tuple(sorted(values))
        ),
    ),
    st.builds(
        Requirement,
        st.sampled_from(["k8s", "any"]),
        st.sampled_from(["app", "ns", "tier"]),
        st.sampled_from([Operator.EXISTS, Operator.DOES_NOT_EXIST]),
    ),
    st.builds(Requirement, st.just("reserved"), st.sampled_from(["host", "world"]), st.just(Operator.EXISTS)),
)
selectors = st.lists(requirements, max_size=2, unique=True).map(lambda found: Selector(tuple(sorted(found))))


@st.composite
def cidr_peers(draw: st.DrawFn) -> CidrPeer:
    network: Network = draw(st.sampled_from(NETWORKS))
    inside = [one for one in NETWORKS if one.version == network.version and _inside(one, network)]
    fewest = draw(st.integers(0, 1)) if inside else 0
    excepts = draw(st.lists(st.sampled_from(inside), min_size=fewest, max_size=2, unique=True)) if inside else []
    return CidrPeer(network, tuple(excepts), draw(st.booleans()))


def _inside(one: Network, other: Network) -> bool:
    return one != other and one.network_address in other and one.prefixlen >= other.prefixlen


peers = st.one_of(
    st.builds(EndpointPeer, selectors),
    st.sampled_from([EndpointPeer(select(app="a")), EndpointPeer(select(ns="x")), EndpointPeer(Selector())]),
    cidr_peers(),
    cidr_peers(),
    st.builds(EntityPeer, st.sampled_from(Entity)),
)
protocols = st.sampled_from(Protocol)
services = st.one_of(
    st.builds(lambda protocol, port: Ports(protocol, port, port), protocols, st.sampled_from(PORTS)),
    st.builds(
        lambda protocol, pair: Ports(protocol, min(pair), max(pair)),
        protocols,
        st.tuples(st.sampled_from(PORTS), st.sampled_from(PORTS)),
    ),
    st.builds(lambda protocol, name: Ports(protocol, name=name), protocols, st.sampled_from(NAMES)),
    st.builds(Ports, protocols),
    st.builds(Icmp, st.sampled_from([4, 6]), st.sampled_from([0, 8, 80, 128])),
)
origins = st.builds(Origin, st.just("policies.yaml"), st.integers(1, 4), st.just("spec"))
some_peers = st.lists(peers, min_size=1, max_size=3).map(tuple)
some_services = st.lists(services, min_size=1, max_size=3).map(tuple)
entry_peers = st.one_of(some_peers, some_peers, some_peers, st.none(), st.just(()))
_PLACE = Origin("policies.yaml", 1, "rules")
REQUESTS = tuple(
    Requests("http", ports, tuple(RequestRule(text, _PLACE) for text in texts), _PLACE)
    for ports in (
        (Ports(Protocol.TCP, 80, 80),),
        (Ports(Protocol.TCP, 79, 81), Ports(Protocol.TCP, 8080, 8080)),
        (Ports(Protocol.TCP, name="http"),),
        (Ports(Protocol.TCP, name="dns"), Ports(Protocol.TCP, 53, 53)),
    )
    for texts in ((), RULES[:1], RULES[1:])
)
some_requests = st.sampled_from([*((one,) for one in REQUESTS), REQUESTS[1::3], REQUESTS[:3]])
plain_entries = st.builds(
    Entry,
    entry_peers,
    st.one_of(some_services, some_services, st.none(), st.none(), st.just(())),
    origins,
)
denied_requests = st.sampled_from([*((one,) for one in REQUESTS if one.rules), REQUESTS[1::3], REQUESTS[1:3]])
"""Without rules they would deny nothing: such policies are refused."""
allowing = st.one_of(
    plain_entries,
    plain_entries,
    st.builds(Entry, entry_peers, some_services | st.just(()), origins, some_requests),
)
denying = st.one_of(
    plain_entries,
    plain_entries,
    st.builds(Entry, entry_peers, some_services | st.just(()), origins, denied_requests),
)
sections = st.builds(
    Section,
    st.none() | st.lists(allowing, min_size=1, max_size=3).map(tuple),
    st.none() | st.lists(denying, max_size=1).map(tuple),
    st.sampled_from([True, True, False]),
)
subjects = st.one_of(st.just(Selector()), st.just(select(ns="x")), selectors)
"""Mostly wide: a rule that selects nobody tests nothing."""
rules = st.builds(Rule, subjects, sections, sections, origins)
policy_names = st.builds(
    PolicyName, st.just(PolicyKind.CILIUM), st.just("x"), st.sampled_from(["one", "two", "three", "four"])
)
policies = st.builds(
    Policy, policy_names, st.lists(rules, min_size=1, max_size=2).map(tuple), st.sampled_from([False, False, True])
)
named_ports = st.dictionaries(
    st.sampled_from(NAMES),
    st.frozensets(
        st.tuples(st.sampled_from([Protocol.TCP, Protocol.UDP]), st.sampled_from([53, 80, 8080])),
        min_size=1,
        max_size=2,
    ),
    max_size=2,
)
identity_numbers = st.sampled_from(sorted(POOL))
standings = st.builds(
    Standing,
    st.lists(policies, min_size=1, max_size=4, unique_by=lambda one: one.name).map(
        lambda found: {one.name: one for one in found}
    ),
    st.sets(identity_numbers, min_size=3).map(lambda found: {number: POOL[number] for number in found}),
    st.dictionaries(identity_numbers, named_ports, max_size=3),
    st.booleans(),
)
packets = st.one_of(
    st.builds(Packet, st.sampled_from([6, 17, 132]), st.sampled_from(PORTS) | st.integers(0, 65535)),
    st.builds(Packet, st.sampled_from([1, 58]), st.sampled_from([0, 8, 80, 128])),
    st.builds(Packet, st.sampled_from([4, 47]), st.just(0)),
)
remotes = st.builds(
    Peerage,
    st.sampled_from([2, 2, 2, 2, 1, 6, 7, 9, 10, UNKNOWN, *POOL]),
    st.sampled_from([*ADDRESSES, None]),
)


def repository_of(standing: Standing, *subjects: IdentityId) -> Repository:
    """What an agent has of such a world, with these of its identities on its node."""
    made = Repository(allow_host=standing.allow_host)
    made.add_subjects(*subjects)
    made.add_identities(standing.identities)
    for identity, names in standing.names.items():
        made.set_named_ports(identity, names)
    made.upsert(*standing.policies.values())
    return made
