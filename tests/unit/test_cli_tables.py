"""What netctl prints, whole and by column."""

from __future__ import annotations

import pytest

from netloom.cli.output import scaled, table
from support import answers, node_answers
from support.netctl import Netctl, text
from support.recorded_agent import RecordedAgent

STATUS = text(
    """
    Netloom:        Degraded   0.1.0, up 3h12m
    Node:           node1
    Kernel:         6.18.44
    Store:          Ok   local
    Network mode:   vxlan, MTU 1450
    Underlay:       eth0   192.168.77.11   fd00:77::11
    Tunnel:         Direct
    IPAM:           IPv4: 2/253 allocated from 10.244.1.0/24
                    IPv6: 2/65535 allocated from fd00:10:244:1::/64
    Masquerading:   Enabled
    Prefilter:      3 prefixes, revision 4, generic on eth0, eth1; native on eth2
                    not native on eth0: Operation not supported (errno 95)
                    192.168.77.0/24 holds 192.168.77.13, the underlay address of node "node3"
    Proxy:          At work, 3 connections, 32 requests, 1 draining
                    no installed plugin speaks "kafka", so nobody may at ports 9092
    Nodes:          2/3 reachable (1 by vxlan); not node3: see `netctl node list`
    Endpoints:      2
    Identities:     13
    Policies:       3, revision 5, enforced is 4
                    No policy can be read at policies/NetworkPolicy/shop/old of the store: found no object
                    Identity 257 is closed: the policy table of identity 257 has room for 16 entries
    Programs:       2 loaded, attached by tcx, to pods' interfaces by clsact
    Plugins:        3 active, 0 failed
    Monitor:        1 listening, 17 flows kept, 0 events lost, 0 verdicts untold
    Connections:    48 at 2026-03-01T11:55:00+00:00, 1200 removed since the start
    Repairs:        1
                    2026-07-01T12:00:00+00:00   filter ingress of lxc0123456789ab: attached
    Not written:    2 entries of ipcache
    Missing:        lxc0d15ea5e0001: somebody deleted what a container is attached by; detach it
    Controllers:    1/2 healthy
      resync:       3 failures: put route 10.244.3.0/24: Network is unreachable (errno 101)
    """
)
VERBOSE = text(
    """

    Controller   Last success                Failures   Runs   Last error
    cluster      2026-03-01T13:11:58+00:00   0          7      -
    resync       -                           3          1152   put route 10.244.3.0/24: Network is unreachable (errno 101)

    Program          Tag                Instructions   Budget
    from_container   a04f5eef06a7f555   1043           15000
    forward          8f0a3bd0e2b5e1c9   612            -
    """  # noqa: E501
)
LISTS = {
    "endpoint list": """
        ENDPOINT   POLICY (ingress)   POLICY (egress)   IDENTITY   LABELS (source:key[=value])               IPv6               IPv4         STATUS
                   ENFORCEMENT        ENFORCEMENT
        1          Disabled           Disabled          256        k8s:app=busybox1                          fd00:10:244:1::2   10.244.1.2   ready
                                                                   k8s:io.kubernetes.pod.namespace=default
        2          Disabled           Disabled          257        k8s:app=busybox2                                             10.244.1.3   regenerating
        """,  # noqa: E501
    "endpoint get 1": """
        Endpoint:            1
        State:               ready
        Pod:                 default/busybox1
        Container:           c0ffee01
        Network namespace:   /run/netns/busybox1
        Interface:           eth0 0a:c5:89:f9:04:84
        Host interface:      lxc0d15ea5e0001 e2:d8:51:8b:44:d4 (ifindex 16)
        IPv4:                10.244.1.2
        IPv6:                fd00:10:244:1::2
        Identity:            256
        Labels:              k8s:app=busybox1
                             k8s:io.kubernetes.pod.namespace=default
        Named ports:         http:TCP:80
        Bandwidth:           ingress 20 Mbit/s (burst 131072 bytes)
        Policy:              ingress Disabled, egress Disabled
        """,
    "identity list": """
        ID    LABELS                                    REFCOUNT
        1     reserved:host                             0
        256   k8s:app=busybox1                          1
              k8s:io.kubernetes.pod.namespace=default
        """,
    "node list": """
        Name                IPv4 Address    Endpoint CIDR   IPv6 Address   Endpoint CIDR        Reached by
        node1 (localhost)   192.168.77.11   10.244.1.0/24   fd00:77::11    fd00:10:244:1::/64   -
        node3               192.168.77.13   10.244.1.0/24                                       nothing
        """,
    "map list": """
        Name        Num entries   Max entries   Num errors   Purpose
        endpoints   3             65535         0            local addresses
        events      -             1048576       0            drops and traces for the monitor
        """,
    "map get tunnels": """
        Key                  Value
        10.244.2.0/24        192.168.77.12
        fd00:10:244:2::/64   192.168.77.12
        """,
    "map get metrics": """
        Key   Value
        2     packets=7 bytes=700
              packets=1 bytes=98

        1 more entries are zero.
        """,
    "bpf tunnel list": """
        TUNNEL               VALUE
        10.244.2.0/24        192.168.77.12
        fd00:10:244:2::/64   192.168.77.12
        """,
    "bpf endpoint list": """
        IP ADDRESS   LOCAL ENDPOINT INFO
        10.244.1.1   (localhost)
        10.244.1.2   id=1     flags=0x0000 ifindex=16  mac=0A:C5:89:F9:04:84 nodemac=E2:D8:51:8B:44:D4
        """,
    "bpf ipcache list": """
        IP PREFIX/ADDRESS   IDENTITY
        0.0.0.0/0           identity=2 tunnelendpoint=0.0.0.0 flags=<none>
        10.244.1.0/24       identity=2 tunnelendpoint=0.0.0.0 flags=localpodcidr
        10.244.2.7/32       identity=258 tunnelendpoint=192.168.77.12 flags=<none>
        """,
    "bpf bandwidth list": """
        ENDPOINT   INGRESS BANDWIDTH (BitsPerSec)   EGRESS BANDWIDTH (BitsPerSec)
        1          20M                              -
        """,
    "bpf ct list": """
        PROTOCOL   SOURCE                     DESTINATION             STATE                  IDENTITIES   SENT                     RECEIVED                  EXPIRES
        icmp       10.244.1.2 number 1042     203.0.113.10 type 8     opening                256->2       3 packets, 294 bytes     0 packets, 0 bytes        12s
        tcp        [fd00:10:244:2::7]:40000   [fd00:10:244:1::2]:80   established, refused   258->256     12 packets, 1480 bytes   10 packets, 65200 bytes   21595s
        """,  # noqa: E501
    "bpf metrics list": """
        REASON              DIRECTION   PACKETS   BYTES
        Forwarded           EGRESS      1048      102704
        Invalid source ip   EGRESS      3         294
        """,
    "plugins list": """
        NAME    KIND           STATE    VERSION   DISTRIBUTION   CAPABILITIES
        vxlan   network-mode   active   0.1.0     netloom        network mode; queries: ports
        loud    extension      failed   2.0       netloom-loud   hears of flows

        loud: netloom_flows has not returned within 5 s
        """,
    "route list": """
        PREFIX          VIA          DEVICE      ORIGIN   STATE
        10.244.1.0/24   10.244.1.1   loom_host   node     written
        10.244.3.0/24   10.0.0.1     -           bgp      written
                        10.0.1.1
        0.0.0.0/0       10.0.0.1     -           bgp      a default route is not taken from a router

        1 more are not shown; see --limit
        """,
    "config show": """
        KEY                    VALUE      ORIGIN
        node.name              node1      /etc/netloom/node.yaml:2
        node.underlay_device   ""         default
        masquerade             true       default
        hooks.disabled         ["loud"]   /etc/netloom/node.yaml:7
        """,
    "version": """
        Client:   0.1.0
        Agent:    0.1.0, plugin contract 1.3, kernel 6.18.44
        """,
}


