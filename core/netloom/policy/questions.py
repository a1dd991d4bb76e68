"""What people ask about: the ends of a packet and its service, from words. Pure.

An end is one of what :data:`FORMS` names. Labels may be those of nobody: then they are an identity that could be, and
the answer is what policies would say of it. A prefix may hold addresses that policies tell apart: then it is several
ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final

from netloom.model.address import Address, Family, Network
from netloom.model.errors import Invalid, NotFound
from netloom.model.identity import FIRST_CLUSTER_ID, LAST_CLUSTER_ID, IdentityId, Reserved
from netloom.model.labels import NAMESPACE_KEY, Labels, label_set
from netloom.model.policy import Protocol
from netloom.policy.cidrs import regions
from netloom.policy.explain import End
from netloom.policy.ports import ICMP, ICMPV6, LAST_PORT, SCTP, TCP, UDP
from netloom.policy.repository import Repository
from netloom.policy.selection import is_reserved

FORMS: Final = (
    "a pod, namespace/pod, ep:NUMBER, id:NUMBER, labels such as k8s:app=web,k8s:tier=db, an address, a prefix, host, "
    "world or another reserved name"
)
SOMEWHERE: Final[Mapping[int, Address]] = {4: ip_address("203.0.113.1"), 6: ip_address("2001:db8::1")}
"""Who stands for the world: addresses set aside for documentation (RFC 5737, RFC 3849), so nobody's."""
MAX_REGIONS: Final = 64
"""Ends that one prefix may be."""
PROTOCOLS: Final[Mapping[str, int]] = {"tcp": TCP, "udp": UDP, "sctp": SCTP, "icmp": ICMP, "icmp6": ICMPV6}
_LAST: Final = {ICMP: 255, ICMPV6: 255}
_FAMILY_OF: Final[Mapping[int, Family]] = {ICMP: 4, ICMPV6: 6}
_RESERVED: Final = {item.label.key: item for item in Reserved if item is not Reserved.UNKNOWN}

Service = tuple[int, int]
"""IP protocol number, and port or type of ICMP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """An endpoint, as words may mean it."""

    name: str
    """``namespace/name``; "" when it is no pod."""
    number: int
    identity: IdentityId
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What words are looked up in."""

    pods: tuple[Pod, ...]
    """Of this node."""
    gateways: tuple[Address, ...]
    """The addresses by which pods know this node."""
    identity_at: Callable[[Address], int]
    """Who has an address, as the data path looks it up; 0: nobody knows."""
    repository: Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """One end, found."""

    name: str
    identity: IdentityId
    addresses: tuple[Address, ...] = ()
    labels: Labels | None = None
    """Of an identity that does not exist and shall for the question; its number is nobody's."""
    notes: tuple[str, ...] = ()

    def at(self, family: Family) -> Address | None:
        """Its address of a family."""
        return next((one for one in self.addresses if one.version == family), None)

    def end(self, family: Family) -> End:
        """As a packet of a family has it."""
        return End(self.identity, self.at(family))


def find_party(text: str, known: Known) -> tuple[Party, ...]:  # noqa: PLR0911 - a list of forms
    """Who is meant. Raises Invalid for what cannot be read, NotFound for who is not there."""
    text = text.strip()
    if not text or len(text) > 4096:
        raise Invalid(f'"{text[:60]}" is no end of a packet; expected {FORMS}')
    if text.startswith("id:"):
        return (_by_number(text, known),)
    if text.startswith("ep:"):
        return (_by_endpoint(text, known),)
    if (address := parsed_address(text)) is not None:
        return (at_addresses(str(address), (address,), known),)
    if (network := _network(text)) is not None:
        return tuple(_inside(network, known))
    name = text.removeprefix("reserved:")
    if name in _RESERVED:
        return (_reserved(_RESERVED[name], known),)
    if any(char in text for char in "=:,"):
        return (_labelled(text, known),)
    return (_pod(text, known),)


