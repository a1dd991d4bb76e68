"""Three ways to one verdict: what policies say, what their tables decide, what the loaded programs do.

The first is an evaluator that knows policies as they were written (support/policy_oracle.py), the second the resolved
tables, the third the programs with these tables in real maps. Whatever passes is answered as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from netloom.datapath import registry
from netloom.datapath.enforcement import Isolation as Bits
from netloom.datapath.reasons import DropReason
from netloom.datapath.registry import PolicyVerdict
from netloom.model.address import Address, host_prefix
from netloom.model.identity import IdentityId, Reserved
from netloom.policy.table import Direction, DirectionTable, Isolation, Verdict, together
from support import packets
from support.emulated import fewer
from support.pipeline import ALICE, BOB, CAROL, HOST_IFINDEX, HOST_MAC, NOWHERE, UNDERLAY, Outcome, Pipeline, Pod
from support.policy_oracle import Packet, Peerage, Standing, evaluate
from support.policy_worlds import ADDRESSES, POOL, UNKNOWN, repository_of, standings
from support.policy_worlds import packets as asked_packets
from support.talk import TURNS_TO_IPV6, End, Talk

pytestmark = pytest.mark.bpf

LEFT = replace(ALICE, ipv4=IPv4Address("10.1.1.7"), ipv6=IPv6Address("fd00:1::7"))
RIGHT = replace(BOB, ipv4=IPv4Address("10.1.1.6"), ipv6=IPv6Address("fd00:1::6"))
"""Workloads here, inside of some prefixes that policies name."""
PEERS = [address for address in ADDRESSES if address not in (RIGHT.ipv4, RIGHT.ipv6)]
BITS = {Isolation.NONE: 0, Isolation.AUDITED: Bits.AUDITED, Isolation.ENFORCED: Bits.ENFORCED}
BY_REASON = {
    DropReason.POLICY: Verdict.DENIED_BY_DEFAULT,
    DropReason.POLICY_UNKNOWN_PEER: Verdict.DENIED_BY_DEFAULT,
    DropReason.POLICY_DENY: Verdict.DENIED,
}
BY_CODE = {
    PolicyVerdict.ALLOWED: Verdict.ALLOWED,
    PolicyVerdict.AUDITED: Verdict.AUDITED,
    PolicyVerdict.AUDITED_BY_DEFAULT: Verdict.AUDITED_BY_DEFAULT,
    PolicyVerdict.REDIRECTED: Verdict.REDIRECTED,
}
QUERIES = {8: 0, 128: 129}
"""Types of echo requests, and of their answers."""
TRACKED = (4, 6, 17, 47, 132)


@dataclass(frozen=True)
class Question:
    """A packet to or from a peer of LEFT; ``peer`` None: between LEFT and RIGHT."""

    direction: Direction
    peer: Peerage | None
    six: bool
    packet: Packet
    source_port: int

    @property
    def protocol(self) -> int:
        """ICMP is another one in each family."""
        is_icmp = self.packet.protocol in (packets.ICMP, packets.ICMP6)
        return (packets.ICMP6 if self.six else packets.ICMP) if is_icmp else self.packet.protocol

    @property
    def asked(self) -> Packet:
        return Packet(self.protocol, self.packet.port)


peers = st.builds(Peerage, st.sampled_from([2, 2, 2, 0, 1, 6, 7, 9, 10, UNKNOWN, *POOL]), st.sampled_from(PEERS))
questions = st.builds(
    lambda direction, peer, six, packet, port: Question(
        direction, peer, peer.address.version == 6 if peer else six, packet, port
    ),
    st.sampled_from(Direction),
    st.one_of(st.none(), peers, peers),
    st.booleans(),
    asked_packets,
    st.integers(20000, 60000),
)
agreeing = settings(
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    max_examples=fewer(60),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class World:
    """A node whose maps hold the tables of a standing."""

    def __init__(self, pipeline: Pipeline, standing: Standing, left: IdentityId, right: IdentityId) -> None:
        self.standing = standing
        self.repository = repository_of(standing, *POOL)
        self.left, self.right = replace(LEFT, identity=left), replace(RIGHT, identity=right)
        self.pipeline = pipeline
        pipeline.reset()
        self.talk = Talk(pipeline, six=False)
        self.talk.pods = (self.left, self.right)
        self._write()

    def _write(self) -> None:
        for pod in self.talk.pods:
            self.pipeline.write_pod(pod)
        for network, number in self.repository.prefixes().items():
            self.pipeline.write_cidr(network, number)
        for identity in {self.left.identity, self.right.identity}:
            table = self.repository.tables[IdentityId(identity)]
            self.pipeline.write_policy(
                identity,
                {key: entry.effects for key, entry in table.entries()},
                ingress=_bits(table.ingress),
                egress=_bits(table.egress),
            )

    def written(self, question: Question) -> Verdict:
        """What the policies say."""
        return together(
            *(
                evaluate(self.standing, direction, subject, peer, question.asked)
                for direction, subject, peer in self._judges(question)
            )
        )

    def decided(self, question: Question) -> Verdict:
        """What the tables decide."""
        verdicts = []
        for direction, subject, peer in self._judges(question):
            remote = self.repository.remote(peer.identity, peer.address)
            table = self.repository.tables[subject]
            verdicts.append(table.decide(direction, remote, question.protocol, question.packet.port).verdict)
        return together(*verdicts)

    def _judges(self, question: Question) -> list[tuple[Direction, IdentityId, Peerage]]:
        """Who is asked about whom: of two ends here the sender first."""
        left, right = IdentityId(self.left.identity), IdentityId(self.right.identity)
        if question.peer:
            return [(question.direction, left, question.peer)]
        return [
            (Direction.EGRESS, left, Peerage(right, _address(self.right, question.six))),
            (Direction.INGRESS, right, Peerage(left, _address(self.left, question.six))),
        ]

    def done(self, question: Question) -> tuple[Verdict, Outcome | None]:
        """What the programs do, and with the answer to what passes, if it can have one."""
        self.talk.six = question.six
        left, other = End(self.left.ipv4, self.left.ipv6, self.left, "from_container"), self._other(question)
        inwards = question.peer is not None and question.direction is Direction.INGRESS
        ends = (other, left) if inwards else (left, other)
        outcome = self._send(ends, question, question.protocol, question.packet.port)
        answer = None
        if outcome.reason is None and self._is_answered(question):
            answer = self._send(ends[::-1], question, question.protocol, question.packet.port, is_answer=True)
        return _verdict(outcome), answer

    def _is_answered(self, question: Question) -> bool:
        if question.peer and question.peer.identity == Reserved.UNKNOWN:
            return False  # an answer has an identity
        return question.protocol in TRACKED or question.packet.port == (128 if question.six else 8)

    def _other(self, question: Question) -> End:
        if question.peer is None:
            return End(self.right.ipv4, self.right.ipv6, self.right, "from_container")
        address, identity = question.peer.address, question.peer.identity
        assert address
        self._tell(address, identity)
        end = End(CAROL.ipv4, address) if question.six else End(address, CAROL.ipv6)
        if identity == Reserved.HOST:
            return end
        return replace(end, pod=replace(CAROL, identity=identity), program="from_underlay")

    def _tell(self, address: Address, identity: int) -> None:
        """Who has an address: this node, another one's workload, or somebody who is reached without a tunnel."""
        endpoints, tunnels = self.pipeline.maps.of(registry.ENDPOINTS), self.pipeline.maps.of(registry.TUNNELS)
        endpoints.delete(registry.EndpointKey(address))
        tunnels.delete(registry.TunnelKey(host_prefix(address)))
        self.pipeline.maps.of(registry.IPCACHE).delete(registry.IpcacheKey(host_prefix(address)))
        if identity == Reserved.HOST:
            info = registry.EndpointInfo(HOST_IFINDEX, identity, 0, registry.EndpointFlag.HOST, HOST_MAC, HOST_MAC)
            endpoints.put(registry.EndpointKey(address), info)
        elif identity == Reserved.UNKNOWN:
            tunnels.put(registry.TunnelKey(host_prefix(address)), registry.TunnelInfo(UNDERLAY))
        else:
            reached = UNDERLAY if identity >= 256 else NOWHERE
            self.pipeline.write_ipcache(host_prefix(address), identity=identity, tunnel_endpoint=reached)

    def _send(
        self, ends: tuple[End, End], question: Question, protocol: int, port: int, *, is_answer: bool = False
    ) -> Outcome:
        addresses = [end.address(question.six) for end in ends]
        ports = (port, question.source_port) if is_answer else (question.source_port, port)
        if protocol in (packets.ICMP, packets.ICMP6):
            kind = QUERIES[port] if is_answer else port
            rest = question.source_port.to_bytes(2, "big") + b"\0\1"
            made = packets.icmp6(kind, rest, ends=(addresses[0], addresses[1])) if question.six else None
            body = made or packets.icmp(kind, 0, rest)
        elif protocol == packets.TCP:
            flags = packets.SYN | packets.ACK if is_answer else packets.SYN
            body = packets.tcp(source_port=ports[0], destination_port=ports[1], flags=flags)
        else:
            body = packets.udp(bytes(20), source_port=ports[0], destination_port=ports[1])
        return self.talk.send_packet(
            ends[0], packets.ip(body, source=addresses[0], destination=addresses[1], protocol=protocol)
        )


