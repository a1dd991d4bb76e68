"""What a CNI call must look like, and how it is refused otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.cni.errors import CniError, Code
from netloom.cni.frame import MAX_CONFIG_BYTES
from netloom.cni.request import (
    COMMANDS,
    VALID_ATTACHMENTS,
    Request,
    parse,
    previous_of,
    valid_attachments,
    version_of,
)

ENVIRONMENT = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "c0ffee01",
    "CNI_NETNS": "/run/netns/busybox1",
    "CNI_IFNAME": "eth0",
    "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAME=busybox1;K8S_POD_NAMESPACE=default",
}
CONFIG: dict[str, Any] = {"cniVersion": "1.0.0", "name": "net", "type": "netloom-cni", "socket": "/run/a.sock"}


def parsed(config: dict[str, Any] | None = None, **environment: str) -> Request:
    return parse(ENVIRONMENT | environment, json.dumps(CONFIG | (config or {})).encode())


def refusal(config: dict[str, Any], **environment: str) -> CniError:
    with pytest.raises(CniError) as caught:
        parsed(config, **environment)
    return caught.value


def test_a_call_is_read_from_environment_and_config() -> None:
    assert parsed() == Request(
        command="ADD",
        container_id="c0ffee01",
        netns="/run/netns/busybox1",
        ifname="eth0",
        arguments={"IgnoreUnknown": "1", "K8S_POD_NAME": "busybox1", "K8S_POD_NAMESPACE": "default"},
        version="1.0.0",
        network="net",
        socket="/run/a.sock",
        config=CONFIG,
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CNI_COMMAND", "DESTROY"),
        ("CNI_COMMAND", ""),
        ("CNI_CONTAINERID", ""),
        ("CNI_CONTAINERID", "../etc"),
        ("CNI_CONTAINERID", "-a"),
        ("CNI_CONTAINERID", "ä"),
        ("CNI_CONTAINERID", "a b"),
        ("CNI_NETNS", ""),
        ("CNI_IFNAME", ""),
        ("CNI_IFNAME", "sixteen-bytes-no"),
        ("CNI_IFNAME", ".."),
        ("CNI_IFNAME", "a/b"),
        ("CNI_IFNAME", "a:b"),
        ("CNI_IFNAME", "a b"),
        ("CNI_IFNAME", "a\nb"),
        ("CNI_IFNAME", "netzwerkgerät00"),
        ("CNI_IFNAME", "all"),
        ("CNI_IFNAME", "default"),
        ("CNI_CONTAINERID", "x" * 254),
        ("CNI_NETNS", "/" + "x" * 256),
        ("CNI_ARGS", "=x"),
        ("CNI_NETNS", "/proc/\udcff"),
        ("CNI_NETNS", "/" + "x" * 4095),
        ("CNI_ARGS", "K8S_POD_NAME"),
        ("CNI_ARGS", "K8S_POD_NAME=\udcff"),
    ],
)
def test_a_bad_variable_is_named_with_code_4(variable: str, value: str) -> None:
    error = refusal({}, **{variable: value})
    assert (error.code, variable in error.message) == (Code.INVALID_ENVIRONMENT, True)


@pytest.mark.parametrize("variable", ["CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"])
def test_a_variable_that_is_missing_is_named_with_code_4(variable: str) -> None:
    environment = {name: value for name, value in ENVIRONMENT.items() if name != variable}
    with pytest.raises(CniError, match=variable) as caught:
        parse(environment, json.dumps(CONFIG).encode())
    assert caught.value.code == Code.INVALID_ENVIRONMENT


def test_a_detachment_may_come_when_the_namespace_has_gone() -> None:
    assert parsed(CNI_COMMAND="DEL", CNI_NETNS="").netns == ""


@pytest.mark.parametrize(
    "broken",
    [
        {"name": ""},
        {"name": 1},
        {"args": []},
        {"prevResult": "gone"},
        {"runtimeConfig": {"bandwidth": {"ingressRate": -1}}},
    ],
)
def test_a_detachment_needs_no_more_of_the_config_than_its_version(broken: dict[str, Any]) -> None:
    """What ADD refuses must not keep a container from going away."""
    assert parsed(broken, CNI_COMMAND="DEL", CNI_ARGS="nonsense").key == "c0ffee01/eth0"


@pytest.mark.parametrize("command", ["ADD", "GC"])
@pytest.mark.parametrize("name", ["", None, 5, "a b", "-a", "x" * 254])
def test_a_network_without_a_usable_name_has_code_7(command: str, name: object) -> None:
    error = refusal({"name": name, "cniVersion": "1.1.0"}, CNI_COMMAND=command)
    assert (error.code, '"name"' in error.message) == (Code.INVALID_CONFIG, True)


@pytest.mark.parametrize("version", ["0.2.0", "2.0.0", ""])
def test_a_version_that_is_not_supported_has_code_1(version: str) -> None:
    assert refusal({"cniVersion": version}).code == Code.INCOMPATIBLE_VERSION


def test_a_config_without_version_is_the_oldest_and_too_old() -> None:
    with pytest.raises(CniError, match=r"0\.1\.0"):
        parse(ENVIRONMENT, b"{}")


@pytest.mark.parametrize(("command", "version"), [("CHECK", "0.3.1"), ("STATUS", "1.0.0"), ("GC", "1.0.0")])
def test_a_command_younger_than_the_config_is_refused(command: str, version: str) -> None:
    assert refusal({"cniVersion": version}, CNI_COMMAND=command).code == Code.INCOMPATIBLE_VERSION


@pytest.mark.parametrize(
    ("stdin", "words"),
    [
        (b" \n", "standard input is empty"),
        (b"{", "is no JSON"),
        (b"[]", "is a list, expected an object"),
        (b"null", "is null"),
        (b"\xff", "is no JSON"),
        (b"[" * 100_000, "nested far too deeply"),
        (b'{"a": "' + b"x" * MAX_CONFIG_BYTES + b'"}', "more than"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"a": 1e999}', "1e999 is too large a number"),
        (b'{"a": ' + b"1" * 5000 + b"}", "a number of 5000 digits is too large"),
    ],
)
def test_what_is_no_config_has_code_6(stdin: bytes, words: str) -> None:
    with pytest.raises(CniError, match=words) as caught:
        parse(ENVIRONMENT, stdin)
    assert caught.value.code == Code.CANNOT_DECODE


def test_a_version_is_repeated_only_if_it_is_short() -> None:
    assert version_of(b'{"cniVersion": "9.9"}') == "9.9"
    assert version_of(b'{"cniVersion": "' + b"9" * 1000 + b'"}') == "1.1.0"


@pytest.mark.parametrize(
    "config",
    [
        {"socket": 1},
        {"socket": "relative.sock"},
        {"socket": "/a\0b"},
        {"socket": "/\ud800"},
        {"socket": "/" + "x" * 107},
        {"cniVersion": 1.0},
    ],
)
def test_a_setting_of_the_wrong_kind_has_code_7(config: dict[str, Any]) -> None:
    assert refusal(config).code == Code.INVALID_CONFIG


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "previous",
    [
        [],
        {"interfaces": [1]},
        {"interfaces": [{"name": 1}]},
        {"ips": [{"address": 1}]},
        {"routes": {}},
        {"dns": []},
        {"ips": [{"address": "10.0.0.1/8", "more": nested(40)}]},
    ],
)
def test_a_previous_result_that_is_none_has_code_7(previous: object) -> None:
    with pytest.raises(CniError) as caught:
        previous_of(parsed({"prevResult": previous}))
    assert caught.value.code == Code.INVALID_CONFIG


def valid(attachments: object) -> frozenset[str]:
    config = {"cniVersion": "1.1.0", VALID_ATTACHMENTS: attachments}
    return valid_attachments(parsed(config, CNI_COMMAND="GC"))


def test_gc_leaves_alone_what_the_runtime_lists() -> None:
    listed = [{"containerID": "a", "ifname": "eth0"}, {"containerID": "b", "ifname": "net1"}]
    assert valid(listed) == {"a/eth0", "b/net1"}


@pytest.mark.parametrize("nothing", [[], None])
def test_gc_with_an_empty_list_leaves_nothing_alone(nothing: object) -> None:
    assert valid(nothing) == frozenset()


@pytest.mark.parametrize(
    "listed", ["a", [1], {}, [{}], [{"containerID": "a"}], [{"containerID": "a", "ifname": 1}], [{"ifname": "eth0"}]]
)
def test_gc_with_a_list_it_cannot_read_takes_nothing_away(listed: object) -> None:
    with pytest.raises(CniError) as caught:
        valid(listed)
    assert caught.value.code == Code.INVALID_CONFIG


def test_gc_without_a_list_takes_nothing_away() -> None:
    with pytest.raises(CniError, match="expected a list"):
        valid_attachments(parsed({"cniVersion": "1.1.0"}, CNI_COMMAND="GC"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["cniVersion", "socket", "args", "prevResult", "cni", "labels", "interfaces", "ips", "address"])
CONFIGS = st.recursive(
    JSON, lambda inner: st.dictionaries(KEYS, inner, max_size=4) | st.lists(inner, max_size=2), max_leaves=12
)
TEXTS = st.text(max_size=20) | st.sampled_from(["eth0", "c0ffee01", "A=b;C=d"])


def outcome(environment: dict[str, str], stdin: bytes) -> Request | CniError:
    """What becomes of a call; any other exception fails the test."""
    try:
        request = parse(environment, stdin)
        previous_of(request)
    except CniError as error:
        return error
    return request


@given(
    command=st.sampled_from([*COMMANDS, ""]),
    version=st.sampled_from(["0.3.1", "1.1.0"]),
    config=CONFIGS,
    texts=st.tuples(TEXTS, TEXTS, TEXTS, TEXTS),
)
def test_whatever_a_runtime_sends_is_a_request_or_an_error(
    command: str, version: str, config: Any, texts: tuple[str, str, str, str]
) -> None:
    stdin = json.dumps({"cniVersion": version} | config if isinstance(config, dict) else config).encode()
    names = ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS")
    match outcome({"CNI_COMMAND": command, **dict(zip(names, texts, strict=True))}, stdin):
        case Request() as request:
            assert request.command == command
        case CniError() as error:
            assert error.message
    assert version_of(stdin)


@given(stdin=st.binary())
def test_any_bytes_are_an_error_unless_they_are_a_config(stdin: bytes) -> None:
    result = outcome(ENVIRONMENT, stdin)
    assert isinstance(result, CniError)
    assert result.code in (Code.CANNOT_DECODE, Code.INCOMPATIBLE_VERSION)
