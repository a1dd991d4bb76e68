"""A gobgpd that somebody else runs, with a peer of its own."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from netloom_bgp.api import gobgp_pb2 as pb
from netloom_bgp.client import Gobgp, SpeakerGone
from support.frr import wait_for
from support.netns import Namespace

T = TypeVar("T")


class OthersGobgpd:
    """Its process, and what somebody else asks of it."""

    def __init__(self, netns: Namespace, socket: Path) -> None:
        self.socket = socket
        argv = ("gobgpd", "--api-hosts", f"unix://{socket}", "--pprof-disable")
        self._process = netns.popen(*argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self._answers, "gobgpd answers")

    @property
    def runs(self) -> bool:
        """Whether it is still the process that was started."""
        return self._process.poll() is None

    def ask(self, what: Callable[[Gobgp], Awaitable[T]]) -> T:
        """What it answers."""

        async def asked() -> T:
            connection = Gobgp(self.socket)
            try:
                return await what(connection)
            finally:
                connection.close()

        return asyncio.run(asked())

    def begin(self, asn: int, router_id: str, listen_port: int = 179) -> None:
        """Tell it who it is."""
        config = pb.Global(asn=asn, router_id=router_id, listen_port=listen_port, use_multiple_paths=True)
        self.ask(lambda one: one.start(config))

    def add_peer(self, address: str, asn: int) -> None:
        """A peer that is none of the plugin's."""
        self.ask(lambda one: one.add_peer(pb.Peer(conf=pb.PeerConf(neighbor_address=address, peer_asn=asn))))

    def peers(self) -> dict[str, pb.Peer]:
        """By address."""
        return {one.conf.neighbor_address: one for one in self.ask(lambda one: one.peers())}

    def policies(self) -> list[Any]:
        """Names of all policies that judge what is learnt."""
        found = self.ask(lambda one: one.policies(pb.IMPORT))
        return [policy.name for assignment in found for policy in assignment.policies]

    def _answers(self) -> bool:
        try:
            self.ask(lambda one: one.running())
        except SpeakerGone:
            return False
        return True

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)
