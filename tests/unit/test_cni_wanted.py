"""Addresses and a MAC of the runtime's choice: read from wherever they may be asked for, and never half."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any

import pytest

from netloom.cni.errors import CniError, Code
from netloom.cni.options import options_of
from netloom.cni.request import parse
from netloom.cni.wanted import Wanted

ENVIRONMENT = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_NETNS": "/n", "CNI_IFNAME": "eth0"}
IPV4, IPV6 = ip_address("10.0.0.5"), ip_address("fd00::5")
MAC = bytes.fromhex("02aabbccddee")

Asked = dict[str, Any]


def wanted(arguments: str = "", runtime: Asked | None = None, args: Asked | None = None) -> Wanted:
    config = {"cniVersion": "1.0.0", "name": "net", "runtimeConfig": runtime, "args": {"cni": args}}
    return options_of(parse(ENVIRONMENT | {"CNI_ARGS": arguments}, json.dumps(config).encode())).wanted


def refusal(arguments: str = "", runtime: Asked | None = None, args: Asked | None = None) -> CniError:
    with pytest.raises(CniError) as caught:
        wanted(arguments, runtime, args)
    return caught.value


@pytest.mark.parametrize(
    ("arguments", "runtime", "args", "addresses"),
    [
        ("", {"ips": ["10.0.0.5"]}, {}, (IPV4,)),
        ("", {"ips": ["fd00::5/64", "10.0.0.5/24"]}, {}, (IPV4, IPV6)),
        ("", {"ips": ["10.0.0.5/32", "10.0.0.5/24"]}, {}, (IPV4,)),
        ("", {}, {"ips": ["10.0.0.5/24"]}, (IPV4,)),
        ("IP=10.0.0.5", {}, {}, (IPV4,)),
        ("IP=10.0.0.5/24", {}, {}, (IPV4,)),
        ("IP=fd00::5, 10.0.0.5/24", {}, {}, (IPV4, IPV6)),
        ("IP=10.0.0.5", {"ips": ["10.0.0.5/24", "FD00:0::5"]}, {"ips": ["fd00::5"]}, (IPV4, IPV6)),
        ("IP=10.0.0.5", {"ips": ["fd00::5"]}, {}, (IPV4, IPV6)),
        ("IP=", {"ips": []}, {"ips": None}, ()),
    ],
)
def test_addresses_of_all_places_add_up(
    arguments: str, runtime: Asked, args: Asked, addresses: tuple[object, ...]
) -> None:
    """IPv4 first, without the lengths of prefixes, each once."""
    assert wanted(arguments, runtime, args) == Wanted(addresses=addresses)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "runtime", "args", "mac"),
    [
        ("", {"mac": "02:aa:bb:cc:dd:ee"}, {}, MAC),
        ("", {"mac": "02-AA-BB-CC-DD-EE"}, {}, MAC),
        ("", {}, {"mac": "02:aa:bb:cc:dd:ee"}, MAC),
        ("IgnoreUnknown=1;MAC=02:aa:bb:cc:dd:ee", {}, {}, MAC),
        ("MAC=02:AA:BB:CC:DD:EE", {"mac": "02:aa:bb:cc:dd:ee"}, {}, MAC),
        ("MAC=", {"mac": ""}, {"mac": None}, None),
    ],
)
def test_a_mac_is_read_from_any_place(arguments: str, runtime: Asked, args: Asked, mac: bytes | None) -> None:
    assert wanted(arguments, runtime, args) == Wanted(mac=mac)


@pytest.mark.parametrize(
    ("arguments", "runtime", "args", "asked", "what"),
    [
        (
            "IP=10.0.0.6",
            {"ips": ["10.0.0.5/24"]},
            {},
            "runtimeConfig.ips asks for 10.0.0.5/24 and IP of CNI_ARGS for 10.0.0.6",
            "IPv4 address",
        ),
        (
            "",
            {"ips": ["fd00::5", "10.0.0.5", "fd00::6"]},
            {},
            "runtimeConfig.ips asks for fd00::5 and runtimeConfig.ips for fd00::6",
            "IPv6 address",
        ),
        (
            "MAC=02:00:00:00:00:01",
            {},
            {"mac": "02:00:00:00:00:02"},
            "args.cni.mac asks for 02:00:00:00:00:02 and MAC of CNI_ARGS for 02:00:00:00:00:01",
            "MAC address",
        ),
    ],
)
def test_places_that_contradict_each_other_are_refused_with_both(
    arguments: str, runtime: Asked, args: Asked, asked: str, what: str
) -> None:
    """Rather than one of them passed over."""
    error = refusal(arguments, runtime, args)
    assert (error.code, error.message) == (Code.UNSUPPORTED_FIELD, f"{asked}, but a container gets one {what}")


NO_ADDRESSES = [
    "10.0.0",
    "10.0.0.5/33",
    "10.0.0.5/",
    "nowhere",
    "fe80::1%eth0",
    "fd00::5/129",
    "10.0.0.5/" + "9" * 5000,
]
NO_MACS = [
    "02:00:00:00:00",
    "02:00:00:00:00:00:01",
    "0:1:2:3:4:5",
    "020000000001",
    "02:00:00:00:00:0g",
    "00:00:00:00:00:00",
    "01:00:5e:00:00:01",
    "ff:ff:ff:ff:ff:ff",
]


@pytest.mark.parametrize("found", NO_ADDRESSES, ids=lambda found: found[:20])
def test_what_is_no_address_is_refused_with_its_place(found: str) -> None:
    by_config, by_variable = refusal(runtime={"ips": [found]}), refusal(f"IP={found}")
    assert (by_config.code, by_variable.code) == (Code.INVALID_CONFIG, Code.INVALID_ENVIRONMENT)
    assert by_config.message.startswith('"runtimeConfig.ips" in the network config is')
    assert by_variable.message.startswith("IP of CNI_ARGS is")


@pytest.mark.parametrize("found", NO_MACS)
def test_what_is_no_mac_of_one_interface_is_refused_with_its_place(found: str) -> None:
    """Too short, too long, all zeros, a group's."""
    by_config, by_variable = refusal(runtime={"mac": found}), refusal(f"MAC={found}")
    assert (by_config.code, by_variable.code) == (Code.INVALID_CONFIG, Code.INVALID_ENVIRONMENT)
    assert by_config.message.startswith('"runtimeConfig.mac" in the network config is')
    assert by_variable.message.startswith("MAC of CNI_ARGS is")


@pytest.mark.parametrize(
    "runtime", [{"ips": "10.0.0.5"}, {"ips": [5]}, {"ips": [["10.0.0.5"]]}, {"ips": [""]}, {"mac": 5}, {"mac": ["x"]}]
)
def test_a_wish_of_the_wrong_kind_has_code_7(runtime: Asked) -> None:
    assert refusal(runtime=runtime).code == Code.INVALID_CONFIG
    assert refusal(args=runtime).code == Code.INVALID_CONFIG
