"""Addresses, labels, identities, attachments: the values everything else is made of."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.model.address import Address, Network, host_prefix, pack, pack_prefix, parse_network, unpack, unpack_prefix
from netloom.model.endpoint import MAX_IFNAME_BYTES, Attachment
from netloom.model.errors import Invalid, KernelError, VerifierError
from netloom.model.identity import Reserved, is_cluster_scope, reserved_identities
from netloom.model.labels import MAX_LABELS, Label, canonical, label_set

ADDRESSES = st.ip_addresses()
NETWORKS = st.tuples(ADDRESSES, st.integers(0, 128)).map(
    lambda pair: (IPv4Network if pair[0].version == 4 else IPv6Network)(
        (pair[0], min(pair[1], pair[0].max_prefixlen)), strict=False
    )
)


@given(ADDRESSES)
def test_an_address_comes_back_from_its_sixteen_bytes(address: Address) -> None:
    """Of either family; a v4-mapped IPv6 address is the IPv4 address it stands for."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    assert len(pack(address)) == 16
    assert unpack(pack(address)) == (mapped or address)


@given(NETWORKS)
def test_a_prefix_comes_back_from_its_length_and_bytes(network: Network) -> None:
    """IPv4 prefixes are 96 bits longer in the one form."""
    prefix_len, raw = pack_prefix(network)
    assert prefix_len == network.prefixlen + (96 if network.version == 4 else 0)
    if not (network.version == 6 and raw.startswith(b"\0" * 10 + b"\xff\xff")):
        assert unpack_prefix(prefix_len, raw) == network


def test_ipv4_is_v4_mapped() -> None:
    """RFC 4291, section 2.5.5.2."""
    assert pack(IPv4Address("10.0.0.1")) == IPv6Address("::ffff:10.0.0.1").packed


def test_a_host_prefix_holds_one_address() -> None:
    """/32 and /128."""
    assert [host_prefix(a).prefixlen for a in (IPv4Address("10.0.0.1"), IPv6Address("fd00::1"))] == [32, 128]


def test_a_prefix_with_host_bits_is_refused() -> None:
    """10.0.0.1/24 is a typing error more often than not."""
    with pytest.raises(ValueError, match="host bits"):
        parse_network("10.0.0.1/24")


@pytest.mark.parametrize("size", [0, 4, 15, 17])
def test_an_address_of_another_size_is_refused(size: int) -> None:
    """Shared keys have 16 bytes."""
    with pytest.raises(ValueError, match="16 bytes"):
        unpack(bytes(size))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("k8s:app=web", Label("k8s", "app", "web")),
        ("app=web", Label("k8s", "app", "web")),
        ("reserved:host", Label("reserved", "host")),
        ("k8s:io.kubernetes.pod.namespace=x", Label("k8s", "io.kubernetes.pod.namespace", "x")),
        ("k8s:app=", Label("k8s", "app")),
    ],
)
def test_a_label_is_read(text: str, label: Label) -> None:
    """Source and value may be left out."""
    assert Label.parse(text) == label
    assert Label.parse(str(label)) == label


@pytest.mark.parametrize(
    "text", ["", "=", "a b=c", "app=we b", "app=-x", "K8S:app=x", "app=" + "v" * 64, ":a", "a;b=c"]
)
def test_a_bad_label_is_refused(text: str) -> None:
    """With a sentence naming it; ``;`` is what separates labels in the store."""
    with pytest.raises(Invalid, match="label"):
        Label.parse(text)


def test_a_label_set_has_one_text_whatever_its_order() -> None:
    """The text is the key under which an identity is found."""
    assert canonical(label_set(["b=2", "a=1"])) == canonical(label_set(["a=1", "b=2"])) == "k8s:a=1;k8s:b=2;"


def test_too_many_labels_are_refused() -> None:
    """A runtime cannot make us store without bound."""
    with pytest.raises(Invalid, match="65 labels"):
        label_set([f"a{i}=b" for i in range(MAX_LABELS + 1)])


def test_reserved_identities_have_ciliums_numbers() -> None:
    """So that traces read alike."""
    assert {str(item.label): int(item) for item in Reserved} == {
        "reserved:unknown": 0,
        "reserved:host": 1,
        "reserved:world": 2,
        "reserved:unmanaged": 3,
        "reserved:health": 4,
        "reserved:init": 5,
        "reserved:remote-node": 6,
        "reserved:kube-apiserver": 7,
        "reserved:ingress": 8,
        "reserved:world-ipv4": 9,
        "reserved:world-ipv6": 10,
        "reserved:encrypted-overlay": 11,
    }
    assert not any(is_cluster_scope(identity.id) for identity in reserved_identities())


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_host_interface_name_fits_linux(container_id: str, ifname: str) -> None:
    """Whatever the runtime calls its containers, and always the same for the same one."""
    one, again = (Attachment(container_id=container_id, ifname=ifname, netns="/n") for _ in range(2))
    assert one.host_ifname == again.host_ifname
    assert one.host_ifname.startswith("lxc")
    assert len(one.host_ifname.encode()) <= MAX_IFNAME_BYTES


def test_a_kernel_error_names_operation_object_and_reason() -> None:
    """A sentence an operator can act on."""
    error = KernelError("add", 'route to "10.0.0.0/8"', 17, "remove the other one")
    assert str(error) == 'add route to "10.0.0.0/8": File exists (errno 17); remove the other one'


def test_a_verifier_error_shows_the_end_of_the_log_and_keeps_all() -> None:
    """The end is where the verifier says what it did not like."""
    error = VerifierError("p", 13, "\n".join(f"line {i}" for i in range(100)))
    assert "line 99" in str(error)
    assert "line 1\n" not in str(error)
    assert error.log.startswith("line 0")