def at_addresses(name: str, addresses: tuple[Address, ...], known: Known) -> Party:
    """Whoever has these addresses, which are of one owner."""
    owner = next((pod for pod in known.pods if addresses[0] in pod.addresses), None)
    identity = IdentityId(known.identity_at(addresses[0]))
    if owner is not None and owner.name and name == str(addresses[0]):
        name = f"{name} ({owner.name})"
    notes = (f"nobody knows yet who has {addresses[0]}",) if not identity else ()
    return Party(name=name, identity=identity, addresses=addresses, notes=notes)


def read_service(text: str, names: Mapping[str, frozenset[tuple[Protocol, int]]] | None = None) -> tuple[Service, ...]:
    """``80/tcp``, ``80`` (TCP), ``8/icmp``, ``128/icmp6``, or the name of a port among ``names``. Raises Invalid."""
    number, slash, word = text.strip().lower().partition("/")
    protocol = PROTOCOLS.get(word or ("" if slash else "tcp"))
    if protocol is None:
        raise Invalid(f'"{text[:60]}" has no protocol that is known; expected PORT/{"|".join(PROTOCOLS)}')
    last = _LAST.get(protocol, LAST_PORT)
    if number.isascii() and number.isdigit():
        if len(number) > 5 or not (0 if protocol in _LAST else 1) <= int(number) <= last:
            expected = f"a type from 0 to {last}" if protocol in _LAST else f"a port from 1 to {last}"
            raise Invalid(f'"{text[:60]}" has {number[:20]}, expected {expected}')
        return ((protocol, int(number)),)
    if names is None or protocol in _LAST or not number:
        raise Invalid(f'"{text[:60]}" is no service; expected PORT, PORT/PROTOCOL or TYPE/icmp, as in 80/tcp')
    kinds = {TCP: Protocol.TCP, UDP: Protocol.UDP, SCTP: Protocol.SCTP}
    ports = sorted(port for kind, port in names.get(number, ()) if kind is kinds[protocol])
    if not ports:
        listed = ", ".join(sorted(names)) or "none"
        raise NotFound(f'the destination has no {word or "tcp"} port "{number[:60]}"; names of its ports: {listed}')
    return tuple((protocol, port) for port in ports)


def family_for(service: Service, parties: Iterable[Party], wanted: Family | None) -> Family:
    """Of the packet: ICMP has its own, addresses leave none to choose. Raises Invalid when they do not go together."""
    parties = tuple(parties)
    possible: list[Family] = [4, 6]
    for party in parties:
        if party.addresses:
            possible = [one for one in possible if party.at(one) is not None]
    asked = _FAMILY_OF.get(service[0], wanted)
    if asked is None and possible:
        return possible[0]
    if asked is None or (asked not in possible):
        ends = " and ".join(party.name for party in parties)
        what = f"an IPv{asked} packet" if asked else "one packet"
        raise Invalid(f"{what} cannot go between {ends}: their addresses are of another family")
    return asked


def parsed_address(text: str) -> Address | None:
    """An address; one of IPv4 in IPv6's form means IPv4, as sockets take it."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _network(text: str) -> Network | None:
    """A prefix; None when it is none at all."""
    head, slash, _ = text.partition("/")
    if not slash or parsed_address(head) is None:
        return None
    try:
        loose = ip_network(text, strict=False)
    except ValueError as error:
        raise Invalid(f'"{text[:60]}" is no prefix: {error}') from error
    if str(loose.network_address) != str(ip_address(head)):
        raise Invalid(f'prefix "{text[:60]}" has host bits; expected {loose}')
    return loose


def _inside(network: Network, known: Known) -> Iterator[Party]:
    """A prefix as the world's; one end for each part of it that policies tell from the others."""
    if network.num_addresses == 1:
        yield at_addresses(str(network.network_address), (network.network_address,), known)
        return
    found = regions(network, known.repository.prefixes())
    if len(found) > MAX_REGIONS:
        raise Invalid(
            f"policies tell {len(found)} parts of {network} apart, at most {MAX_REGIONS} are asked about at once"
        )
    for address in found:
        name = str(network) if len(found) == 1 else f"{network} at {address}"
        notes = (f"policies tell {len(found)} parts of {network} apart",) if len(found) > 1 else ()
        yield Party(name=name, identity=IdentityId(Reserved.WORLD), addresses=(address,), notes=notes)


