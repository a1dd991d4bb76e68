"""The objects plugins give, doing wrong: the request at hand fails with the plugin's name, and nothing else."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, ip_address
from typing import Any

import pytest

from netloom.model.errors import Conflict, Invalid, StoreError
from netloom.plugins import AddressRequest, Allocation, RouteChanges
from netloom.plugins.guard import PluginFailure
from netloom.plugins.guarded_router import AnyRouter, GuardedRouter, GuardedWatcher
from netloom.plugins.manager import Active, PluginManager
from netloom.plugins.testing import node
from support.plugins import IPAM, Workshop, activate, hook, plugin


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("class T: pass", "it lacks gateways, allocate, release, restore, status, prefixes"),
        (IPAM.replace("10.1.0.1", "10.2.0.1") + "T = ThePool", "gave gateway 10.2.0.1, which is in none of its"),
        (IPAM.replace('(ip_address("10.1.0.1"),)', "()") + "T = ThePool", "gave gateways (none) for prefixes 10.1.0.0"),
        (IPAM.replace('ip_network("10.1.0.0/24"),', '"10.1.0.0/24",') + "T = ThePool", "gave prefixes that are no"),
        (
            IPAM.replace('ip_network("10.1.0.0/24"),', 'ip_network("10.1.0.0/24"), ip_network("10.0.0.0/8")')
            + "T = ThePool",
            "gave prefixes that overlap: 10.1.0.0/24 and 10.0.0.0/8",
        ),
        (IPAM + "class T(ThePool):\n    @property\n    def prefixes(self): raise OSError('disk')", "raised OSError"),
        (IPAM + "class T(ThePool):\n    @property\n    def prefixes(self): hang()", "took longer"),
    ],
)  # fmt: skip
async def test_an_ipam_that_cannot_be_is_refused_at_start(shop: Workshop, body: str, words: str) -> None:
    shop.install("bad", f"{body}\n" + plugin("bad", hook("netloom_ipam", "return T()"), role="IPAM"))
    with pytest.raises(PluginFailure) as caught:
        await activate(shop.discover(), "ipam: bad\n")
    missing = "it lacks "
    if words.startswith(missing):
        found = str(caught.value).partition(missing)[2].split(", ")
        assert set(found) == set(words.removeprefix(missing).split(", "))
    else:
        assert words in str(caught.value)


def method(name: str, body: str, arguments: str = "") -> str:
    return f"class T(ThePool):\n    async def {name}(self{arguments}):\n        {body}\n"


ALLOCATIONS = [
    ("return None", "returned NoneType, expected Allocation"),
    ("raise KeyError(request.owner)", "raised KeyError: 'a'"),
    ("await asyncio.sleep(60)", "Ipam.allocate took longer than"),
    ("return Allocation(owner='x', addresses=(ip_address('10.1.0.9'),))", 'an allocation of "x", expected one of "a"'),
    (
        "return Allocation(owner=request.owner, addresses=())",
        "returned addresses (none), expected one for each IP version",
    ),
    ("return Allocation(owner=request.owner, addresses=('10.1.0.9',))", "gave addresses that are no tuple"),
    (
        "return Allocation(owner=request.owner, addresses=(ip_address('10.2.0.9'),))",
        "returned 10.2.0.9, expected an address of",
    ),
    (
        "return Allocation(owner=request.owner, addresses=(ip_address('10.1.0.1'),))",
        "returned 10.1.0.1, expected an address of",
    ),
]


@pytest.mark.parametrize(("body", "words"), ALLOCATIONS)
async def test_an_allocation_that_cannot_be_fails_the_request_and_is_released(
    shop: Workshop, body: str, words: str
) -> None:
    released = "class U(T):\n    async def release(self, owner): released.append(owner)\nreleased = []\n"
    source = IPAM + method("allocate", body, ", request") + released
    shop.install("bad", source + plugin("bad", hook("netloom_ipam", "return U()"), role="IPAM"))
    manager = shop.discover()
    active = await activate(manager, "ipam: bad\n")
    with pytest.raises(PluginFailure) as caught:
        await active.ipam.allocate(AddressRequest(owner="a"))
    assert words in str(caught.value)
    assert "Ipam.allocate" in shop.record("bad", manager).error
    await active.ipam.release("nobody")  # what is done in the plugin's thread is done in order
    import loomtest_netloom_bad  # type: ignore[import-not-found]

    assert loomtest_netloom_bad.released == ["a", "nobody"]


async def test_an_ipam_that_does_not_know_of_wanted_addresses_fails_the_request(shop: Workshop) -> None:
    """It was written for an earlier contract, say. What it gave is released again; other requests it serves."""
    shop.install("bad", IPAM + plugin("bad", hook("netloom_ipam", "return ThePool()"), role="IPAM"))
    active = await activate(shop.discover(), "ipam: bad\n")
    with pytest.raises(PluginFailure, match=r"returned 10\.1\.0\.9, expected 10\.1\.0\.77 among them"):
        await active.ipam.allocate(AddressRequest(owner="a", wanted=(ip_address("10.1.0.77"),)))
    lucky = AddressRequest(owner="b", wanted=(ip_address("10.1.0.9"),))
    assert (await active.ipam.allocate(lucky)).addresses == lucky.wanted


async def test_an_ipam_that_gives_one_address_twice_is_caught(shop: Workshop) -> None:
    """The second request fails; the first owner keeps its address, until it releases it."""
    shop.install("bad", IPAM + plugin("bad", hook("netloom_ipam", "return ThePool()"), role="IPAM"))
    active = await activate(shop.discover(), "ipam: bad\n")
    await active.ipam.allocate(AddressRequest(owner="a"))
    with pytest.raises(PluginFailure, match=r'gave 10\.1\.0\.9, which "a" has'):
        await active.ipam.allocate(AddressRequest(owner="b"))
    with pytest.raises(PluginFailure, match='gave "a" addresses again, expected Conflict'):
        await active.ipam.allocate(AddressRequest(owner="a"))
    stolen = Allocation(owner="b", addresses=(ip_address("10.1.0.9"),))
    with pytest.raises(PluginFailure, match='which "a" has'):
        await active.ipam.restore(stolen)
    await active.ipam.release("a")
    assert (await active.ipam.allocate(AddressRequest(owner="b"))).addresses == stolen.addresses


async def test_an_ipam_whose_status_fails_still_serves(shop: Workshop) -> None:
    source = IPAM + method("status", "raise OSError")
    shop.install("bad", source + plugin("bad", hook("netloom_ipam", "return T()"), role="IPAM"))
    active = await activate(shop.discover(), "ipam: bad\n")
    assert await active.ipam.status() == ()
    await active.ipam.allocate(AddressRequest(owner="a"))


MODE = """\
class M:
    workload = WorkloadKind.VETH
    tunnel = None
    def mtu_bytes(self, underlay_mtu_bytes, underlay): return underlay_mtu_bytes - 300
    def devices(self): return ()
    def reach(self, local, remote, mtu_bytes): return Reach()
