"""A proxy of its own process in a namespace, whose door is nftables' tproxy: ``python -m support.proxied CONFIG``.

What finds no socket of it is dropped, as eBPF does with what is to be judged.

Whoever is at an end is known by the address: the last number of it is the identity.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import uvloop

from netloom.config.load import load_config
from netloom.edge import logs
from netloom.model.address import Address
from netloom.proxy.main import serve
from netloom_l7_http.plugin import HTTP
from support.line_protocol import LINES

TABLE: Final = """
table inet proxied
delete table inet proxied
table inet proxied {{
  chain steer {{
    type filter hook prerouting priority mangle;
    meta l4proto tcp socket transparent 1 meta mark set 1 accept
    meta nfproto ipv4 tcp dport {{ {ports} }} tproxy ip to 127.0.0.1:{ipv4} meta mark set 1 accept
    meta nfproto ipv6 tcp dport {{ {ports} }} tproxy ip6 to [::1]:{ipv6} meta mark set 1 accept
    tcp dport {{ {ports} }} drop
  }}
}}
"""
PORTS: Final = "7000-7999"


class NftDoor:
    """Puts rules in the place of those of an earlier proxy."""

    def open(self, ipv4: socket.socket, ipv6: socket.socket) -> None:
        """As :class:`netloom.proxy.sockets.Door`."""
        text = TABLE.format(ports=PORTS, ipv4=ipv4.getsockname()[1], ipv6=ipv6.getsockname()[1])
        subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)


def identify(source: Address, source_port: int, destination: Address, destination_port: int) -> tuple[int, int] | None:
    """As :data:`netloom.proxy.ends.Identify`; nobody knows connections to port 7999."""
    del source_port
    return None if destination_port == 7999 else (source.packed[-1], destination.packed[-1])


async def _run(config: Path) -> None:
    loaded = load_config(config, {})
    logs.configure("info", "console")
    protocols = [("test", LINES), ("l7_http", HTTP)]
    if "WITH_MEMCACHED" in os.environ:
        from netloom_memcached.plugin import MEMCACHED

        protocols.append(("memcached", MEMCACHED))
    await serve(loaded, protocols, os.environ.get("FINGERPRINT", "f"), door=NftDoor(), identify=identify)


def main() -> None:
    """Until it is ended."""
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with runner:
        runner.run(_run(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
