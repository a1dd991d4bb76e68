"""``netctl lab demo``: a packet's way through the overlay, shown on live kernel objects, one step at a time."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from netloom.lab import lab as labs
from netloom.lab.agents import wait_until
from netloom.lab.capture import Watcher, tcpdump
from netloom.lab.inside import run_in
from netloom.lab.stage import Stage
from netloom.lab.topology import OUTSIDE_V4, OUTSIDE_V6, LabSpec

JOB_POSTINGS: Final = Path(__file__).parents[3] / "examples" / "job-postings"
"""In a checkout. Where Netloom was installed without its sources the demo ends before it needs them."""


def run(name: str, *, keep: bool, pause: bool) -> None:
    """The whole demo. Raises Unexpected when the lab does not show what is told of it."""
    click.echo(click.style("Netloom: two nodes, four pods, one overlay", bold=True))
    lab = labs.up(LabSpec(name=name), say=lambda sentence: click.echo(f"  {sentence}"))
    try:
        stage = Stage(lab, pause=pause and sys.stdin.isatty())
        for step in STEPS if JOB_POSTINGS.is_dir() else STEPS[:-2]:
            step(stage)
    finally:
        if keep:
            click.echo(f'\nThe lab stays. Look around, then take it away with "netctl lab down --name {name}".')
        else:
            labs.down(name)
            click.echo("\nThe lab is gone: no namespace, link, process, pin or file of it is left.")


def devices(stage: Stage) -> None:
    """What a node has."""
    stage.heading("What a node has")
    stage.say(
        """loom_vxlan puts packets for other nodes into a tunnel and takes them out. loom_host and loom_net are a pair;
        the pods' gateway address lives on loom_host, which has no ARP. Each pod has one lxc device."""
    )
    stage.show("node1", "ip -brief link", expect=["loom_vxlan", "loom_host", "loom_net", "lxc[0-9a-f]{12}"])
    stage.show("node1", "ip -brief address show loom_host", expect=["10.244.1.1/32"])
    stage.say("Each node knows which node owns which pod addresses: that is all a tunnel needs.")
    stage.show("node1", "netctl bpf tunnel list", expect=[r"10\.244\.2\.0/24 +192\.168\.77\.12"])
    stage.show("node2", "netctl bpf tunnel list", expect=[r"10\.244\.1\.0/24 +192\.168\.77\.11"])


def pod(stage: Stage) -> None:
    """What a pod sees."""
    stage.heading("What a pod sees")
    stage.say("Its address is a prefix of one. All it knows is its gateway, and not yet the gateway's MAC address.")
    ipv4 = stage.facts("busybox1")["ipv4"]
    stage.show("busybox1", "ip address show eth0", expect=[f"{ipv4}/32", "mtu 1450"])
    stage.show("busybox1", "ip route", expect=["default via 10.244.1.1"])
    stage.show("busybox1", "ip neigh flush all")
    stage.show("busybox1", "ip neigh")


def same_node(stage: Stage) -> None:
    """busybox1 to busybox2."""
    stage.heading("Two pods of one node: busybox1 to busybox2")
    one, two = stage.facts("busybox1"), stage.facts("busybox2")
    stage.say(
        f"""busybox1 asks for its gateway's MAC. The eBPF program on {one["host_ifname"]} answers with that device's own
        address; loom_host, where the gateway's IP address lives, never hears of it."""
    )
    answered = [f"Reply 10.244.1.1 is-at {one['node_mac']}"]
    with (
        stage.watch("node1", tcpdump("loom_host", "arp"), expect=[r"\(nothing\)"], lines=0),
        stage.watch("node1", tcpdump(one["host_ifname"], "arp"), expect=answered, lines=2),
    ):
        stage.show("busybox1", f"ping -c 1 {two['ipv4']}", expect=["1 received"])
    stage.show("busybox1", "ip neigh", expect=[one["node_mac"]])
    stage.show("node1", f"ip -brief link show {one['host_ifname']}", expect=[one["node_mac"]])
    stage.say(
        """The packet itself went from one pod's device straight to the other pod, past the node's stack. The table that
        says so:"""
    )
    stage.show("node1", "netctl bpf endpoint list", expect=[f"{two['ipv4']} .*", r"\(localhost\)"])
    stage.say("A capture in busybox2 shows that the way took one hop: ttl 63.")
    with stage.watch("busybox2", tcpdump("eth0", "icmp", "-v"), expect=["ttl 63"], lines=2):
        stage.show("busybox1", f"ping -c 1 -q {two['ipv4']}", expect=["1 received"])