"""


async def mode_active(shop: Workshop, source: str, pod_cidrs: str = "10.1.0.0/24") -> Active:
    shop.install("bad", MODE + source + plugin("bad", hook("netloom_network_mode", "return T()"), role="NETWORK_MODE"))
    return await activate(shop.discover(), "network_mode: bad\n", pod_cidrs)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("class T(M):\n    tunnel = Tunnel('loom_x', 1)", 'gave tunnel device "loom_x", which is none of its devices'),
        ("class T(M):\n    native_cidrs = ('10.0.0.0/8',)", "gave native_cidrs that are no tuple of IPv4Network and"),
        ("class T(M):\n    tunnel = 3", "returned a tunnel that is int, expected Tunnel"),
        ("class T(M):\n    def devices(self): return 3", "returned int, expected a list or tuple of DeviceSpec"),
        ("class T(M):\n    def devices(self): return [DeviceSpec(name='x' * 16, kind='vxlan')]", "expected a name of"),
        ("class T(M):\n    workload = 'veth'", "returned a workload that is str, expected WorkloadKind"),
        ("class T(M):\n    reach = None", "it lacks reach"),
    ],
)  # fmt: skip
async def test_a_mode_that_cannot_be_is_refused_at_start(shop: Workshop, source: str, words: str) -> None:
    with pytest.raises(PluginFailure) as caught:
        await mode_active(shop, source + "\n")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise KeyError('boom')", "NetworkMode.reach raised KeyError"),
        ("hang()", "NetworkMode.reach took longer"),
        ("return None", "NetworkMode.reach returned NoneType, expected Reach"),
        ("return Reach(tunnels={ip_network('10.0.0.0/8'): ip_address('192.0.2.2')})", "which is not in the node's"),
        ("return Reach(tunnels=[1])", "whose tunnels are no mapping"),
        ("return Reach(peers=frozenset({'192.0.2.2'}))", "gave peers that are no tuple"),
        ("return Reach(routes=('10.0.0.0/8',))", "expected only RouteSpec"),
    ],
)
async def test_a_reach_that_cannot_be_leaves_that_node_unreached(shop: Workshop, body: str, words: str) -> None:
    """Invalid is what the agent reports against the node concerned."""
    source = f"class T(M):\n    def reach(self, local, remote, mtu_bytes):\n        {body}\n"
    active = await mode_active(shop, source)
    with pytest.raises(Invalid) as caught:
        active.mode.reach(node("a", 1, "bad"), node("b", 2, "bad"), 1400)
    assert words in str(caught.value)


async def test_a_reason_the_mode_gives_on_purpose_reaches_the_operator_unchanged(shop: Workshop) -> None:
    source = (
        "from netloom.model.errors import Invalid\nclass T(M):\n    def reach(self, *_): raise Invalid('too far')\n"
    )
    active = await mode_active(shop, source)
    with pytest.raises(Invalid) as caught:
        active.mode.reach(node("a", 1, "bad"), node("b", 2, "bad"), 1400)
    assert str(caught.value) == "too far"


async def test_an_underlay_too_small_for_ipv6_pods_is_refused_with_the_missing_bytes(shop: Workshop) -> None:
    """With IPv4 alone the same underlay will do. RFC 8200 asks for 1280."""
    active = await mode_active(shop, "T = M\n", "10.1.0.0/24, 'fd00::/64'")
    assert active.mode.mtu_bytes(1580, 4) == 1280
    with pytest.raises(Invalid, match="leaves pods 1200 bytes, but IPv6 needs 1280; raise the underlay's MTU by 80"):
        active.mode.mtu_bytes(1500, 4)


async def test_without_ipv6_pods_a_small_underlay_will_do(shop: Workshop) -> None:
    active = await mode_active(shop, "T = M\n")
    assert active.mode.mtu_bytes(1500, 4) == 1200


@pytest.mark.parametrize("value", ["'1450'", "True", "67", "70000", "None"])
async def test_an_mtu_that_cannot_be_is_refused(shop: Workshop, value: str) -> None:
    source = f"class T(M):\n    def mtu_bytes(self, *_): return {value}\n"
    active = await mode_active(shop, source)
    with pytest.raises(Invalid, match="expected an MTU from 68 to 65535"):
        active.mode.mtu_bytes(1500, 4)


STORE = """\
class S:
    async def open(self): pass
    async def get(self, key): return None
    async def items(self, prefix): return ()
    async def put(self, key, value): return 1
    async def compare_and_swap(self, key, expected_revision, value): return True
    async def delete(self, key): pass
    async def watch(self, prefix):
        yield (StoreEvent("a", None),)
    async def close(self): pass
