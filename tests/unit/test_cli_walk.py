"""``netctl walk``: from agent to agent, as text, as a document, as a picture."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netloom.cli.errors import EXIT_DROPPED
from support.netctl import Netctl
from support.recorded_agent import RecordedAgent
from support.walks import ALLOWED_PART, DENIED_PART, DROPPED_PART, FIRST_PART, HANDED_PART, SECOND_PART, endpoint, node

Asked = Callable[..., object]
HOW_TO_ASK = "--http 'METHOD PATH', --grpc SERVICE/METHOD or --l7"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[dict[str, RecordedAgent]]:
    """Two nodes with a pod each; a packet goes from the one to the other."""
    made = {}
    for number, (pod, part) in enumerate((("busybox1", FIRST_PART), ("busybox3", SECOND_PART)), 1):
        name = f"node{number}"
        (tmp_path / name).mkdir()
        agent = made[name] = RecordedAgent(tmp_path / name / "netloom.sock")
        agent.answers = {
            ("GET", "/v1/nodes"): [node(name, number)],
            ("GET", "/v1/endpoints"): [endpoint(pod, number, 2)],
            ("POST", "/v1/walk"): part,
        }
    yield made
    for agent in made.values():
        agent.close()


@pytest.fixture
def walk(netctl: Netctl, agents: dict[str, RecordedAgent]) -> Callable[..., tuple[int, str, str]]:
    def run(*words: str) -> tuple[int, str, str]:
        return netctl("--socket", str(agents["node1"].socket), "walk", *words)

    return run


Walk = Callable[..., tuple[int, str, str]]


def asked(agent: RecordedAgent) -> list[object]:
    return [body for method, _, body in agent.requests if method == "POST"]


def test_the_senders_node_is_asked_first_and_then_the_one_the_packet_goes_to(
    walk: Walk, agents: dict[str, RecordedAgent]
) -> None:
    """The second gets the very frame the first has put on the wire."""
    status, _, err = walk("busybox1", "busybox3", "--proto", "tcp", "--port", "80", "--ttl", "9")
    packet = {"destination": "10.244.2.2", "source": "", "protocol": "tcp", "port": 80, "size_bytes": None}
    packet |= {"ttl": 9, "dont_fragment": False, "reply": False}
    assert (status, err) == (0, "")
    assert asked(agents["node1"]) == [{"start": "endpoint", "endpoint": 2, "packet": packet}]
    assert asked(agents["node2"]) == [{"start": "wire", "frame": "ab" * 20, "reply": False}]


def test_text_has_a_block_for_each_hop_and_a_line_for_the_end(walk: Walk) -> None:
    out = walk("busybox1", "busybox3")[1]
    assert "busybox1 → busybox3 (10.244.2.2): icmp, TTL 64" in out
    assert "  lxc1 ingress from_container (0123456789abcdef)" in out
    assert "    ttl 64 → 63" in out
    assert "+ outer 192.168.77.11 → 192.168.77.12, udp 8472, VNI 257, ttl 64" in out
    assert out.endswith("\ndelivered to busybox3\n")
    assert "metrics[2]" not in out


def test_what_programs_always_ask_is_shown_when_asked_for(walk: Walk) -> None:
    assert "metrics[2]" in walk("busybox1", "busybox3", "-v")[1]


def test_a_document_has_every_hop_and_the_outcome(walk: Walk) -> None:
    found = json.loads(walk("busybox1", "busybox3", "-o", "json")[1])
    assert [hop["node"] for hop in found["hops"]] == ["node1"] * 3 + ["node2"] * 2
    assert (found["from"], found["to"], found["outcome"]["fate"]) == ("busybox1", "busybox3", "delivered")
    assert "frame" not in found["outcome"]


def test_a_dropped_packet_ends_with_5_and_its_reason(walk: Walk, agents: dict[str, RecordedAgent]) -> None:
    agents["node1"].answers["POST", "/v1/walk"] = DROPPED_PART
    status, out, _ = walk("busybox1", "10.244.1.99")
    assert status == EXIT_DROPPED == 5
    assert "dropped: Unknown L3 target address  (UNKNOWN_TARGET, reason 150, egress, line 47)" in out
    assert "No endpoint has that address" in out


REQUEST = {"protocol": "http", "data": "GET /jobs/1 HTTP/1.1\r\nHost: busybox3\r\n\r\n"}


def test_every_agent_on_the_way_is_asked_about_the_request(walk: Walk, agents: dict[str, RecordedAgent]) -> None:
    """It goes over TCP, to the port of HTTP unless another is named."""
    assert walk("busybox1", "busybox3", "--http", "GET /jobs/1")[0] == 0
    (first,), (second,) = (asked(agents[name]) for name in ("node1", "node2"))
    assert isinstance(first, dict)
    assert (first["packet"]["protocol"], first["packet"]["port"], first["request"]) == ("tcp", 80, REQUEST)
    assert second == {"start": "wire", "frame": "ab" * 20, "reply": False, "request": REQUEST}


def test_a_request_that_no_proxy_has_judged_is_told_of(walk: Walk) -> None:
    out = walk("busybox1", "busybox3", "--http", "GET /jobs/1")[1]
    assert out.endswith("delivered to busybox3\nnote: no proxy was on the way, so nobody judged the request\n")


def test_a_denied_request_ends_with_5_and_what_the_client_gets(walk: Walk, agents: dict[str, RecordedAgent]) -> None:
    agents["node2"].answers["POST", "/v1/walk"] = DENIED_PART
    status, out, _ = walk("busybox1", "busybox3", "--http", "PUT /jobs/1")
    assert status == EXIT_DROPPED
    assert "  the node's proxy\n    request method=PUT: denied\n      ingress: denied: no rule allows it\n" in out
    assert out.endswith("\ndenied by the proxy of node2\nsent back: status=403\n")


def test_a_walk_that_ends_at_a_proxy_says_how_to_go_on(walk: Walk, agents: dict[str, RecordedAgent]) -> None:
    agents["node2"].answers["POST", "/v1/walk"] = HANDED_PART
    status, out, _ = walk("busybox1", "busybox3", "--proto", "tcp", "--port", "80")
    assert status == 0
    assert out.endswith("which judges requests\nask about a request, and walk on with it: " + HOW_TO_ASK + "\n")


def test_an_answer_goes_by_the_proxies_that_had_the_packet(walk: Walk, agents: dict[str, RecordedAgent]) -> None:
    agents["node2"].answers["POST", "/v1/walk"] = ALLOWED_PART
    walk("busybox1", "busybox3", "--http", "GET /jobs/1", "--reply")
    back = asked(agents["node2"])[-1]
    assert isinstance(back, dict)
    assert (back["start"], back["proxied"], "request" in back) == ("endpoint", True, False)


def test_a_walk_that_cannot_go_on_ends_with_3_and_says_where(walk: Walk, agents: dict[str, RecordedAgent]) -> None:
    agents["node2"].close()
    status, out, _ = walk("busybox1", "10.244.2.2")
    assert status == 3
    assert "not followed: left node1 for node2, whose agent cannot be asked from here" in out


def test_a_chosen_agent_that_is_away_ends_it_with_3(netctl: Netctl, tmp_path: Path) -> None:
    status, _, err = netctl("--socket", str(tmp_path / "node1" / "netloom.sock"), "walk", "busybox1", "busybox3")
    assert (status, "no agent listens at" in err) == (3, True)


def test_a_socket_may_stand_anywhere(netctl: Netctl, agents: dict[str, RecordedAgent], tmp_path: Path) -> None:
    """Its node is known by what its agent says."""
    elsewhere = tmp_path / "any.sock"
    elsewhere.symlink_to(agents["node1"].socket)
    agents["node1"].answers["POST", "/v1/walk"] = DROPPED_PART
    status, out, _ = netctl("--socket", str(elsewhere), "walk", "busybox1", "10.244.1.99")
    assert (status, "\nnode1\n" in out) == (EXIT_DROPPED, True)


def test_a_refusal_of_the_agent_is_told_in_its_words(walk: Walk, agents: dict[str, RecordedAgent]) -> None:
    agents["node1"].failures["POST", "/v1/walk"] = (503, "unavailable", "the programs are just being replaced")
    assert walk("busybox1", "busybox3") == (1, "", "netctl: the programs are just being replaced\n")


@pytest.mark.parametrize("words", ["--proto tcp", "--port 80", "--ttl 0", "--size 0", "--proto sctp --port 1"])
def test_wrong_usage_ends_with_2(walk: Walk, words: str) -> None:
    assert walk("busybox1", "busybox3", *words.split())[0] == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("busybox1 10.244.2.2 -6", "-6 asks for IPv6, and 10.244.2.2 is an IPv4 address"),
        ("10.244.1.2 busybox3 -6", "-6 asks for IPv6, and 10.244.1.2 is an IPv4 address"),
        ("busybox1 ::ffff:10.244.2.2 -6", "-6 asks for IPv6, and 10.244.2.2 is an IPv4 address"),
        ("busybox1@10.9.9.9 busybox3 -6", "-6 asks for IPv6, and 10.9.9.9 is an IPv4 address"),
        ("busybox1@ busybox3", '"busybox1@" names no source address after the @'),
        ("busybox1@10.9.9.9 busybox3 --source 10.9.9.8", "both name the source; give one of them"),
        ("busybox1 busybox3 --http x", '"x" is no request; expected METHOD and PATH'),
        (
            "busybox1 busybox3 --proto udp --grpc a/b",
            "a request goes over TCP, and --proto udp asks for",
        ),
        ("busybox1@nonsense busybox3", '"nonsense" is no IP address'),
        ("busybox1@10.9.9.9 fd00::1", "one is IPv4, the other IPv6"),
        ("busybox1 busybox3 --picture /nonexistent/way.svg", "cannot be written"),
    ],
)
def test_words_that_make_no_packet_end_with_2_and_a_sentence(
    walk: Walk, agents: dict[str, RecordedAgent], words: str, sentence: str
) -> None:
    """Nothing is silently left out, and nothing is walked."""
    status, out, err = walk(*words.split())
    assert (status, out, sentence in err) == (2, "", True), err
    assert asked(agents["node1"]) == []


def test_a_picture_that_cannot_be_written_after_all_does_not_cost_the_walk(walk: Walk) -> None:
    status, out, err = walk("busybox1", "busybox3", "--picture", "/dev/full")
    assert (status, "delivered to busybox3" in out) == (2, True)
    assert '"/dev/full" cannot be written: No space left on device' in err
    assert "Traceback" not in err


def test_a_name_nobody_has_is_no_dropped_packet(walk: Walk) -> None:
    status, _, err = walk("busybox1", "nobody")
    assert (status, "pods are busybox1, busybox3" in err) == (1, True)


def test_a_pod_of_a_node_whose_agent_is_away_is_not_said_to_be_missing(
    walk: Walk, agents: dict[str, RecordedAgent]
) -> None:
    """The other nodes are known by the agents that can be asked."""
    agents["node1"].answers["GET", "/v1/nodes"] = [node("node1", 1), {**node("node2", 2), "local": False}]
    agents["node2"].close()
    status, _, err = walk("busybox1", "busybox3")
    assert (status, "the agents of node2 cannot be asked from here" in err) == (3, True), err


def test_an_address_is_shown_once(walk: Walk) -> None:
    assert walk("busybox1", "10.244.2.2")[1].startswith("busybox1 → 10.244.2.2: icmp")
    assert walk("busybox1", "::ffff:10.244.2.2")[1].startswith("busybox1 → 10.244.2.2: icmp")
    assert walk("10.244.1.99", "busybox3")[1].startswith("10.244.1.99 → busybox3 (10.244.2.2): icmp, TTL 64")


def test_multicast_has_one_hop_unless_told_otherwise(walk: Walk, agents: dict[str, RecordedAgent]) -> None:
    """As stacks send it (RFC 1112, RFC 3493)."""
    walk("busybox1", "224.0.0.1")
    walk("busybox1", "224.0.0.1", "--ttl", "7")
    assert [body["packet"]["ttl"] for body in asked(agents["node1"])] == [1, 7]  # type: ignore[index]


def drawn(walk: Walk, tmp_path: Path, *words: str) -> ET.Element:
    file = tmp_path / "way.svg"
    walk(*words, "--picture", str(file))
    return ET.fromstring(file.read_text())  # noqa: S314 - our own words


def test_a_picture_has_a_box_for_each_node_and_hop_and_a_line_between_hops(walk: Walk, tmp_path: Path) -> None:
    root = drawn(walk, tmp_path, "busybox1", "busybox3")
    boxes, dots = root.findall(f"{SVG}rect"), root.findall(f"{SVG}circle")
    lines = [path for path in root.findall(f"{SVG}path") if path.get("marker-end")]
    assert (len(boxes), len(dots), len(lines)) == (1 + 2 + 5, 5, 4)


def test_a_picture_has_a_cross_where_the_packet_died(
    walk: Walk, agents: dict[str, RecordedAgent], tmp_path: Path
) -> None:
    agents["node1"].answers["POST", "/v1/walk"] = DROPPED_PART
    root = drawn(walk, tmp_path, "busybox1", "10.244.1.99")
    crosses = [path for path in root.findall(f"{SVG}path") if not path.get("marker-end")]
    assert (len(crosses), len(root.findall(f"{SVG}circle"))) == (1, 1)


def test_a_picture_stays_whole_whatever_pods_are_called(
    walk: Walk, agents: dict[str, RecordedAgent], tmp_path: Path
) -> None:
    """Names come from workloads."""
    agents["node2"].answers["GET", "/v1/endpoints"] = [endpoint("<b>&\"'", 2, 2)]
    root = drawn(walk, tmp_path, "busybox1", "<b>&\"'")
    assert "<b>&\"'" in "".join(root.itertext())


def test_no_box_of_a_picture_lies_on_another_or_outside(walk: Walk, tmp_path: Path) -> None:
    root = drawn(walk, tmp_path, "busybox1", "busybox3")
    _, *boxes = [
        tuple(float(box.get(name, "0")) for name in ("x", "y", "width", "height")) for box in root.findall(f"{SVG}rect")
    ]
    stations = [box for box in boxes if box[2] == min(each[2] for each in boxes)]
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in boxes)
    assert not any(one is not other and overlap(one, other) for one in stations for other in stations)


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(one[axis] < other[axis] + other[axis + 2] and other[axis] < one[axis] + one[axis + 2] for axis in (0, 1))
