"""Policies for tests: short ways to write one, and to read it."""

from __future__ import annotations

import textwrap

import pytest

from netloom.model.errors import ConfigError
from netloom.model.labels import Label, Labels
from netloom.model.policy import Operator, Policy, PolicyKind, Requirement, Rule, Selector
from netloom.policy.read import VERSIONS, read_policies

FILE = "p.yaml"


def written(spec: str, kind: PolicyKind = PolicyKind.CILIUM, namespace: str = "") -> str:
    """A policy named ``p``; the spec's first line is line 6."""
    place = f", namespace: {namespace}" if namespace else ""
    head = f"apiVersion: {VERSIONS[kind]}\nkind: {kind}\nmetadata: {{name: p{place}}}\n\nspec:\n"
    return head + textwrap.indent(textwrap.dedent(spec).removeprefix("\n"), "  ")


def policy(text: str) -> Policy:
    """The one policy of a file."""
    (found,) = read_policies(text, FILE).policies
    return found


def rule(spec: str, kind: PolicyKind = PolicyKind.CILIUM, namespace: str = "") -> Rule:
    """The one rule of a spec."""
    (found,) = policy(written(spec, kind, namespace)).rules
    return found


def cilium(section: str) -> Rule:
    """A rule for every endpoint of the namespace "default", with these sections."""
    return rule("endpointSelector: {}\n" + textwrap.dedent(section).removeprefix("\n"))


def kubernetes(section: str, namespace: str = "") -> Rule:
    """A NetworkPolicy for every pod of a namespace, with these sections."""
    return rule("podSelector: {}\n" + textwrap.dedent(section).removeprefix("\n"), PolicyKind.KUBERNETES, namespace)


def problems(text: str) -> list[str]:
    """What is wrong with a file, each as it is shown."""
    with pytest.raises(ConfigError) as caught:
        read_policies(text, FILE)
    return [str(problem) for problem in caught.value.problems]


def warnings(text: str) -> list[str]:
    """What is strange in a file, each as it is shown."""
    return [str(warning) for warning in read_policies(text, FILE).warnings]


def labels(*texts: str) -> Labels:
    """Labels of an endpoint."""
    return frozenset(Label.parse(text) for text in texts)


def asks(*requirements: tuple[str, str, str, tuple[str, ...]]) -> Selector:
    """A selector, of (source, key, operator, values)."""
    found = (Requirement(source, key, Operator(word), values) for source, key, word, values in requirements)
    return Selector(tuple(sorted(found)))


def namespace(name: str) -> tuple[str, str, str, tuple[str, ...]]:
    """What asks for a namespace."""
    return ("k8s", "io.kubernetes.pod.namespace", "In", (name,))
