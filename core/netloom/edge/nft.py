"""Tables of the kernel's packet filter that are ours alone: put in place whole, known again by a mark in every rule.

nft is called as a program, at start and when something changed, never while a workload is attached. Commands are those
of nft's JSON (libnftables-json(5)).
"""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import subprocess
from collections.abc import Iterable
from typing import Any

from netloom.edge.messages import attributes
from netloom.model.errors import KernelError, NetloomError, Unsupported

Json = dict[str, Any]

FAMILY = "inet"
_TIMEOUT_S = 30.0
_NETLINK_NETFILTER = 12
_GET_GENERATION = struct.pack("=IHHIIBBH", 20, 10 << 8 | 16, 1, 0, 0, 0, 0, 0)
"""struct nlmsghdr (NFNL_SUBSYS_NFTABLES, NFT_MSG_GETGEN, NLM_F_REQUEST) and an empty struct nfgenmsg."""
_NFTA_GEN_ID = 1


class FirewallError(NetloomError):
    """nft refused a change; carries its words."""


def put_table(name: str, commands: list[Json]) -> bool:
    """Make the table hold what ``commands`` put into an empty one; says whether something had to be done.

    The whole table changes in one step. Raises Unsupported without nft, FirewallError when nft refuses.
    """
    mark = _digest(commands)
    marks = [mark] * sum("rule" in command["add"] for command in commands)
    if _present_marks(name) == marks:
        return False
    empty = [{"add": {"table": _table(name)}}, {"delete": {"table": _table(name)}}]
    _nft([*empty, {"add": {"table": _table(name)}}, *(_with_mark(command, mark) for command in commands)])
    return True


def remove_table(name: str) -> bool:
    """Remove the table with all that is in it; says whether it was there. Raises as :func:`put_table`."""
    if _present_marks(name) is None:
        return False
    _nft([{"add": {"table": _table(name)}}, {"delete": {"table": _table(name)}}])
    return True


def has_table(name: str) -> bool:
    """Whether the table stands, whatever is in it. Raises as :func:`put_table`."""
    return _present_marks(name) is not None


def generation() -> int:
    """A number that every change of any table of this namespace raises: while it stays, so does what was seen.

    Raises KernelError.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as asking:
        asking.settimeout(_TIMEOUT_S)
        try:
            asking.send(_GET_GENERATION)
            answer = asking.recv(4096)
        except OSError as error:
            raise KernelError("read", "the firewall's generation", error.errno or 0) from error
    found = dict(attributes(answer, len(_GET_GENERATION)))
    return int.from_bytes(found.get(_NFTA_GEN_ID, b""))


def base_chain(table: str, name: str, kind: str, hook: str, priority: int) -> Json:
    """A chain the kernel calls at ``hook``; what no rule of it ends goes on."""
    place = {"family": FAMILY, "table": table, "name": name}
    return {"add": {"chain": {**place, "type": kind, "hook": hook, "prio": priority, "policy": "accept"}}}


def rule(table: str, chain: str, expressions: list[Json]) -> Json:
    """A rule at the end of a chain."""
    return {"add": {"rule": {"family": FAMILY, "table": table, "chain": chain, "expr": expressions}}}


def match(left: Json, right: Any, op: str = "==") -> Json:
    """Compare something of the packet with a value or a set."""
    return {"match": {"op": op, "left": left, "right": right}}


def any_of(elements: Iterable[Any]) -> Json:
    """A set without a name."""
    return {"set": list(elements)}


def _table(name: str) -> Json:
    return {"family": FAMILY, "name": name}


def _digest(commands: list[Json]) -> str:
    return "netloom " + hashlib.sha256(json.dumps(commands, sort_keys=True).encode()).hexdigest()[:24]


def _with_mark(command: Json, mark: str) -> Json:
    """The same with the digest of all as the comment of a rule: one that is missing, changed or added is seen."""
    kind, body = next(iter(command["add"].items()))
    return {"add": {kind: {**body, "comment": mark}}} if kind == "rule" else command


def _present_marks(table: str) -> list[str] | None:
    """The mark of each rule in the table that stands; None without a table."""
    done = _run(["nft", "-j", "list", "table", FAMILY, table], "")
    if done.returncode != 0:
        if "No such file" in done.stderr:
            return None
        raise FirewallError(f"nft could not list table {table}: {done.stderr.strip()}")
    objects: list[Json] = json.loads(done.stdout)["nftables"]
    return [str(item["rule"].get("comment", "")) for item in objects if "rule" in item]


def _nft(commands: list[Json]) -> None:
    done = _run(["nft", "-j", "-f", "-"], json.dumps({"nftables": commands}))
    if done.returncode != 0:
        raise FirewallError(f"nft refused to change Netloom's table: {(done.stderr or done.stdout).strip()}")


def _run(argv: list[str], stdin: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    except FileNotFoundError as error:
        raise Unsupported(
            "the node's firewall", needs="the program nft (package nftables)", found="none; install it"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise FirewallError(f"nft did not answer within {_TIMEOUT_S:.0f} s") from error
