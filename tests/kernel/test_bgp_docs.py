"""The routers' side of docs/bgp.md is what FRR and BIRD take."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "bgp.md").read_text()


def snippet(language: str) -> str:
    """The only block of a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


def refused(argv: list[str]) -> str:
    """What a program says against a file; "" when it takes it."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    return done.stdout + done.stderr if done.returncode else ""


def test_frr_takes_its_part(tmp_path: Path) -> None:
    file = tmp_path / "frr.conf"
    file.write_text(snippet("frr"))
    assert refused(["vtysh", "-C", "-f", str(file)]) == ""
    file.write_text(snippet("frr").replace("remote-as", "remote-has"))
    assert refused(["vtysh", "-C", "-f", str(file)]) != ""


def test_bird_takes_its_part(tmp_path: Path) -> None:
    file = tmp_path / "bird.conf"
    file.write_text(snippet("bird"))
    assert refused(["bird", "-p", "-c", str(file)]) == ""
    file.write_text(snippet("bird").replace("neighbor", "nieghbor"))
    assert refused(["bird", "-p", "-c", str(file)]) != ""