def _reserved(which: Reserved, known: Known) -> Party:
    addresses: tuple[Address, ...] = ()
    if which is Reserved.HOST:
        addresses = known.gateways
    elif which in (Reserved.WORLD, Reserved.WORLD_IPV4, Reserved.WORLD_IPV6):
        families = {Reserved.WORLD_IPV4: (4,), Reserved.WORLD_IPV6: (6,)}.get(which, (4, 6))
        addresses = tuple(SOMEWHERE[family] for family in families)
        # Programs know the world by one identity; the family shows in addresses.
        which = Reserved.WORLD
    return Party(name=which.label.key, identity=IdentityId(which), addresses=addresses)


def _by_number(text: str, known: Known) -> Party:
    number = text.removeprefix("id:")
    if not (number.isascii() and number.isdigit() and len(number) <= 10):
        raise Invalid(f'"{text[:60]}" is no identity; expected id:NUMBER')
    labels = known.repository.labels_of(int(number))
    if labels is None:
        raise NotFound(f"identity {number} is not known; see `netctl identity list`")
    if is_reserved(labels):
        return _reserved(Reserved(int(number)), known)
    return _with_identity(text, IdentityId(int(number)), known)


def _with_identity(name: str, identity: IdentityId, known: Known) -> Party:
    """With the addresses of one of its endpoints, if there is one here."""
    pod = next((pod for pod in known.pods if pod.identity == identity), None)
    notes = () if pod else (f"no endpoint of {name} is on this node, so prefixes say nothing of it here",)
    return Party(name=name, identity=identity, addresses=pod.addresses if pod else (), notes=notes)


def _by_endpoint(text: str, known: Known) -> Party:
    for pod in known.pods:
        if text == f"ep:{pod.number}":
            return Party(name=pod.name or text, identity=pod.identity, addresses=pod.addresses)
    raise NotFound(f'there is no endpoint "{text[:60]}" on this node; see `netctl endpoint list`')


def _labelled(text: str, known: Known) -> Party:
    """An identity by its labels, whether it exists or not."""
    labels = label_set(part.strip() for part in text.split(",") if part.strip())
    if is_reserved(labels):
        raise Invalid(f'"{text[:60]}" mixes reserved labels with others; expected one reserved name alone')
    name = ",".join(sorted(map(str, labels)))
    numbers = known.repository.identities()
    found = next((number for number in numbers if known.repository.labels_of(number) == labels), None)
    if found is not None:
        return _with_identity(name, found, known)
    notes = [f"no identity has the labels {name}: they are taken as if one had"]
    if not any(label.key == NAMESPACE_KEY for label in labels):
        notes.append(
            f"{name} is in no namespace, so policies of namespaces do not select it: add k8s:{NAMESPACE_KEY}=..."
        )
    return Party(name=name, identity=IdentityId(0), labels=labels, notes=tuple(notes))


def _pod(text: str, known: Known) -> Party:
    found = [pod for pod in known.pods if pod.name and text in (pod.name, pod.name.partition("/")[2])]
    if len(found) > 1:
        raise Invalid(f'"{text[:60]}" could be {" or ".join(pod.name for pod in found)}; name it with its namespace')
    if not found:
        names = ", ".join(sorted(pod.name for pod in known.pods if pod.name)[:20]) or "none"
        raise NotFound(f'there is no "{text[:60]}" here; expected {FORMS}; pods of this node: {names}')
    return Party(name=found[0].name, identity=found[0].identity, addresses=found[0].addresses)


def free_numbers(parties: Sequence[Party], taken: Iterable[int]) -> dict[Labels, IdentityId]:
    """A number that nobody has for each set of labels that nobody has. Raises Invalid when there are none left."""
    wanted = dict.fromkeys(party.labels for party in parties if party.labels is not None)
    used = set(taken)
    free = (number for number in range(LAST_CLUSTER_ID, FIRST_CLUSTER_ID - 1, -1) if number not in used)
    found = {labels: IdentityId(number) for labels, number in zip(wanted, free, strict=False)}
    if len(found) < len(wanted):
        raise Invalid("all identities are in use, so none is free for a question about labels that nobody has")
    return found
