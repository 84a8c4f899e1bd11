"""What stands around the balancers: a real Consul, and web servers."""

import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from attrs import define, frozen

from bench import processes
from bench.text import text
from tests.support.binaries import find_consul
from tests.support.certificates import Authority
from tests.support.consul_agent import ConsulAgent
from tests.support.ports import free_ports

#: The service that every balancer balances over.
SERVICE = "bench"

#: The same web servers, where they serve TLS and where they expect PROXY headers.
TLS_SERVICE = "bench-tls"
PROXIED_SERVICE = "bench-proxied"

#: The name in their certificate, which stands for loopback.
SERVER_NAME = "localhost"

#: How many web servers stand behind it.
SERVERS = 3

#: The node of all instances.  It is not the agent's own, which would take away
#: whatever is not registered with the agent itself.
NODE = "bench-node"

#: Operations in one transaction; Consul's own limit.
_BATCH = 64

#: Each watch takes a connection, and by default Consul takes 200 from a client.
_LIMITS = {"limits": {"http_max_conns_per_client": 5000}}

#: What the web servers have, and of how many bytes.
_FILES = {
    "small": 100,
    "64k": 64 << 10,
    "100m": 100 << 20,
    "post": 100,
    "chunked/1k": 1 << 10,
    "chunked/64k": 64 << 10,
}

#: One process for all, so that the load has a processor left to itself.
_NGINX = """
daemon off; master_process off; pid {home}/servers.pid; error_log {home}/servers.err;
events {{ worker_connections 12000; }}
http {{
    access_log off; sendfile on; keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_body_temp_path {home}/body; proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi; uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    ssl_certificate {pem}; ssl_certificate_key {pem}; ssl_protocols TLSv1.3;
    server {{
        {listen} root {home}/www;
        # What a filter may alter has no length: it is sent in chunks.
        location /chunked/ {{ sub_filter_types *; sub_filter never-there -; }}
        # Read whole, and dropped, before the answer: no file takes a POST.
        location = /post {{
            client_body_buffer_size 32k; mirror /drop; error_page 405 =200 /small;
        }}
        location = /drop {{ internal; return 204; }}
    }}
    server {{ listen 127.0.0.1:{status}; location / {{ stub_status; }} }}
}}
"""


@frozen
class Seen:
    """What the web servers count."""

    #: Connections at this moment.
    open: int
    #: Connections and requests since their start.
    accepted: int
    requests: int


@define
class Stage:
    """The catalog and the web servers that all balancers have in common."""

    home: Path
    consul: ConsulAgent
    #: Where the web servers listen: in the clear, with TLS, behind PROXY headers.
    ports: Sequence[int]
    tls_ports: Sequence[int]
    proxied_ports: Sequence[int]
    #: The file of a certificate (ECDSA, P-256) and its key.
    pem: Path
    _status: int

    def seen(self) -> Seen:
        """What the web servers have seen so far."""
        connection = HTTPConnection("127.0.0.1", self._status, timeout=10)
        connection.request("GET", "/")
        text = connection.getresponse().read().decode()
        connection.close()
        return parse_status(text)

    def wait_until_quiet(self) -> None:
        """Return once the connections of whatever went before are closed."""
        end = time.monotonic() + processes.PATIENCE
        while (count := self.seen().open) > 1:  # the one that asks
            if time.monotonic() > end:
                raise RuntimeError(f"{count - 1} connections do not close")
            time.sleep(0.05)

    def register(self, service: str, count: int, ports: Sequence[int] = ()) -> None:
        """Register so many instances, spread over the web servers' ports."""
        ports = ports or self.ports
        transact(
            self.consul,
            (
                instance(service, number, ports[number % len(ports)])
                for number in range(count)
            ),
        )


def parse_status(page: str) -> Seen:
    """Read a page of nginx's `stub_status`."""
    found = re.search(r"connections: (\d+)\s[^\d]*(\d+) \d+ (\d+)", page)
    assert found, page
    return Seen(*map(int, found.groups()))


@contextmanager
def staged() -> Iterator[Stage]:
    """A Consul that knows the web servers as instances of `SERVICE`."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        home.chmod(0o755)  # a server that root starts may not stay root
        agent = ConsulAgent(consul_binary(), extra_config=_LIMITS)
        consul = stack.enter_context(agent)
        pem = _certificate(home)
        ports = free_ports(3 * SERVERS + 1)
        clear, tls, proxied = (ports[n::3][:SERVERS] for n in range(3))
        stage = Stage(home, consul, clear, tls, proxied, pem, ports[-1])
        program = _web_servers(stage, ports[-1])
        stack.callback(program.stop)
        program.wait_until_serving()
        consul.api(
            "PUT", "/v1/catalog/register", {"Node": NODE, "Address": "127.0.0.1"}
        )
        stage.register(SERVICE, SERVERS)
        stage.register(TLS_SERVICE, SERVERS, stage.tls_ports)
        stage.register(PROXIED_SERVICE, SERVERS, stage.proxied_ports)
        yield stage


def _certificate(home: Path) -> Path:
    issued = Authority(home).issue(SERVER_NAME)
    pem = home / "server.pem"
    pem.write_text(Path(issued.cert).read_text() + Path(issued.key).read_text())
    return pem


def _web_servers(stage: Stage, status: int) -> processes.Program:
    home = stage.home
    www = home / "www"
    (www / "chunked").mkdir(parents=True)
    for name, size in _FILES.items():
        (www / name).write_bytes(b"x" * size)
    (www / "text").write_bytes(text())
    listen = " ".join(
        f"listen 127.0.0.1:{port} backlog=4096{kind};"
        for ports, kind in (
            (stage.ports, ""),
            (stage.tls_ports, " ssl"),
            (stage.proxied_ports, " proxy_protocol"),
        )
        for port in ports
    )
    config = home / "servers.conf"
    config.write_text(
        _NGINX.format(home=home, listen=listen, status=status, pem=stage.pem)
    )
    command = ["nginx", "-c", str(config)]
    return processes.start("servers", stage.ports[0], command, home)


def instance(service: str, number: int, port: int, weight: int = 1) -> dict[str, Any]:
    """The operation that registers an instance, or changes it."""
    described = {
        "ID": f"{service}-{number}",
        "Service": service,
        "Address": "127.0.0.1",
        "Port": port,
        "Weights": {"Passing": weight, "Warning": 1},
    }
    return {"Service": {"Verb": "set", "Node": NODE, "Service": described}}


def check(service: str, number: int, status: str) -> dict[str, Any]:
    """The operation that gives an instance a check of this status."""
    described = {
        "Node": NODE,
        "CheckID": f"check-{service}-{number}",
        "Name": "bench",
        "Status": status,
        "ServiceID": f"{service}-{number}",
    }
    return {"Check": {"Verb": "set", "Check": described}}


def transact(consul: ConsulAgent, operations: Iterable[dict[str, Any]]) -> None:
    """Carry the operations out, as many at once as Consul takes."""
    waiting = list(operations)
    for begin in range(0, len(waiting), _BATCH):
        status, _, said = consul.api("PUT", "/v1/txn", waiting[begin : begin + _BATCH])
        if status != 200:
            raise RuntimeError(f"Consul refused: {said}")


def consul_binary() -> str:
    """The Consul to run; `bench.missing` has seen to it that there is one."""
    binary = find_consul()
    assert binary is not None
    return os.path.abspath(binary)