"""


async def store_active(shop: Workshop, source: str) -> tuple[PluginManager, Active]:
    shop.install("bad", STORE + source + plugin("bad", hook("netloom_store", "return T()"), role="STORE"))
    manager = shop.discover()
    return manager, await activate(manager, "store: bad\n")


CALLS = {
    "open": (),
    "get": ("k",),
    "items": ("k",),
    "put": ("k", b""),
    "put_all": ({"k": b""},),
    "compare_and_swap": ("k", 0, b""),
    "delete": ("k",),
    "close": (),
}


@pytest.mark.parametrize("body", ["raise KeyError", "await asyncio.sleep(60)", "return object()"])
@pytest.mark.parametrize("name", CALLS)
async def test_a_store_method_that_misbehaves_is_a_store_that_cannot_be_used(
    shop: Workshop, name: str, body: str
) -> None:
    source = f"class T(S):\n    async def {name}(self, *_): {body}\n"
    manager, active = await store_active(shop, source)
    with pytest.raises(StoreError, match=f'plugin "bad": Store.{name} '):
        await getattr(active.store, name)(*CALLS[name])
    assert shop.record("bad", manager).state == "failed"


async def test_a_store_without_batches_is_written_to_entry_by_entry(shop: Workshop) -> None:
    """As plugins are that were made for contract 1.1."""
    source = """\
class T(S):
    def __init__(self): self.values = {}
    async def put(self, key, value):
        self.values[key] = value
        return 1
    async def items(self, prefix):
        return tuple(Entry(key, value, 1) for key, value in self.values.items())
"""
    _, active = await store_active(shop, source)
    await active.store.put_all({"a": b"1", "b": b"2"})
    assert {entry.key: entry.value for entry in await active.store.items("")} == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("yield 3", "returned int, expected a list or tuple of StoreEvent"),
        ("raise KeyError\n        yield", "raised KeyError"),
    ],
)
async def test_a_watch_that_misbehaves_is_a_store_that_cannot_be_used(shop: Workshop, body: str, words: str) -> None:
    _, active = await store_active(shop, f"class T(S):\n    async def watch(self, prefix):\n        {body}\n")
    with pytest.raises(StoreError, match=words):
        await anext(active.store.watch(""))


async def test_a_watch_ends_when_the_plugins_own_ends(shop: Workshop) -> None:
    _, active = await store_active(shop, "T = S\n")
    assert [len(batch) async for batch in active.store.watch("")] == [1]


async def test_leaving_a_watch_closes_the_plugins_own(shop: Workshop) -> None:
    """Not by chance, when Python finds it forgotten: the plugin here keeps it."""
    source = (
        "ended = threading.Event()\nkept = []\nclass T(S):\n    def watch(self, prefix):\n"
        "        kept.append(self.changes())\n        return kept[0]\n"
        "    async def changes(self):\n        try:\n            while True:\n                yield ()\n"
        "        finally:\n            ended.set()\n"
    )
    _, active = await store_active(shop, source)
    watch: Any = active.store.watch("")
    await anext(watch)
    await watch.aclose()
    import loomtest_netloom_bad

    assert loomtest_netloom_bad.ended.wait(10)


ROUTER = """\
announced = []
class R:
    async def announce(self, prefixes): announced.append(prefixes)
    async def learned(self): return ()
