"""What HAProxy, Envoy and nginx are told: the same rules in each one's words. Pure.

The proxies are transparent, as Netloom's is: clients connect to the server's own address, and the server sees theirs.
Both keep the time-outs that Netloom has, and write a line for each request.
"""

from __future__ import annotations

import json
from typing import Any, Final

NETLOOM, HAPROXY, ENVOY = "netloom", "haproxy", "envoy"
PLACES: Final = (NETLOOM, HAPROXY, ENVOY)
PEERS: Final = (HAPROXY, ENVOY)
HTTP1_PORT, HTTP2_PORT, GRPC_PORT = 8080, 8081, 8082
"""Of the server. What comes to these a proxy takes at :data:`TAKEN_AT`."""
TAKEN_AT: Final = {HTTP1_PORT: 15001, HTTP2_PORT: 15002, GRPC_PORT: 15003}
FORWARD_MARK: Final = 2
"""Of packets that a proxy sends: they are not taken again."""
PUBLIC, JOBS, ITEMS = "/public/", "/jobs/new", "/api/v[12]/items(/.*)?"
"""Paths of the three rules: a beginning, a text and an expression."""
BODY: Final = "x" * 101

STEERING: Final = (
    "ip rule add fwmark 1 lookup 100",
    "ip route add local 0.0.0.0/0 dev lo table 100",
)

_TAKING: Final = "\n    ".join(
    f"tcp dport {port} tproxy to 127.0.0.1:{at} meta mark set 1 accept" for port, at in TAKEN_AT.items()
)
TPROXY: Final = f"""
table ip steer {{
  chain steer {{
    type filter hook prerouting priority mangle;
    meta l4proto tcp socket transparent 1 meta mark set 1 accept
    {_TAKING}
    fib daddr type != local drop
  }}
}}
"""

POLICY: Final = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: requests}}
spec:
  endpointSelector:
    matchLabels: {{app: {server}}}
  ingress:
  - fromEndpoints:
    - matchLabels: {{app: {client}}}
    toPorts:
    - ports: [{{port: "{first}", endPort: {last}, protocol: TCP}}]
      rules:
        http:
        - {{method: GET, path: "{public}.*"}}
        - {{method: POST, path: "{jobs}"}}
        - {{method: GET, path: "{items}"}}
"""


def policy(client: str, server: str) -> str:
    """Netloom's own."""
    return POLICY.format(
        client=client, server=server, first=min(TAKEN_AT), last=max(TAKEN_AT), public=PUBLIC, jobs=JOBS, items=ITEMS
    )


def nginx(directory: str) -> str:
    """A server that says a hundred bytes to everybody, and never ends a connection that is kept."""
    return f"""\
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  server {{
    listen {HTTP1_PORT} backlog=4096;
    listen {HTTP2_PORT} http2 backlog=4096;
    location / {{ default_type text/plain; return 200 "{BODY}"; }}
  }}
}}
"""


def grpc(directory: str) -> list[str]:
    """The command of a server that gives back each message, and the status of gRPC behind it."""
    options = ["--no-tls", "--echo-upload", "--trailer=grpc-status: 0", f"--htdocs={directory}"]
    return ["nghttpd", *options, str(GRPC_PORT)]


def haproxy() -> str:
    """One thread."""
    frontends = (
        _frontend(HTTP1_PORT, "http1", "h1", "source 0.0.0.0 usesrc client", "http-reuse never"),
        _frontend(HTTP2_PORT, "http2", "h2"),
        _frontend(GRPC_PORT, "grpc", "h2"),
    )
    return f"""\
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  log stdout format raw local0
  option httplog
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-request 15s
  timeout http-keep-alive 1h
{"".join(frontends)}"""


def _frontend(port: int, name: str, protocol: str, *options: str) -> str:
    """A way in, and the server behind it.

    Connections that bear a client's address and port are kept for it by ``http-reuse never`` alone. Streams of one
    client may go on by several connections, which cannot all have that port: there the server sees the proxy.
    """
    newline = "\n  "
    return f"""\
frontend {name}
  bind 127.0.0.1:{TAKEN_AT[port]} transparent backlog 4096 proto {protocol}
  acl reads method GET
  acl writes method POST
  acl public path_beg {PUBLIC}
  acl jobs path {JOBS}
  acl items path_reg ^{ITEMS}$
  http-request deny unless reads public or writes jobs or reads items
  use_backend {name}
backend {name}
  {newline.join(options)}
  server origin 0.0.0.0 proto {protocol}
"""


def envoy() -> str:
    """As JSON, which Envoy reads as well as YAML."""
    codecs = {HTTP1_PORT: "HTTP1", HTTP2_PORT: "HTTP2", GRPC_PORT: "HTTP2"}
    listeners = [_listener(port, codec) for port, codec in codecs.items()]
    clusters = [_cluster("HTTP1", {"http_protocol_options": {}}), _cluster("HTTP2", {"http2_protocol_options": {}})]
    return json.dumps({"static_resources": {"listeners": listeners, "clusters": clusters}})


def _typed(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/envoy.extensions.{kind}", **fields}}


def _listener(port: int, codec: str) -> dict[str, Any]:
    manager = _typed(
        "http",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        codec_type=codec,
        stat_prefix=codec,
        stream_idle_timeout="3600s",
        request_headers_timeout="15s",
        access_log=[_typed("file", "access_loggers.file.v3.FileAccessLog", path="/dev/null")],
        route_config={"virtual_hosts": [_virtual_host(codec)]},
        http_filters=[
            _typed("rbac", "filters.http.rbac.v3.RBAC", rules={"action": "ALLOW", "policies": _policies()}),
            _typed("router", "filters.http.router.v3.Router"),
        ],
    )
    original_dst = _typed("original_dst", "filters.listener.original_dst.v3.OriginalDst")
    original_src = _typed(
        "original_src", "filters.listener.original_src.v3.OriginalSrc", mark=FORWARD_MARK, bind_port=True
    )
    return {
        "name": f"{codec} at {port}",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": TAKEN_AT[port]}},
        "transparent": True,
        "listener_filters": [original_dst, original_src],
        "filter_chains": [{"filters": [manager]}],
    }


def _virtual_host(cluster: str) -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "3600s"}}
    return {"name": cluster, "domains": ["*"], "routes": [route]}


def _cluster(name: str, protocol: dict[str, Any]) -> dict[str, Any]:
    """Of servers; a connection to one that bears a client's address and port serves nobody else."""
    options = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": protocol,
    }
    return {
        "name": name,
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "5s",
        "connection_pool_per_downstream_connection": True,
        "circuit_breakers": {"thresholds": [dict.fromkeys(_BREAKERS, 100_000)]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
    }


_BREAKERS: Final = ("max_connections", "max_pending_requests", "max_requests")


def _policies() -> dict[str, Any]:
    return {
        "public": _rule("GET", {"prefix": PUBLIC}),
        "jobs": _rule("POST", {"exact": JOBS}),
        "items": _rule("GET", {"safe_regex": {"regex": ITEMS}}),
    }


def _rule(method: str, path: dict[str, Any]) -> dict[str, Any]:
    is_method = {"header": {"name": ":method", "string_match": {"exact": method}}}
    rules = [is_method, {"url_path": {"path": path}}]
    return {"permissions": [{"and_rules": {"rules": rules}}], "principals": [{"any": True}]}
