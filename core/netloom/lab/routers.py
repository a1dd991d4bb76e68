"""The routers of a lab with racks: FRR in every rack, BIRD on the spine; started, asked, ended, started again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from netloom.lab import bird_config, frr_config, processes
from netloom.lab.agents import wait_until
from netloom.lab.inside import CommandError, netns_path, output_of, run_in
from netloom.lab.journal import Journal
from netloom.lab.processes import ProcessRecord
from netloom.lab.racks import SPINE_V4, SPINE_V6, LabTor
from netloom.lab.topology import REFLECTOR, Topology
from netloom.model.errors import NetloomError, Unsupported

ZEBRA = "zebra"
"""The daemon that speaks with the kernel, and all others with it."""
_CLIENTS = {"staticd": "static", "bfdd": "bfd", "bgpd": "bgp"}
"""The others, and what zebra calls them."""
FRR_DAEMONS = (ZEBRA, *_CLIENTS)
BIRD = "bird"
FRR_PROGRAMS = Path("/usr/lib/frr")
FRR_RUN_DIR = Path("/var/run/frr")
FRR_CONFIG_DIR = Path("/etc/frr")
READY_WITHIN_S = 20.0
ESTABLISHED = "Established"
"""State of a session by which routes are exchanged, in FRR's words and in BIRD's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One BGP session, as a router sees it."""

    router: str
    peer: str
    family: str
    """``ipv4`` or ``ipv6``."""
    state: str
    received: int
    """Prefixes."""

    @property
    def established(self) -> bool:
        """Whether routes are exchanged."""
        return self.state == ESTABLISHED


def check_installed() -> None:
    """Raises Unsupported, naming the packages, unless everything that racks need is there."""
    missing = [str(path) for daemon in FRR_DAEMONS if not (path := FRR_PROGRAMS / daemon).exists()]
    missing += [name for name in (BIRD, "birdc", "vtysh") if shutil.which(name) is None]
    if missing:
        raise Unsupported(
            "a lab with racks",
            needs="FRR and BIRD: apt-get install frr bird2",
            found=f"no {', '.join(missing)}",
        )


def start_all(topology: Topology, journal: Journal) -> list[ProcessRecord]:
    """Every router; returns when each has its configuration. Sessions come up later."""
    records = [start_reflector(topology, journal)]
    for tor in topology.tors:
        _make_directories(topology, tor, journal)
        records.append(start_daemon(topology, tor, ZEBRA, journal))
    for tor in topology.tors:
        # A daemon that finds nobody there tries again after ten seconds only.
        _wait_for(FRR_RUN_DIR / tor.netns / "zserv.api", tor)
        records += [start_daemon(topology, tor, daemon, journal) for daemon in _CLIENTS]
    for tor in topology.tors:
        configure(tor)
    return records


def start_reflector(topology: Topology, journal: Journal) -> ProcessRecord:
    """BIRD on the spine."""
    files = topology.files
    config = files.directory / "bird.conf"
    config.write_text(bird_config.render(topology))
    argv = [BIRD, "-f", "-c", str(config), "-s", str(files.bird_socket), "-P", str(files.directory / "bird.pid")]
    return processes.start_recorded(
        REFLECTOR, argv, log=files.log(REFLECTOR), netns=netns_path(topology.underlay_netns), note=journal.process
    )


def start_daemon(topology: Topology, tor: LabTor, daemon: str, journal: Journal) -> ProcessRecord:
    """One daemon of a rack's FRR, in the foreground; it knows nothing before :func:`configure`."""
    (FRR_RUN_DIR / tor.netns / f"{daemon}.vty").unlink(missing_ok=True)
    # Ports for terminals are not opened: vtysh comes by a unix socket.
    argv = [str(FRR_PROGRAMS / daemon), "-N", tor.netns, "-P", "0", "--log", "stdout"]
    return processes.start_recorded(
        f"{tor.name} {daemon}",
        argv,
        log=topology.files.log(tor.name),
        netns=netns_path(tor.netns),
        note=journal.process,
    )