"""


async def router_of(shop: Workshop, source: str) -> AnyRouter:
    shop.install("bad", ROUTER + source + plugin("bad", hook("netloom_routers", "return [T()]"), role="ROUTER"))
    (router,) = (await activate(shop.discover())).routers["bad"]
    return router


@pytest.mark.parametrize("body", ["raise KeyError", "await asyncio.sleep(60)", "return [3]", "return None"])
async def test_a_router_that_misbehaves_is_named(shop: Workshop, body: str) -> None:
    """What it has told before then stands: nothing is made of its silence."""
    router = await router_of(shop, f"class T(R):\n    async def learned(self): {body}\n")
    assert isinstance(router, GuardedRouter)
    with pytest.raises(PluginFailure, match=r'plugin "bad": Router\.learned '):
        await router.learned()


CHANGES = [
    ("def changes(self): hang()", "took longer than"),
    ("def changes(self): return 3", "returned int, expected an asynchronous iterator"),
    ("async def changes(self):\n        yield 3", "returned int, expected RouteChanges"),
    ("async def changes(self):\n        yield RouteChanges(routes=(3,))", "holds int, expected only LearnedRoute"),
    ("async def changes(self):\n        raise OSError('gone')\n        yield", "raised OSError: gone"),
    ("async def changes(self):\n        return\n        yield", "ended, expected it to go on"),
    (
        (
            "async def changes(self):\n        yield RouteChanges(routes=(LearnedRoute("
            "prefix=ip_network('10.0.0.0/8'), via=ip_address('fd00::1')),))"
        ),
        "expected next hops of the same IP version",
    ),
    (
        (
            "async def changes(self):\n        hops = [ip_address('192.0.2.1') + n for n in range(129)]\n"
            "        yield RouteChanges(routes=(LearnedRoute("
            "prefix=ip_network('10.0.0.0/8'), via=hops[0], more=tuple(hops[1:])),))"
        ),
        r"10\.0\.0\.0/8 via 129 next hops, expected at most 128",
    ),
]


@pytest.mark.parametrize(("method", "words"), CHANGES)
async def test_a_watcher_that_misbehaves_is_named(shop: Workshop, method: str, words: str) -> None:
    router = await router_of(shop, f"class T(R):\n    {method}\n")
    assert isinstance(router, GuardedWatcher)
    with pytest.raises(PluginFailure, match=words):
        async for _ in router.changes():
            pass
    assert re.search(words, shop.record("bad", shop.managers[0]).error)


async def test_a_watcher_is_heard_as_it_tells(shop: Workshop) -> None:
    router = await router_of(
        shop, "class T(R):\n    async def changes(self):\n        yield RouteChanges(complete=True)\n"
    )
    assert isinstance(router, GuardedWatcher)
    told = router.changes()
    assert await anext(told) == RouteChanges(complete=True)


async def test_an_announcement_that_failed_is_made_again(shop: Workshop) -> None:
    source = (
        "class T(R):\n    async def announce(self, prefixes):\n        announced.append(prefixes)\n"
        "        if len(announced) < 2: raise OSError('session is down')\n"
    )
    router = await router_of(shop, source)
    prefixes = (IPv4Network("10.1.0.0/24"),)
    for _ in range(3):
        await router.announce(prefixes)
    import loomtest_netloom_bad

    assert loomtest_netloom_bad.announced == [prefixes, prefixes]


async def test_conflict_and_exhaustion_of_an_ipam_are_answers_not_failures(shop: Workshop) -> None:
    source = (
        "from netloom.model.errors import Conflict\n"
        + IPAM
        + method("allocate", "raise Conflict('yours')", ", request")
    )
    shop.install("bad", source + plugin("bad", hook("netloom_ipam", "return T()"), role="IPAM"))
    manager = shop.discover()
    active = await activate(manager, "ipam: bad\n")
    with pytest.raises(Conflict, match="yours"):
        await active.ipam.allocate(AddressRequest(owner="a"))
    assert shop.record("bad", manager).state == "active"