def test_status_says_in_a_line_each_how_every_part_fares(ask: Netctl) -> None:
    assert ask("status") == (0, STATUS, "")


def test_verbose_status_adds_controllers_and_programs(ask: Netctl) -> None:
    assert ask("status", "--verbose").out == STATUS + VERBOSE


@pytest.mark.parametrize("command", LISTS)
def test_a_list_has_the_columns_people_know(ask: Netctl, command: str) -> None:
    assert text(LISTS[command]) == ask(*command.split()).out


def test_what_keeps_a_node_from_being_reached_is_told_on_standard_error(ask: Netctl) -> None:
    error = node_answers.NODES[1]["error"]
    assert f'netctl: node "node3" is unreachable: {error}\n' == ask("node", "list").err


def test_addresses_are_listed_in_order_whatever_order_the_map_gives_them_in(ask: Netctl, agent: RecordedAgent) -> None:
    prefixes = ["fd00::/64", "10.244.10.0/24", "10.244.9.0/24", "10.0.0.0/8", "10.0.0.0/16"]
    entries = [{"key": {"prefix": prefix}, "value": {"tunnel_endpoint": "::"}} for prefix in prefixes]
    agent.answers["GET", "/v1/maps/tunnels"] = {"name": "tunnels", "entries": entries}
    rows = [line.split()[0] for line in ask("bpf", "tunnel", "list").out.splitlines()[1:]]
    assert rows == ["10.0.0.0/8", "10.0.0.0/16", "10.244.9.0/24", "10.244.10.0/24", "fd00::/64"]