def other_node(stage: Stage) -> None:
    """busybox1 to busybox3."""
    stage.heading("Two pods of two nodes: busybox1 to busybox3")
    one, three = stage.facts("busybox1"), stage.facts("busybox3")
    stage.say("The ipcache names, for every address, the identity of its owner and the node it lives on.")
    stage.show("node1", "netctl bpf ipcache list", expect=[f"{three['ipv4']}/32 .*", f"{one['ipv4']}/32 .*"])
    stage.show("node1", "netctl identity list", expect=[f"{one['identity']} .*app=busybox1"])
    stage.say(
        f"""Captured between the nodes: vxlan on UDP port 8472, from node to node. Its vni is {one["identity"]} on the
        way there, and {three["identity"]} on the way back: each packet carries the identity of its sender."""
    )
    vnis = [f"vni {one['identity']}", f"vni {three['identity']}"]
    with stage.watch("node2", tcpdump("eth0", "udp port 8472", "-T", "vxlan"), expect=vnis, lines=4):
        stage.show("busybox1", f"ping -c 1 {three['ipv4']}", expect=["1 received", "ttl=63"])


def both_families(stage: Stage) -> None:
    """IPv6."""
    stage.heading("The same over IPv6")
    for name in ("busybox2", "busybox3"):
        stage.show("busybox1", f"ping -c 1 {stage.facts(name)['ipv6']}", expect=["1 received", "ttl=63"])
    stage.show("busybox1", f"traceroute -n -q 1 {stage.facts('busybox3')['ipv6']}", expect=["fd00:10:244:1::1 "])


def world(stage: Stage) -> None:
    """Gateway, nodes, and outside."""
    stage.heading("Gateways, nodes and the world")
    stage.say("The gateway is the node itself; another node's gateway is one tunnel away.")
    stage.show("busybox1", "ping -c 1 -q 10.244.1.1", expect=["1 received"])
    stage.show("busybox1", "ping -c 1 -q 10.244.2.1", expect=["1 received"])
    stage.say("Outside the cluster nobody knows the pods' addresses: packets leave under the node's own.")
    seen = [r"192\.168\.77\.11 > 203\.0\.113\.10", "fd00:77::11 > 2001:db8:77::10"]
    with stage.watch("underlay", tcpdump("underlay", "icmp6 and ip6[40] == 128 or icmp"), expect=seen, lines=3):
        stage.show("busybox1", f"ping -c 1 -q {OUTSIDE_V4}", expect=["1 received"])
        stage.show("busybox1", f"ping -c 1 -q {OUTSIDE_V6}", expect=["1 received"])


def refusal(stage: Stage) -> None:
    """A forged source."""
    stage.heading("A pod that lies about its address")
    one, two = stage.facts("busybox1"), stage.facts("busybox2")
    stage.say(
        "busybox1 gives itself an address that nobody gave it, and sends from there. The monitor says why it fails."
    )
    monitor = listener(stage, "node1", f"netctl monitor --type drop --from {one['id']}")
    stage.show("busybox1", "ip address add 10.244.1.99/32 dev eth0")
    with stage.watch("node1", monitor, expect=["Invalid source ip"], lines=1):
        stage.show("busybox1", f"ping -c 1 -W 1 -I 10.244.1.99 {two['ipv4']}", expect=["100% packet loss"], fails=True)
    stage.show("busybox1", "ip address delete 10.244.1.99/32 dev eth0")
    stage.say("Every packet is counted, and every drop has a reason.")
    stage.show("node1", "netctl bpf metrics list", expect=["Invalid source ip .*"])


def listener(stage: Stage, node: str, command: str) -> Watcher:
    """A command that a node's agent tells of what happens."""

    def listening(_said: str) -> bool:
        count: int = stage.lab.api(node, "/v1/status")["monitor"]["listeners"]
        return count > 0

    return Watcher(argv=tuple(command.split()), watches=listening)


