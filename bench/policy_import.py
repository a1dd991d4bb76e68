"""How long an import takes an agent: files read, written to the store, resolved, and in the kernel.

What an agent does is done here in one process, with its own store, repository and tables over maps of the kernel. No
interface is needed for that: an endpoint is what it has told the agent of itself.
"""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.policy_world import App, policy_text
from netloom.agent.identities import IDENTITIES
from netloom.agent.policies import Policies
from netloom.agent.policy_tables import PolicyTables
from netloom.bpf.maps import MapSet
from netloom.config.settings import PolicySettings
from netloom.datapath.enforcement import POLICY_MAPS, POLICY_TABLE
from netloom.model.endpoint import Attachment, Endpoint, EndpointId, EndpointState, IfIndex
from netloom.model.labels import canonical
from netloom.plugins import Entry, StoreEvent
from netloom.policy.read import read_policies
from netloom_local.store import LocalStore


def measure(policies: int, identities: int, endpoints: int, repeats: int) -> float:
    """Seconds of an import of so many policies about so many identities; median of some."""
    text = "---\n".join(policy_text(number, identities) for number in range(policies))
    return median(asyncio.run(_import(text, identities, endpoints)) for _ in range(repeats))


async def _import(text: str, identities: int, endpoints: int) -> float:
    with TemporaryDirectory() as directory, MapSet.ephemeral(POLICY_MAPS) as maps:
        store = LocalStore(Path(directory, "store.db"), poll_interval_s=60)
        await store.open()
        tables = PolicyTables(maps, POLICY_TABLE.max_entries)
        enforced = asyncio.Event()
        standing = Policies(store, tables, PolicySettings(), enforced.set)
        standing.take([_identity(App(number)) for number in range(identities)], first=True)
        for number in range(endpoints):
            standing.use(_endpoint(number, App(number * identities // endpoints)))
        standing.open()
        gc.collect()
        gc.freeze()  # as an agent does when it has started
        enforced.clear()
        began = time.monotonic()
        await standing.put(read_policies(text, "bench.yaml").policies)
        took = time.monotonic() - began
        if not enforced.is_set():
            raise RuntimeError("the import changed nothing")
        standing.close()
        await store.close()
        gc.unfreeze()
        return took


def _identity(app: App) -> StoreEvent:
    key = f"{IDENTITIES}{app.identity}"
    return StoreEvent(key, Entry(key, canonical(app.labels).encode(), 1))


def _endpoint(number: int, app: App) -> Endpoint:
    return Endpoint(
        id=EndpointId(number + 1),
        attachment=Attachment(container_id=f"bench{number}", ifname="eth0", netns="/run/netns/none"),
        ipv4=None,
        ipv6=None,
        ifindex=IfIndex(0),
        mac=bytes(6),
        node_mac=bytes(6),
        identity=app.identity,
        labels=app.labels,
        state=EndpointState.READY,
    )
