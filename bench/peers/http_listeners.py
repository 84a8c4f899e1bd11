"""Balancers in HTTP mode, each with a listener in the clear and one with TLS.

All but Envoy have one that counts each client's requests against a limit
that no client comes to, and one that compresses.

All keep connections on both sides, use one again for any client's request, add
``X-Forwarded-For`` and log each request to a file.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import frozen

from bench.browser import host
from bench.peers import haproxy, nginx
from bench.peers.envoy import address, cluster, start_envoy
from bench.peers.gateway import start_gateway
from bench.peers.listeners import GROUP, SUITE, Listening
from bench.processes import start
from bench.stage import SERVICE, Stage
from tests.support.ports import free_ports

#: HAProxy as it comes: each client connection has its first request sent on an
#: upstream connection of its own.
SAFE = "haproxy, reuse safe"

_LISTENERS = ("plain", "tls", "gzip", "limited")

#: As hard as the peers work to compress.
_LEVEL = 4

#: Listeners of those that know the one instance for a request: by a field of it, and
#: by a cookie of the balancer's own.
_HASH, _STICKY = "hash", "sticky"
#: Requests a second of one client: none of them comes to that.
_LIMIT = 1_000_000

#: Starts a balancer that is to carry so many connections.
Start = Callable[[Stage, int], Listening]


@frozen
class Behind:
    """What stands behind a balancer whose cost is to be seen growing."""

    service: str
    #: Of its instances, in the order in which they are registered.
    ports: Sequence[int]
    #: So many hosts have a route of their own, all of them to this service.
    hosts: int = 0


def behind(stage: Stage) -> Behind:
    """The web servers, each of them once."""
    return Behind(SERVICE, stage.ports)


_HAPROXY_OPTIONS = """
    option httplog
    log global
    option http-keep-alive
    option forwardfor
    timeout http-keep-alive 1h
    timeout http-request 10s
"""

_HAPROXY_GLOBAL = f"{haproxy.TO_STDOUT}\n    tune.comp.maxlevel {_LEVEL}"

_HAPROXY = """
frontend bench
    bind 127.0.0.1:{plain} backlog 4096
    bind 127.0.0.1:{tls} backlog 4096 ssl crt {pem} ssl-min-ver TLSv1.3 \
        ciphersuites {suite} curves {group}
{routed}
    default_backend web
frontend gzip
    bind 127.0.0.1:{gzip} backlog 4096
    compression algo gzip
    compression type text/plain
    default_backend web
frontend limited
    bind 127.0.0.1:{limited} backlog 4096
    stick-table type ip size 1m expire 10s store http_req_rate(1s)
    http-request track-sc0 src
    http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {limit} }}
    default_backend web
backend web
    http-reuse {reuse}
{servers}
"""


_HAPROXY_AFFINITY = """
frontend hash
    bind 127.0.0.1:{hash} backlog 4096
    default_backend hashed
backend hashed
    http-reuse {reuse}
    balance hdr(x-tenant)
    hash-type consistent
{servers}
frontend sticky
    bind 127.0.0.1:{sticky} backlog 4096
    default_backend stuck
