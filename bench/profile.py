"""Where the time goes: what CPU 0 was doing, sampled by perf while one network is measured."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import CLIENT_CPU, client_argv, server
from bench.networks import Pair

SECONDS = 1.5
WHAT = ("rr", "stream")
_FREQUENCY_HZ = 5000
_OURS = "tcpbench,perf-exec"
"""Commands whose samples count: both ends. perf knows the one it started by the name it had before."""
_LINE = re.compile(r"\s*(?P<share>[0-9.]+)%\s+\[[k.]\]\s+(?P<symbol>\S+)")
"""A line of ``perf report --sort sym``."""

PARTS: Mapping[str, re.Pattern[str]] = {
    "our programs": re.compile(r"bpf_prog_\w+_(encap|forward|from_\w+|icmp_error|native|neighbor|to_\w+)$"),
    "maps and helpers of eBPF": re.compile(r"(___?)?(bpf_|htab_|array_map|percpu_array|trie_|skb_do_redirect)|__htab"),
    "hooks of tc": re.compile(r"tc_run|tcf_|__tcf|cls_bpf|tcx_|sch_handle"),
    "netfilter": re.compile(r"(__)?(nf_|nft_)|br_nf|setup_pre_routing|ip_sabotage"),
    "tunnel device": re.compile(r"vxlan|udp_tunnel|iptunnel|ip_tunnel|gro_cell|metadata_dst"),
    "bridge": re.compile(r"(__)?br_"),
    "IP and UDP": re.compile(r"(__)?(ip_|udp_|udp4_|fib_|inet_|neigh_|arp_|dst_|ipv4_|rt_)"),
    "TCP and sockets": re.compile(r"(__)?(tcp_|sk_|sock_|inet6?_|__sys_(send|recv))"),
    "devices and queues": re.compile(
        r"(__)?(veth|netif|dev_|napi|net_rx|process_backlog|validate_xmit|enqueue_to|skb_|skb$|kfree_skb|pskb|alloc_skb)"
    ),
}
"""Parts of the path by names of the kernel's functions; the first that fits counts, and what fits none is REST."""
REST = "scheduling, system calls and the rest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One network in one kind of measurement."""

    network: str
    what: str
    """``rr`` or ``stream``."""
    shares: Mapping[str, float]
    """Share of the time in each of PARTS and REST; together 1."""


def profiles(program: Path, pairs: Sequence[Pair], directory: Path) -> tuple[Profile, ...]:
    """Of each network in turn, both ends on one core; none at all on a machine without perf."""
    perf = shutil.which("perf")
    if perf is None:
        return ()
    file = directory / "perf.data"
    return tuple(_profile(perf, file, program, pair, what) for what in WHAT for pair in pairs)


def _profile(perf: str, file: Path, program: Path, pair: Pair, what: str) -> Profile:
    record = [perf, "record", "-q", "-a", "-C", str(CLIENT_CPU), "-F", str(_FREQUENCY_HZ), "-o", str(file), "--"]
    with server(program, pair, CLIENT_CPU):
        argv = client_argv(program, pair, CLIENT_CPU, what, SECONDS)
        subprocess.run([*record, *argv], capture_output=True, check=True)
    report = [perf, "report", "-i", str(file), "--stdio", "--comms", _OURS, "--sort", "sym", "--percent-limit", "0"]
    done = subprocess.run(report, capture_output=True, text=True, check=True)
    return Profile(network=pair.name, what=what, shares=shares_in(done.stdout))


def shares_in(report: str) -> dict[str, float]:
    """Shares by part, from perf's report."""
    found = dict.fromkeys((*PARTS, REST), 0.0)
    for share, symbol in _symbols(report):
        found[part_of(symbol)] += share
    total = sum(found.values())
    return {part: share / total for part, share in found.items()} if total else found


def part_of(symbol: str) -> str:
    """To which part a function belongs."""
    return next((part for part, pattern in PARTS.items() if pattern.match(symbol)), REST)


def _symbols(report: str) -> Iterator[tuple[float, str]]:
    for line in report.splitlines():
        if found := _LINE.match(line):
            yield float(found["share"]), found["symbol"]
