"""The plugin: one protocol. What parses and matches is imported by whoever does that, not by all who start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from netloom.plugins import Context, Judge, L7Protocol, Parser, PluginInfo, Role, hookimpl
from netloom_l7_http.request import describe, recall
from netloom_l7_http.schema import Rule


def _matcher(rule: Rule) -> Callable[[Any], bool]:
    from netloom_l7_http.rules import matcher

    return matcher(rule)


def _new_parser(judge: Judge) -> Parser:
    from netloom_l7_http.preface import AnyHttp

    return AnyHttp(judge)


HTTP = L7Protocol(
    name="http", rule_type=Rule, matcher=_matcher, describe=describe, new_parser=_new_parser, recall=recall
)


class L7Http:
    """What the entry point names."""

    @hookimpl
    def netloom_plugin_info(self) -> PluginInfo:
        """Describe the plugin."""
        return PluginInfo(name="l7_http", role=Role.L7_PARSER, summary="Policies that read HTTP requests.")

    @hookimpl
    def netloom_l7_parsers(self, context: Context) -> Sequence[L7Protocol]:
        """One protocol."""
        del context
        return [HTTP]
