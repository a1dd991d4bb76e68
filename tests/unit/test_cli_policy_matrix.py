"""``netctl policy matrix``: who reaches whom, as a table and as a picture."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from netloom.cli.policy.everybody_text import grid
from netloom.cli.policy.words import reaches_text
from support.netctl import Netctl
from support.policy_answers import EVERYTHING, MATRIX, end, reach
from support.recorded_agent import RecordedAgent

SVG = "{http://www.w3.org/2000/svg}"


def test_a_matrix_can_be_narrowed(ask: Netctl, agent: RecordedAgent) -> None:
    ask("policy", "matrix", "-n", "shop", "-n", "bank", "-l", "app=web", "--unused")
    assert agent.requests[-1][1] == (
        "/v1/policies/matrix?namespace=shop&namespace=bank&label=k8s%3Aapp%3Dweb&unused=true"
    )
    assert ask("policy", "matrix", "-l", "no label").status == 2


@pytest.mark.parametrize("name", ["m.svg", "m.html"])
def test_a_picture_has_a_square_with_its_services_for_each_pair(ask: Netctl, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    assert ask("policy", "matrix", "--picture", str(file)).status == 0
    drawn = file.read_text()
    svg = drawn[drawn.index("<svg") : drawn.index("</svg>") + 6]
    root = ET.fromstring(svg)  # noqa: S314 - our own
    titles = [
        found.text
        for cell in root.iter(f"{SVG}g")
        if cell.get("class") == "cell" and (found := cell.find(f"{SVG}title")) is not None
    ]
    assert len(titles) == len(MATRIX["cells"])
    assert "shop: app=a → bank: app=b\ntcp 80 8000-8010" in titles
    assert "prefers-color-scheme: dark" in svg
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert words.count("shop: app=a") == 2


def test_a_picture_shows_names_as_text_and_stays_inside_of_its_frame(
    ask: Netctl, agent: RecordedAgent, tmp_path: Path
) -> None:
    evil = end("<script>&", 256)
    wide = [end(f"namespace-{number}: app=a-long-name-{number}", 300 + number) for number in range(30)]
    agent.answers["GET", "/v1/policies/matrix"] = MATRIX | {
        "ends": [evil, *wide],
        "cells": [{"source": 0, "destination": number, "reach": EVERYTHING} for number in range(31)],
    }
    ask("policy", "matrix", "--picture", str(tmp_path / "m.html"))
    drawn = (tmp_path / "m.html").read_text()
    assert "<script>" not in drawn
    root = ET.fromstring(drawn[drawn.index("<svg") : drawn.index("</svg>") + 6])  # noqa: S314 - our own
    width, height = (float(root.get(side, "0")) for side in ("width", "height"))
    for box in root.iter(f"{SVG}rect"):
        assert float(box.get("x", "0")) + float(box.get("width", "0")) <= width
        assert float(box.get("y", "0")) + float(box.get("height", "0")) <= height


@pytest.mark.parametrize("name", ["m.png", "nowhere/m.svg"])
def test_a_picture_that_cannot_be_drawn_is_wrong_usage(
    ask: Netctl, agent: RecordedAgent, tmp_path: Path, name: str
) -> None:
    assert ask("policy", "matrix", "--picture", str(tmp_path / name)).status == 2
    assert agent.requests == []


def test_services_read_as_people_write_them() -> None:
    found = [reach("tcp", 80, 80), reach("tcp", 443, 443), reach("udp", 0, 65535), reach("other", 0, 0)]
    assert reaches_text(found) == "tcp 80 443, udp, other protocols"
    assert reaches_text([]) == "nothing"
    assert reaches_text([reach("any", 0, 65535, audited=True)]) == "everything (audited)"


def test_services_that_go_by_the_proxy_are_marked_and_the_mark_is_explained(
    ask: Netctl, agent: RecordedAgent, tmp_path: Path
) -> None:
    """In the table by a word, in the picture by a corner."""
    judged = [reach("tcp", 80, 80, by_proxy=True), reach("tcp", 443, 443)]
    cells = [{"source": 0, "destination": 1, "reach": judged}]
    agent.answers["GET", "/v1/policies/matrix"] = MATRIX | {"cells": cells}
    out = ask("policy", "matrix", "--picture", str(tmp_path / "m.svg")).out
    assert "a   tcp 80 (by proxy), tcp 443\nby proxy: the proxy judges each request, or tells of it" in out
    drawn = (tmp_path / "m.svg").read_text()
    assert (drawn.count('<path class="proxied"'), "some of it passes by the proxy" in drawn) == (2, True)


def test_a_grid_has_a_letter_for_each_answer_however_many_there_are() -> None:
    cells = [{"source": 0, "destination": port, "reach": [reach("tcp", port, port)]} for port in range(1, 30)]
    found = grid({"ends": [], "cells": cells})
    assert len(set(found.marks.values())) == len(cells)
    assert {"a", "z", "aa", "ac"} <= set(found.legend)
