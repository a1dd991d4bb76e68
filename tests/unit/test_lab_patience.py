"""Time limits of the lab grow with the factor a slow machine is given."""

from __future__ import annotations

import pytest

from netloom.lab.patience import VARIABLE, patient
from netloom.model.errors import Invalid


@pytest.mark.parametrize(("factor", "limit"), [(None, 60.0), ("1", 60.0), ("2.5", 150.0)])
def test_a_limit_is_multiplied(monkeypatch: pytest.MonkeyPatch, factor: str | None, limit: float) -> None:
    """By 1 when nobody says otherwise."""
    monkeypatch.delenv(VARIABLE, raising=False)
    if factor:
        monkeypatch.setenv(VARIABLE, factor)
    assert patient(60.0) == limit


@pytest.mark.parametrize("text", ["", "fast", "0", "-1", "nan", "inf"])
def test_what_is_no_factor_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(Invalid, match=f'{VARIABLE} is "{text}"'):
        patient(1.0)