def crash(stage: Stage) -> None:
    """The agent of node1 is killed."""
    stage.heading("An agent that dies")
    stage.say("The agent of node1 is killed. Programs and tables stay in the kernel, and traffic goes on.")
    stage.lab.kill_agent("node1")
    stage.show("node1", "netctl status", expect=["no agent.*"], fails=True)
    stage.show("busybox1", f"ping -c 1 -q {stage.facts('busybox3')['ipv4']}", expect=["1 received"])
    stage.say("Started again, it takes up what it finds.")
    stage.lab.start_agent("node1")
    stage.show("node1", "netctl status", expect=["Netloom: +Ok.*"])
    stage.show("node1", "netctl endpoint list", expect=["ready"])


def postings(stage: Stage) -> None:
    """A service, and who may connect to it."""
    stage.heading("Job postings: who may connect")
    move_in(stage)
    stage.say(
        """busybox1 and busybox3 are attached anew, in the namespace jobs: as a job seeker on node1, and on node2 as a
        service whose job postings are read, created, changed and deleted. The first policy is about addresses and
        ports:"""
    )
    stage.show("node2", "netctl policy import l3-l4.yaml", expect=["CiliumNetworkPolicy +jobs +job-postings"])
    service = f"http://{stage.facts('busybox3')['ipv4']}"
    stage.say("The job seeker may connect to port 80, and nobody else may. So everything passes that is said there.")
    stage.show("busybox2", f"curl -sS --connect-timeout 1 {service}/jobs", expect=["Failed to connect"], fails=True)
    stage.show("busybox1", f"curl -sS {service}/jobs/1", expect=["Gardener"])
    fool = '{"title": "Fool", "place": "Hof"}'
    stage.show("busybox1", f"curl -sS -X PUT -d '{fool}' {service}/jobs/1", expect=["Fool"])
    stage.show("node2", "netctl observe --last 5 --port 80", expect=["policy-verdict:L3-L4 INGRESS ALLOWED"])


def move_in(stage: Stage) -> None:
    """The pods become those of the example, with its service in one of them."""
    for name, app in (("busybox1", "job-seeker"), ("busybox3", "job-postings")):
        pod = stage.lab.topology.pod(name)
        stage.lab.detach(pod)
        stage.lab.attach(replace(pod, namespace="jobs", labels=(("app", app),)))
    stage.lab.wait_converged()
    stage.endpoints = stage.lab.endpoints()
    stage.directory = JOB_POSTINGS
    stage.lab.run_in_pod("busybox3", "job-postings", ["/usr/bin/python3", str(JOB_POSTINGS / "service.py")])
    netns = stage.lab.topology.namespace_of("busybox3")
    wait_until(lambda: ":80 " in run_in(netns, ["ss", "-ltn"]).stdout)


def requests(stage: Stage) -> None:
    """What may be asked of it."""
    stage.heading("Job postings: who may ask what")
    stage.say("The second policy takes the place of the first, and says which requests the job seeker may make.")
    stage.show("busybox1", "grep -A 1 http: l7.yaml", expect=["method: GET, path: .*(?=})"])
    stage.show("node2", "netctl policy import l7.yaml", expect=["CiliumNetworkPolicy +jobs +job-postings"])
    service = f"http://{stage.facts('busybox3')['ipv4']}"
    stage.say(
        """eBPF on node2 hands such connections to netloom-proxy, which asks the rules about each request. What is
        denied is answered, and the connection stays; the service sees the job seeker's own address as before."""
    )
    denied = ["HTTP/1.1 403 Forbidden", "Access denied"]
    seen = ["GET path=/jobs/1.*allowed by .*", "DELETE path=/jobs/1.*denied by .*", "GET path=/healthz.*"]
    observe = listener(stage, "node2", "netctl observe --type l7 --follow")
    with stage.watch("node2", observe, expect=seen, lines=3):
        stage.show("busybox1", f"curl -sS {service}/jobs/1", expect=["Fool"])
        stage.show("busybox1", f"curl -sS -i -X DELETE {service}/jobs/1", expect=denied)
        stage.show("busybox1", f"curl -sS -i {service}/healthz", expect=denied)


STEPS = (devices, pod, same_node, other_node, both_families, world, refusal, crash, postings, requests)
