"""What the benchmark of policies makes up, and how it writes what it has found."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from bench.plot import Line, Panel, line_chart
from bench.policies import fillers, policy, ruleset
from bench.policy_report import picture, section
from bench.policy_scale import Adding, Scale, Scaling
from bench.policy_world import MONITOR, App, policy_text, scrape_text

from netloom.model.identity import IdentityId
from netloom.model.policy import Ports
from netloom.policy.read import read_policies
from netloom.policy.repository import Repository

IDENTITIES = 200


def test_policies_of_the_world_are_read_without_a_warning_and_have_names_of_their_own() -> None:
    found = read_policies("---\n".join(policy_text(number, IDENTITIES) for number in range(200)), "f")
    assert found.warnings == ()
    assert len({one.name for one in found.policies}) == 200


def test_policies_of_the_world_are_about_every_identity_alike() -> None:
    """None has more than three times the rules of another: one that met the few would say nothing of the many."""
    repository = Repository()
    repository.add_identities({App(number).identity: App(number).labels for number in range(IDENTITIES)})
    texts = [policy_text(number, IDENTITIES) for number in range(1000)]
    repository.upsert(*read_policies("---\n".join(texts), "f").policies)
    counts = Counter({number: len(repository.rules_of(App(number).identity)) for number in range(IDENTITIES)})
    assert max(counts.values()) < 3 * min(counts.values())


def test_what_scrapes_is_let_in_by_everybody_and_changes_nothing_else() -> None:
    repository = Repository()
    here, monitor = IdentityId(256), IdentityId(257)
    repository.add_identities({here: App(0).labels, monitor: App(1).labels | MONITOR})
    repository.upsert(*read_policies(scrape_text(9090), "f").policies)
    table = repository.table(here)
    assert {key.peer for key, _ in table.entries()} == {monitor}
    assert not table.ingress.isolating


@pytest.mark.parametrize("rules", [1, 90])
def test_policy_and_ruleset_allow_the_same_ports_and_the_measured_ones_last(rules: int) -> None:
    (found,) = read_policies(policy("client", "server", rules), "f").policies
    (rule,) = found.rules
    spans = [service for entry in rule.ingress.allow or () for service in entry.services or ()]
    ports = [(one.first, one.last) for one in spans if isinstance(one, Ports)]
    assert ports == [*((port, port) for port in fillers(rules)), (5001, 5002)]
    lines = ruleset("10.0.0.2", [f"tcp dport {first}-{last} accept" for first, last in ports]).splitlines()
    assert lines.index("    tcp dport 5001-5002 accept") == lines.index("    drop") - 1


def test_a_line_chart_puts_the_highest_value_at_the_top_and_each_x_at_its_place() -> None:
    line = Line(label="l", values=(1.0, 4.0), texts=("one", "<four>"))
    root = ET.fromstring(line_chart("t", "s", [100, 10_000], [Panel(title="p", lines=(line,))]))  # noqa: S314
    name = "{http://www.w3.org/2000/svg}"
    (first, last) = root.findall(f"{name}circle")
    foot = float(root.findall(f"{name}line")[0].attrib["y1"])
    assert float(last.attrib["cy"]) < float(first.attrib["cy"]) < foot
    assert foot - float(first.attrib["cy"]) == pytest.approx((foot - float(last.attrib["cy"])) / 4, abs=0.1)
    assert "<four>" in {text.text for text in root.findall(f"{name}text")}


SCALE = Scale(
    identities=200,
    all_s=1.25,
    policy_s=0.01,
    wide_policy_s=0.04,
    identity_s=0.005,
    wide_identity_s=0.015,
    restart_s=1.0,
    resident_bytes=80 << 20,
    resident_before_bytes=70 << 20,
    entries=8000,
    table_bytes=1 << 20,
)
SCALING = Scaling(
    import_s=0.9,
    scales=(SCALE, replace(SCALE, identities=10_000, entries=170_000)),
    adding=Adding(known_before_ns=5e6, known_ns=5.1e6, new_before_ns=7e6, new_ns=1e7),
)


def test_the_section_has_a_column_for_each_number_of_identities() -> None:
    lines = section(SCALING)
    assert "| identities | 200 | 10,000 |" in lines
    assert "| one more policy for all pods | 40.0 ms | 40.0 ms |" in lines
    assert "| entries of all tables | 8,000 | 170,000 |" in lines
    assert any("5.1 ms for a pod whose identity has an endpoint here (5.0 ms" in line for line in lines)


def test_the_picture_is_drawn_for_one_number_of_identities_too() -> None:
    for scaling in (SCALING, replace(SCALING, scales=(SCALE,))):
        ET.fromstring(picture(scaling))  # noqa: S314
