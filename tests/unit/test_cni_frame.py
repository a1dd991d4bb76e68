"""A CNI call on its way to the agent: nothing is lost, nothing is taken for what it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.cni.errors import CniError, Code
from netloom.cni.frame import MAX_ENVIRONMENT_BYTES, pack, unpack

NAMES = st.from_regex(r"CNI_[A-Z_]{0,8}", fullmatch=True)
VALUES = st.binary(max_size=30).map(lambda raw: raw.replace(b"\0", b"").decode(errors="surrogateescape"))


@given(st.dictionaries(NAMES, VALUES, max_size=5), st.binary(max_size=60))
def test_what_is_packed_comes_out_again(environment: dict[str, str], stdin: bytes) -> None:
    assert unpack(pack(environment, stdin)) == (environment, stdin)


def test_variables_that_are_not_the_runtimes_stay_behind() -> None:
    assert unpack(pack({"HOME": "/root", "CNI_IFNAME": "eth0"}, b"{}")) == ({"CNI_IFNAME": "eth0"}, b"{}")


@given(st.binary(max_size=80))
def test_any_bytes_are_a_call_or_an_error(raw: bytes) -> None:
    match outcome(raw):
        case CniError() as error:
            assert error.code == Code.IO_FAILURE
        case environment, stdin:
            assert all(name.startswith("CNI_") for name in environment)
            assert raw.endswith(stdin)


def outcome(raw: bytes) -> tuple[dict[str, str], bytes] | CniError:
    """Any other exception fails the test."""
    try:
        return unpack(raw)
    except CniError as error:
        return error


@pytest.mark.parametrize("raw", [b"", b"CNI_COMMAND=ADD", b"CNI_COMMAND=ADD\0{}", b"HOME=/\0\0{}", b"CNI_A\0\0"])
def test_a_call_that_does_not_end_its_variables_is_refused(raw: bytes) -> None:
    with pytest.raises(CniError):
        unpack(raw)


def test_too_long_an_environment_is_refused_on_both_sides() -> None:
    long = "x" * MAX_ENVIRONMENT_BYTES
    with pytest.raises(CniError, match="at most 65536"):
        pack({"CNI_ARGS": long}, b"")
    with pytest.raises(CniError):
        unpack(b"CNI_ARGS=" + long.encode() + b"\0\0")
