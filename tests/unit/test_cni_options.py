"""What an ADD may ask for besides an interface: done, or refused with a sentence."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.cni.errors import CniError, Code
from netloom.cni.options import ANNOTATIONS, Options, options_of
from netloom.cni.request import parse

ENVIRONMENT = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_NETNS": "/n", "CNI_IFNAME": "eth0"}


def options(arguments: str = "", **config: Any) -> Options:
    whole = {"cniVersion": "1.0.0", "name": "net"} | config
    return options_of(parse(ENVIRONMENT | {"CNI_ARGS": arguments}, json.dumps(whole).encode()))


def refusal(arguments: str = "", **config: Any) -> CniError:
    with pytest.raises(CniError) as caught:
        options(arguments, **config)
    return caught.value


def test_a_call_that_asks_for_nothing_gets_nothing() -> None:
    assert options() == Options(labels=(), pod_name="", pod_namespace="", pod_uid="", dns={})


def test_the_pod_is_named_by_cni_args() -> None:
    found = options("IgnoreUnknown=1;K8S_POD_NAME=a;K8S_POD_NAMESPACE=b;K8S_POD_UID=c;K8S_POD_INFRA_CONTAINER_ID=d")
    assert (found.pod_name, found.pod_namespace, found.pod_uid) == ("a", "b", "c")


def test_an_argument_nobody_knows_is_refused_unless_the_runtime_says_it_may_be_passed_over() -> None:
    error = refusal("COLOUR=red;K8S_POD_NAME=a")
    assert (error.code, "none of COLOUR" in error.message) == (Code.INVALID_ENVIRONMENT, True)
    assert options("COLOUR=red;IgnoreUnknown=true;K8S_POD_NAME=a").pod_name == "a"


@pytest.mark.parametrize("key", ["ipam", "mtu", "ipMasq", "bandwidth", "ingressRate"])
def test_a_key_that_other_plugins_know_is_refused(key: str) -> None:
    """Whoever wrote it expects it to do something."""
    other: dict[str, Any] = {key: {}}
    error = refusal(**other)
    assert error.message.startswith(f'"{key}" in the network config asks for what Netloom does not do')
    assert error.code == Code.UNSUPPORTED_FIELD


def test_an_argument_has_one_value() -> None:
    assert refusal("K8S_POD_NAME=a;K8S_POD_NAME=b").code == Code.INVALID_ENVIRONMENT
    assert options("K8S_POD_NAME=a;K8S_POD_NAME=a").pod_name == "a"


def test_labels_come_from_args_and_runtime_config_and_are_kubernetes_unless_they_name_a_source() -> None:
    args = {"cni": {"labels": [{"key": "app", "value": "x"}, {"key": "any:tier"}]}}
    runtime = {"labels": [{"key": "zone", "value": "z1"}]}
    assert options(args=args, runtimeConfig=runtime).labels == ("k8s:app=x", "any:tier=", "k8s:zone=z1")


def test_an_annotation_is_a_label_only_when_the_config_names_it() -> None:
    runtime = {ANNOTATIONS: {"team": "blue", "checksum": "0" * 64}}
    assert options(runtimeConfig=runtime).labels == ()
    assert options(runtimeConfig=runtime, labelAnnotations=["team", "missing"]).labels == ("k8s:team=blue",)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ipRanges", [[{"subnet": "10.0.0.0/24"}]], "IPAM plugin"),
        ("portMappings", [{"hostPort": 80, "containerPort": 80, "protocol": "tcp"}], "ports of the host"),
        ("portMappings", [{"HostPort": 80, "ContainerPort": 80, "Protocol": "tcp"}], "ports of the host"),
        ("aliases", {"net": ["web"]}, "not known here"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name_with_what_to_do(name: str, value: object, words: str) -> None:
    error = refusal(runtimeConfig={name: value})
    assert (error.code, f'"{name}"' in error.message, words in error.message) == (Code.UNSUPPORTED_FIELD, True, True)
    assert "capabilities" in error.details or "portmap" in error.details


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bandwidth", {}),
        ("bandwidth", {"ingressRate": 0, "ingressBurst": 0, "egressRate": 0, "egressBurst": 0}),
        ("portMappings", None),
        ("portMappings", [{"hostPort": 0, "containerPort": 80}]),
        ("ips", []),
        ("mac", ""),
        ("aliases", {"net": []}),
        ("cgroupPath", "/kubepods/x"),
    ],
)
def test_a_capability_that_asks_for_nothing_is_no_obstacle(name: str, value: object) -> None:
    assert options(runtimeConfig={name: value}).labels == ()


def test_dns_of_the_runtime_takes_the_place_of_the_configs_list_by_list() -> None:
    configured = {"nameservers": ["192.0.2.53"], "domain": "example.org", "search": ["example.org"]}
    asked = {"servers": ["10.96.0.10"], "searches": [], "options": ["ndots:5"]}
    assert options(dns=configured, runtimeConfig={"dns": asked}).dns == {
        "nameservers": ["10.96.0.10"],
        "search": ["example.org"],
        "options": ["ndots:5"],
        "domain": "example.org",
    }


@pytest.mark.parametrize(
    "config",
    [
        {"args": []},
        {"args": {"cni": {"labels": {"app": "x"}}}},
        {"args": {"cni": {"labels": [{"key": 1}]}}},
        {"args": {"cni": {"labels": ["app=x"]}}},
        {"runtimeConfig": []},
        {"runtimeConfig": {"dns": "1.1.1.1"}},
        {"runtimeConfig": {"dns": {"servers": [1]}}},
        {"runtimeConfig": {"labels": {"a": "b"}}},
        {"runtimeConfig": {"portMappings": {"hostPort": 80}}},
        {"runtimeConfig": {ANNOTATIONS: ["a"]}},
        {"runtimeConfig": {ANNOTATIONS: {"a": 1}}, "labelAnnotations": ["a"]},
        {"labelAnnotations": "team"},
        {"dns": []},
        {"dns": {"nameservers": "1.1.1.1"}},
        {"dns": {"domain": 5}},
    ],
)
def test_a_setting_of_the_wrong_kind_has_code_7(config: dict[str, Any]) -> None:
    assert refusal(**config).code == Code.INVALID_CONFIG


TEXT = st.sampled_from(["10.0.0.5", "10.0.0.5/24", "fd00::5", "fe80::1%a", "02:00:00:00:00:01", "01-00-5e-00-00-01"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["hostPort", "key", "value", "servers", "labels", "cni", "ips", "mac"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
CAPABILITY = st.sampled_from(["dns", "labels", "bandwidth", "ips", "mac", "portMappings", ANNOTATIONS, "cgroupPath"])


@given(st.dictionaries(CAPABILITY, JSON, max_size=3), JSON, JSON, JSON)
def test_whatever_is_asked_for_is_an_answer_or_an_error(runtime: Any, args: Any, dns: Any, annotations: Any) -> None:
    whole = {"cniVersion": "1.0.0", "name": "n", "runtimeConfig": runtime, "args": args, "dns": dns}
    request = parse(ENVIRONMENT, json.dumps(whole | {"labelAnnotations": annotations}).encode())
    with suppress(CniError):
        assert isinstance(options_of(request), Options)