def configure(tor: LabTor) -> None:
    """Give all daemons of a rack's FRR what the file says. Raises NetloomError when one of them is not there."""
    for daemon in FRR_DAEMONS:
        _wait_for(FRR_RUN_DIR / tor.netns / f"{daemon}.vty", tor)

    def strangers() -> set[str]:
        lines = vtysh(tor, "show zebra client summary").splitlines()
        return {*_CLIENTS.values()} - {line.split()[0] for line in lines if line.strip()}

    # What a daemon is told to do with zebra before the two know each other, it forgets.
    if not wait_until(lambda: not strangers(), READY_WITHIN_S) and (late := strangers()):
        raise NetloomError(f"{', '.join(sorted(late))} of {tor.name} did not find zebra; see {tor.name}.log of the lab")
    output_of(tor.netns, ["vtysh", "-N", tor.netns, "-b"])


def vtysh(tor: LabTor, *commands: str) -> str:
    """What a rack's FRR answers. Raises CommandError."""
    return output_of(tor.netns, ["vtysh", "-N", tor.netns, *(word for line in commands for word in ("-c", line))])


def sessions(topology: Topology) -> list[Session]:
    """All of all routers; those of a router that does not answer are left out."""
    found: list[Session] = []
    for tor in topology.tors:
        with suppress(CommandError, ValueError):
            found += _frr_sessions(tor.name, json.loads(vtysh(tor, "show bgp summary json")))
    argv = ["birdc", "-s", str(topology.files.bird_socket), "show", "protocols", "all"]
    done = run_in(topology.underlay_netns, argv) if topology.tors else None
    return found + (bird_sessions(done.stdout) if done else [])


def wait_established(topology: Topology, *, with_nodes: bool, within_s: float = READY_WITHIN_S) -> list[Session]:
    """Wait until every session stands, those with nodes too or not; returns all as they are in the end."""
    ours = {str(address) for tor in topology.tors for address in (SPINE_V4.ip, SPINE_V6.ip, tor.name)}
    found: list[Session] = []

    def stand() -> bool:
        found[:] = [session for session in sessions(topology) if with_nodes or session.peer in ours]
        return {session.router for session in found} == {REFLECTOR, *(tor.name for tor in topology.tors)} and all(
            session.established for session in found
        )

    wait_until(stand, within_s)
    return found


def adapted(topology: Topology, where: str, argv: Sequence[str]) -> list[str]:
    """A command in a router's namespace, told which of the machine's FRRs and BIRDs is meant."""
    if argv[0] == "birdc" and topology.tors and "-s" not in argv:
        return ["birdc", "-s", str(topology.files.bird_socket), *argv[1:]]
    if argv[0] == "vtysh" and where in {tor.name for tor in topology.tors} and "-N" not in argv:
        return ["vtysh", "-N", topology.tor(where).netns, *argv[1:]]
    return list(argv)


def _wait_for(socket: Path, tor: LabTor) -> None:
    if not wait_until(socket.exists, READY_WITHIN_S):
        raise NetloomError(f"{socket.name} of {tor.name} did not appear; see {tor.name}.log of the lab")


def _make_directories(topology: Topology, tor: LabTor, journal: Journal) -> None:
    run_dir, config_dir = FRR_RUN_DIR / tor.netns, FRR_CONFIG_DIR / tor.netns
    for directory, group in ((run_dir, "frr"), (config_dir, "frrvty")):
        journal.directory(directory)
        directory.mkdir(parents=True, mode=0o755)
        shutil.chown(directory, "frr", group)
    for name, text in (("frr.conf", frr_config.render(topology, tor)), ("vtysh.conf", "")):
        file = config_dir / name
        file.write_text(text)
        shutil.chown(file, "frr", "frrvty")
        file.chmod(0o640)


def _frr_sessions(router: str, summary: dict[str, Any]) -> list[Session]:
    """Of ``show bgp summary json``."""
    return [
        Session(router=router, peer=address, family=family, state=peer["state"], received=peer.get("pfxRcd", 0))
        for family, key in (("ipv4", "ipv4Unicast"), ("ipv6", "ipv6Unicast"))
        for address, peer in summary.get(key, {}).get("peers", {}).items()
    ]


def bird_sessions(text: str) -> list[Session]:
    """Of ``show protocols all``: BGP's alone, their names being NAME_v4 and NAME_v6."""
    found: list[Session] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) > 3 and words[1] == "BGP":
            name, _, version = words[0].rpartition("_v")
            # NAME BGP --- up|start|down SINCE STATE: the last one is missing while nothing has happened yet.
            state = words[5] if len(words) > 5 else words[3]
            found.append(Session(router=REFLECTOR, peer=name, family=f"ipv{version}", state=state, received=0))
        elif words[:1] == ["Routes:"] and found:
            found[-1] = replace(found[-1], received=int(words[1]))
    return found
