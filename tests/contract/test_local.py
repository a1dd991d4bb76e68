"""local keeps the contract of a store, and its section the bounds it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from netloom.model.errors import ConfigError
from netloom.plugins import Context, Store
from netloom.plugins.testing import StoreConformance, check_plugin, read_section
from netloom_local.plugin import Local, LocalSettings


def test_the_plugin_keeps_the_contract() -> None:
    check_plugin(Local)


class TestStore(StoreConformance):
    """The kit's, on the store as the agent gets it."""

    @pytest.fixture(autouse=True)
    def _fresh(self, tmp_path: Path) -> None:
        self.settings = LocalSettings(path=tmp_path / "store.db")

    def make_store(self) -> Store:
        return Local().netloom_store(Context(node_name="node1", config=self.settings))


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("path: store.db", "expected an absolute path"),
        ("path: /etc/passwd", "does not end in .db"),
        ("poll_interval_s: 0", "from 0.05 to 60"),
    ],
)
def test_a_section_that_cannot_be_used_is_refused(section: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_section(LocalSettings, section)
    assert words in str(caught.value)


def test_an_empty_section_is_enough() -> None:
    assert read_section(LocalSettings, "") == LocalSettings()