backend stuck
    http-reuse {reuse}
    cookie SRV insert indirect nocache
{stuck}
"""


def haproxy_http(
    stage: Stage, connections: int, given: Behind | None = None
) -> Listening:
    """HAProxy with one thread that uses any idle upstream connection again."""
    ports = _ports() if given else _ports(_HASH, _STICKY)
    given = given or behind(stage)
    return _haproxy(stage, connections, "haproxy", "always", given, ports)


def haproxy_safe(stage: Stage, connections: int) -> Listening:
    """HAProxy by its default for connections to upstreams."""
    return _haproxy(stage, connections, SAFE, "safe", behind(stage), _ports())


def _haproxy(
    stage: Stage,
    connections: int,
    name: str,
    reuse: str,
    given: Behind,
    ports: Mapping[str, int],
) -> Listening:
    routed = ""
    if given.hosts:
        table = stage.home / "hosts.map"
        table.write_text("".join(f"{host(n)} web\n" for n in range(given.hosts)))
        routed = f"    use_backend %[req.hdr(host),lower,map({table})]"
    sections = _HAPROXY.format(
        **ports,
        limit=_LIMIT,
        pem=stage.pem,
        suite=SUITE,
        group=GROUP,
        routed=routed,
        reuse=reuse,
        servers=haproxy.servers(given.ports),
    )
    if _STICKY in ports:
        sections += _HAPROXY_AFFINITY.format(
            **ports,
            reuse=reuse,
            servers=haproxy.servers(given.ports),
            stuck="\n".join(
                f"    server s{n} 127.0.0.1:{port} cookie s{n}"
                for n, port in enumerate(given.ports)
            ),
        )
    program = haproxy.start_haproxy(
        stage, connections, name, ports["plain"], sections,
        _HAPROXY_OPTIONS, _HAPROXY_GLOBAL, "http",
    )  # fmt: skip
    return Listening(program, ports)


_NGINX = """
daemon off; worker_processes 1; pid {home}/proxy.pid; error_log {home}/proxy.err;
worker_rlimit_nofile {descriptors};
events {{ worker_connections {descriptors}; }}
http {{
    access_log /dev/stdout combined;
    keepalive_timeout 1h; keepalive_requests 1000000000;
    # By default a body of more than 8 KiB goes through a file.
    client_body_buffer_size 32k;
    client_body_temp_path {home}/proxy-body; proxy_temp_path {home}/proxy-proxy;
    fastcgi_temp_path {home}/proxy-fastcgi; uwsgi_temp_path {home}/proxy-uwsgi;
    scgi_temp_path {home}/proxy-scgi;
    ssl_certificate {pem}; ssl_certificate_key {pem}; ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites {suite}; ssl_ecdh_curve {group};
    upstream web {{
        {servers}
        keepalive 100; keepalive_timeout 1h; keepalive_requests 1000000000;
    }}
    upstream hashed {{
        hash $http_x_tenant consistent;
        {servers}
        keepalive 100; keepalive_timeout 1h; keepalive_requests 1000000000;
    }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    limit_req_zone $binary_remote_addr zone=clients:16m rate={limit}r/s;
    server {{
        listen 127.0.0.1:{plain} backlog=4096;
        listen 127.0.0.1:{tls} backlog=4096 ssl;
        location / {{ proxy_pass http://web; }}
    }}
    server {{
        listen 127.0.0.1:{hash} backlog=4096;
        location / {{ proxy_pass http://hashed; }}
    }}
    server {{
        listen 127.0.0.1:{gzip} backlog=4096;
        gzip on; gzip_comp_level {level}; gzip_types text/plain; gzip_proxied any;
        gzip_vary on; gzip_min_length 1024;
        location / {{ proxy_pass http://web; }}
    }}
    server {{
        listen 127.0.0.1:{limited} backlog=4096;
        limit_req zone=clients burst={limit} nodelay; limit_req_status 429;
        location / {{ proxy_pass http://web; }}
    }}
}}
"""


def nginx_http(stage: Stage, connections: int) -> Listening:
    """nginx's proxy module, one worker; sticky cookies are in 1.29.6 and later."""
    ports = _ports(_HASH)
    config = stage.home / "proxy.conf"
    config.write_text(
        _NGINX.format(
            **ports,
            limit=_LIMIT,
            home=stage.home,
            descriptors=2 * connections + 100,
            pem=stage.pem,
            suite=SUITE,
            group=GROUP,
            servers=nginx.servers(stage.ports),
            level=_LEVEL,
        )
    )
    command = ["nginx", "-c", str(config)]
    return Listening(start("nginx", ports["plain"], command, stage.home), ports)


_TYPES = "type.googleapis.com/envoy.extensions"


def envoy_http(stage: Stage, connections: int) -> Listening:
    """Envoy's HTTP connection manager, one worker.

    It does not compress, and needs another service to count clients' requests.
    """
    ports = _ports()
    del ports["gzip"], ports["limited"]
    tls = {
        "name": "tls",
        "typed_config": {
            "@type": f"{_TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": _envoy_tls(stage),
        },
    }
    listeners = [
        _envoy_listener("plain", ports["plain"], {}),
        _envoy_listener("tls", ports["tls"], {"transport_socket": tls}),
    ]
    program = start_envoy(
        stage, "envoy", ports["plain"], listeners, cluster(stage, connections)
    )
    return Listening(program, ports)


def _envoy_tls(stage: Stage) -> dict[str, Any]:
    file = {"filename": str(stage.pem)}
    return {
        # There is no setting for the suites of TLS 1.3.
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_3",
            "tls_maximum_protocol_version": "TLSv1_3",
            "ecdh_curves": [GROUP],
        },
        "tls_certificates": [{"certificate_chain": file, "private_key": file}],
    }


def _envoy_listener(
    name: str, port: int, transport: Mapping[str, Any]
) -> dict[str, Any]:
    http = f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"
    log = f"{_TYPES}.access_loggers.file.v3.FileAccessLog"
    # Its own fields tell milliseconds, so that an answer's length would vary.
    router = {
        "@type": f"{_TYPES}.filters.http.router.v3.Router",
        "suppress_envoy_headers": True,
    }
    # By default a whole answer may take 15 seconds.
    route = {"match": {"prefix": "/"}, "route": {"cluster": "bench", "timeout": "0s"}}
    hosts = [{"name": "all", "domains": ["*"], "routes": [route]}]
    manager = {
        "@type": http,
        "stat_prefix": "bench",
        "use_remote_address": True,
        "access_log": [
            {"name": "file", "typed_config": {"@type": log, "path": "/dev/stdout"}}
        ],
        "route_config": {"name": "bench", "virtual_hosts": hosts},
        "http_filters": [{"name": "router", "typed_config": router}],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}], **transport}
    return {"name": name, "address": address(port), "filter_chains": [chain]}


def lbconsul_http(
    stage: Stage, connections: int, given: Behind | None = None
) -> Listening:
    """lbconsul in one process as it comes, with log and metrics."""
    ports = _ports() if given else _ports(_HASH, _STICKY)
    given = given or behind(stage)
    listen = f"127.0.0.1:{ports['plain']}"
    options = ["--map", f"{listen}:{given.service},mode=http"]
    tls = f"mode=http,tls={stage.pem},tls-min=1.3"
    options += ["--map", f"127.0.0.1:{ports['tls']}:{given.service},{tls}"]
    gzip = f"mode=http,compress=gzip,compress-types=text/plain,compress-level={_LEVEL}"
    options += ["--map", f"127.0.0.1:{ports['gzip']}:{given.service},{gzip}"]
    affinity = {
        _HASH: "policy=hash,hash-by=header:x-tenant,hash-balance-factor=off",
        _STICKY: "sticky=cookie",
    }
    for name in affinity.keys() & ports.keys():
        place = f"127.0.0.1:{ports[name]}:{given.service}"
        options += ["--map", f"{place},mode=http,{affinity[name]}"]
    limited = f"127.0.0.1:{ports['limited']}"
    limit = f"mode=http,rate-limit={_LIMIT}/s"
    options += ["--map", f"{limited}:{given.service},{limit}"]
    for number in range(given.hosts):
        options += ["--route", f"{listen}:{host(number)}={given.service}"]
    program = start_gateway(stage, "lbconsul", ports["plain"], *options)
    return Listening(program, ports)


def _ports(*more: str) -> dict[str, int]:
    names = (*_LISTENERS, *more)
    return dict(zip(names, free_ports(len(names)), strict=True))


#: By the names that stand in the tables.
HTTP_PEERS: dict[str, Start] = {
    "haproxy": haproxy_http,
    SAFE: haproxy_safe,
    "nginx": nginx_http,
    "envoy": envoy_http,
    "lbconsul": lbconsul_http,
}

#: Those whose growth is measured.
GROWING = ("haproxy", "lbconsul")


def growing(given: Behind) -> dict[str, Start]:
    """How those start with this behind them."""
    starts = (haproxy_http, lbconsul_http)
    return {
        name: partial(start, given=given)
        for name, start in zip(GROWING, starts, strict=True)
    }


def chosen(names: Sequence[str]) -> list[str]:
    """The peers in HTTP mode of these that balance TCP."""
    kinds = {SAFE: "haproxy", "nginx": "nginx stream"}
    return [each for each in HTTP_PEERS if kinds.get(each, each) in names]
