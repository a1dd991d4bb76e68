"""The plugin: rules, and which of the two protocols a connection speaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from netloom.model.errors import Invalid
from netloom.plugins import Context, Doc, L7Protocol, PluginInfo, Role, hookimpl
from netloom.plugins.l7.turns import Part, in_turn
from netloom_memcached import binary, text
from netloom_memcached.request import Asked

GROUPS = {
    "read": {"get", "gets", "gat", "gats"},
    "write": {"set", "add", "replace", "append", "prepend", "cas", "delete", "incr", "decr", "touch"},
}
ALWAYS = {"noop", "quit", "version"}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule of `l7proto: memcached`; what is left out may be anything."""

    command: Annotated[str, Doc("A command such as `get`, or `read` or `write` for all that do that.")] = ""
    key: Annotated[str, Doc("The key, word for word.")] = ""
    key_prefix: Annotated[str, Doc("How keys begin.")] = ""


def matcher(rule: Rule) -> Callable[[Asked], bool]:
    """Whether a rule holds for a request: for each of its keys."""
    if rule.key and rule.key_prefix:
        raise Invalid(f'found both key "{rule.key}" and key_prefix "{rule.key_prefix}", expected one of them')
    commands = GROUPS.get(rule.command, {rule.command})
    key, prefix = rule.key.encode(), rule.key_prefix.encode()

    def holds(asked: Asked) -> bool:
        if asked.command in ALWAYS:
            return True
        if rule.command and asked.command not in commands:
            return False
        if key or prefix:
            return bool(asked.keys) and all(one == key if key else one.startswith(prefix) for one in asked.keys)
        return True

    return holds


def describe(asked: Asked) -> Mapping[str, str]:
    """For the access log."""
    keys = b" ".join(asked.keys)[:250].decode(errors="backslashreplace")
    return {"command": asked.command, "keys": keys}


class Dialog:
    """One connection: its first byte says which protocol it speaks, to its end."""

    is_binary: bool | None = None

    def parse_request(self, data: bytes) -> Asked | None:
        """As a server reads it: whoever began with one protocol is not understood in the other."""
        if self.is_binary is None:
            self.is_binary = data[0] == binary.ASKS
        return binary.parse_request(data) if self.is_binary else text.parse_request(data)

    def parse_reply(self, data: bytes, asked: Asked) -> Part | None:
        """In the protocol of the connection."""
        del asked
        return binary.parse_reply(data) if self.is_binary else text.parse_reply(data)

    def deny(self, asked: Asked) -> bytes:
        """An error that clients of the protocol know."""
        return binary.deny(asked.operation, asked.opaque) if self.is_binary else text.deny()


MEMCACHED = L7Protocol(name="memcached", rule_type=Rule, matcher=matcher, describe=describe, new_parser=in_turn(Dialog))


class Memcached:
    """What the entry point names."""

    @hookimpl
    def netloom_plugin_info(self) -> PluginInfo:
        """Who it is."""
        return PluginInfo(name="memcached", role=Role.L7_PARSER, summary="Policies that read memcached.")

    @hookimpl
    def netloom_l7_parsers(self, context: Context) -> Sequence[L7Protocol]:
        """One protocol."""
        del context
        return [MEMCACHED]