def test_an_empty_list_is_its_headers(ask: Netctl, agent: RecordedAgent) -> None:
    agent.answers["GET", "/v1/identities"] = []
    assert ask("identity", "list").out == "ID   LABELS   REFCOUNT\n"


def test_a_name_cannot_steer_the_terminal(ask: Netctl, agent: RecordedAgent) -> None:
    agent.answers["GET", "/v1/endpoints/1"] = answers.ENDPOINTS[0] | {"pod_name": "\x1b[2Jgone\u202e"}
    out = ask("endpoint", "get", "1").out
    assert "default/\ufffd[2Jgone\ufffd" in out


def test_cells_of_several_lines_make_rows_of_several_lines() -> None:
    assert table(("A", "B"), [("1\n22", "x\ny")]) == "A    B\n1    x\n22   y"


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0"), (999, "999"), (1000, "1k"), (1_500_000, "1.5M"), (20_000_000, "20M"), (1_000_000_001, "1.000000001G")],
)
def test_a_scaled_number_is_exact(number: int, shown: str) -> None:
    assert (scaled(number), scaled(number, " ").replace(" ", "")) == (shown, shown)


NATIVE = node_answers.NODES[1] | {
    "name": "node2",
    "modes": ["native", "vxlan"],
    "state": "reachable",
    "error": "",
    "reached_by": "native",
    "way": "native",
}


def test_a_node_is_shown_with_what_reaches_it_and_why_nothing_else_does(ask: Netctl, agent: RecordedAgent) -> None:
    why = 'node "node2" has IPv4 underlay address 192.168.77.13, which is on none of this node\'s segments'
    tunnelled = NATIVE | {"reached_by": "vxlan", "way": "tunnel", "passed_over": [why]}
    agent.answers["GET", "/v1/nodes"] = [node_answers.NODES[0], tunnelled]
    assert ask("node", "get", "node2").out == text(
        f"""
        Name:            node2
        Underlay:        192.168.77.13
        Segments:        192.168.77.0/24
        Pods:            10.244.1.0/24
        Gateways:        10.244.1.1
        Takes:           native, vxlan
        Reached by:      vxlan (tunnel)
        Not otherwise:   {why}
        """
    )


def test_a_node_that_is_not_in_the_cluster_is_named(ask: Netctl) -> None:
    assert ask("node", "get", "node9") == (
        1,
        "",
        'netctl: node "node9" is not in the cluster; see `netctl node list`\n',
    )


def test_a_native_node_says_what_it_has_besides(ask: Netctl, agent: RecordedAgent) -> None:
    underlay = answers.STATUS["underlay"] | {
        "uplinks": [{"name": "eth0", "state": "there"}, {"name": "eth1", "state": "away"}]
    }
    agent.answers["GET", "/v1/status"] = answers.STATUS | {
        "network_mode": "native",
        "fallback_mode": "vxlan",
        "underlay": underlay,
        "tunnel": {"device": "", "direct": False, "obstacle": ""},
        "reached_by": {"native": 1},
        "by_stack": 7,
    }
    out = ask("status").out.splitlines()
    assert "Network mode:   native, else vxlan, MTU 1450" in out
    assert "Uplinks:        eth0, eth1 (away)" in out
    assert "Tunnel:         None" in out
    assert any("2/3 reachable (1 by native), 7 packets left to the host's stack; not node3" in line for line in out)