def _bits(table: DirectionTable) -> int:
    return BITS[table.isolation]


def _address(pod: Pod, six: bool) -> Address:
    return pod.ipv6 if six else pod.ipv4


def _verdict(outcome: Outcome) -> Verdict:
    if outcome.reason is not None:
        return BY_REASON[outcome.reason]
    return together(*(BY_CODE[PolicyVerdict(header.code)] for header in outcome.verdicts))


def _can_be_sent(question: Question) -> bool:
    """A node's own packets have no unknown sender, and old kernels take no IPv6 out of tunnels in test runs."""
    if question.peer is None:
        return True
    if question.direction is Direction.INGRESS and question.peer.identity == Reserved.UNKNOWN:
        return False
    return TURNS_TO_IPV6 or not question.six


@agreeing
@given(standings, st.data(), st.lists(questions, min_size=10, max_size=20))
def test_policies_tables_and_programs_agree(
    pipeline: Pipeline, standing: Standing, data: st.DataObject, asked: list[Question]
) -> None:
    known = st.sampled_from(sorted(standing.identities))
    world = World(pipeline, standing, data.draw(known), data.draw(known))
    for question in filter(_can_be_sent, asked):
        for name in ("connections_tcp", "connections_any"):
            for key, _ in pipeline.maps[name].raw_items():
                pipeline.maps[name].delete_raw(key)
        done, answer = world.done(question)
        event(f"{done}")
        assert (done, done) == (world.written(question), world.decided(question)), question
        if answer is not None:
            assert (answer.reason, answer.verdicts) == (None, []), question
