"""What ADD prints, in the shape each version of the specification wants, and what CHECK compares it with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from netloom.cni.request import Request, parse
from netloom.cni.result import Added, differences, promised_addresses, render_added
from support import answers

ENDPOINT = answers.ENDPOINTS[0]
IPS = [
    {"address": "10.244.1.2/32", "interface": 1, "gateway": "10.244.1.1"},
    {"address": "fd00:10:244:1::2/128", "interface": 1, "gateway": "fd00:10:244:1::1"},
]
GATEWAYS = ("10.244.1.1", "fd00:10:244:1::1")
RESULT: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "interfaces": [
        {"name": "lxc0d15ea5e0001", "mac": "e2:d8:51:8b:44:d4"},
        {"name": "eth0", "mac": "0a:c5:89:f9:04:84", "sandbox": "/run/netns/busybox1"},
    ],
    "ips": IPS,
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.244.1.1"}, {"dst": "::/0", "gw": "fd00:10:244:1::1"}],
    "dns": {},
}


def request(version: str = "1.0.0") -> Request:
    environment = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c0ffee01",
        "CNI_NETNS": "/run/netns/busybox1",
        "CNI_IFNAME": "eth0",
    }
    return parse(environment, json.dumps({"cniVersion": version, "name": "netloom"}).encode())


def added(version: str = "1.0.0", previous: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    made = Added(ENDPOINT, ("10.244.1.1", "fd00:10:244:1::1"), 1450, {})._replace(**changes)
    return render_added(request(version), previous or {}, made)


def test_the_result_names_both_ends_the_addresses_and_the_routes() -> None:
    assert added() == RESULT


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0"])
def test_before_1_0_an_address_says_its_family(version: str) -> None:
    families = [ip | {"version": family} for ip, family in zip(IPS, "46", strict=True)]
    assert added(version) == RESULT | {"cniVersion": version, "ips": families}


def test_since_1_1_an_interface_says_its_mtu() -> None:
    assert [interface["mtu"] for interface in added("1.1.0")["interfaces"]] == [1450, 1450]


def test_an_endpoint_of_one_family_has_one_address_and_one_route() -> None:
    answer = added(endpoint=ENDPOINT | {"ipv6": None})
    assert (answer["ips"], answer["routes"]) == (IPS[:1], RESULT["routes"][:1])


def test_a_family_without_gateway_gets_no_route() -> None:
    answer = added(gateways=("10.244.1.1",))
    assert answer["ips"][1] == {"address": "fd00:10:244:1::2/128", "interface": 1}
    assert answer["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.244.1.1"}]


def test_in_a_chain_the_result_before_is_extended() -> None:
    before = {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "bond0"}],
        "ips": [{"address": "192.0.2.1/24", "interface": 0}],
        "routes": [{"dst": "192.0.2.0/24"}],
        "dns": {"nameservers": ["192.0.2.53"], "domain": "example.org"},
    }
    answer = added(previous=before, dns={"nameservers": ["10.96.0.10"]})
    assert [interface["name"] for interface in answer["interfaces"]] == ["bond0", "lxc0d15ea5e0001", "eth0"]
    assert [(ip["address"], ip["interface"]) for ip in answer["ips"]] == [
        ("192.0.2.1/24", 0),
        ("10.244.1.2/32", 2),
        ("fd00:10:244:1::2/128", 2),
    ]
    assert [route["dst"] for route in answer["routes"]] == ["192.0.2.0/24", "0.0.0.0/0", "::/0"]
    assert answer["dns"] == {"nameservers": ["10.96.0.10"], "domain": "example.org"}


def test_an_endpoint_is_what_add_printed() -> None:
    assert differences(request(), RESULT, ENDPOINT, GATEWAYS) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ipv4": "10.244.1.9"}, "it has 10.244.1.9/32 and fd00:10:244:1::2/128, expected 10.244.1.2/32 and"),
        ({"state": "invalid"}, 'its state is "invalid"'),
        ({"mac": "02:00:00:00:00:01"}, "its MAC address is 02:00:00:00:00:01, expected '0a:c5:89:f9:04:84'"),
    ],
)
def test_an_endpoint_that_is_not_says_in_what(change: dict[str, str], words: str) -> None:
    assert words in differences(request(), RESULT, ENDPOINT | change, GATEWAYS)[0]


@pytest.mark.parametrize(
    "previous",
    [
        RESULT | {"ips": IPS[:1]},
        RESULT | {"ips": [ip | {"interface": 0} for ip in IPS]},
        RESULT | {"ips": [ip | {"interface": [1]} for ip in IPS]},
        RESULT | {"interfaces": []},
        RESULT | {"interfaces": [{"name": "eth0"}]},
        RESULT | {"interfaces": [{"name": "lxc0000"}, RESULT["interfaces"][1]]},
        RESULT | {"interfaces": [RESULT["interfaces"][0] | {"mac": "02:00:00:00:00:01"}, RESULT["interfaces"][1]]},
        RESULT | {"ips": [ip | {"gateway": "10.9.9.9"} for ip in IPS]},
        RESULT | {"routes": [{"dst": "0.0.0.0/0", "gw": "10.9.9.9"}]},
    ],
)
def test_a_result_that_contradicts_the_endpoint_is_told(previous: dict[str, Any]) -> None:
    assert differences(request(), previous, ENDPOINT, GATEWAYS)


def test_a_mac_may_be_written_in_either_case() -> None:
    shouted = [one | {"mac": one["mac"].upper()} for one in RESULT["interfaces"]]
    assert differences(request(), RESULT | {"interfaces": shouted}, ENDPOINT, GATEWAYS) == ()


def test_what_a_plugin_chained_later_added_is_promised_and_no_difference() -> None:
    more = RESULT | {
        "interfaces": [*RESULT["interfaces"], {"name": "tap0"}],
        "ips": [*IPS, {"address": "192.0.2.7/24", "interface": 1}],
        "routes": [*RESULT["routes"], {"dst": "192.0.2.0/24", "gw": "192.0.2.1"}],
    }
    assert differences(request(), more, ENDPOINT, GATEWAYS) == ()
    assert "192.0.2.7/24" in promised_addresses(request(), more)
