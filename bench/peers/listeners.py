"""Balancers with a listener for each kind of TLS and of the PROXY protocol."""

from collections.abc import Callable, Mapping

from attrs import frozen

from bench.peers import haproxy, nginx
from bench.peers.gateway import start_gateway
from bench.processes import Program
from bench.stage import PROXIED_SERVICE, SERVER_NAME, SERVICE, TLS_SERVICE, Stage
from bench.work import TLS_WORK
from tests.support.ports import free_ports

#: The listeners that the work asks for.
LISTENERS = tuple(dict.fromkeys(work.listener for work in TLS_WORK.values()))

#: What the others agree on with a client.  Left alone they would take the client's
#: first choice, which is AES of 256 bits; lbconsul takes its own.
SUITE, GROUP = "TLS_AES_128_GCM_SHA256", "X25519"

#: Those that a client speaks TLS to; all but the first leave it encrypted.
OVER_TLS = ("tls", "passthrough", "sni")


@frozen
class Listening:
    """A balancer, and the port of each of its listeners."""

    program: Program
    ports: Mapping[str, int]

    @property
    def name(self) -> str:
        """The balancer's."""
        return self.program.name

    def wait_until_serving(self) -> None:
        """Return once all of them serve.

        Where PROXY headers are expected nothing is asked: the service behind it is that
        of the plain listener.

        :raises RuntimeError: the balancer has ended, or takes too long.
        """
        for listener, port in self.ports.items():
            if listener != "accept-proxy":
                self.program.wait_until_serving(port, tls=listener in OVER_TLS)


_HAPROXY = """
listen plain
    bind 127.0.0.1:{plain} backlog 4096
{clear}
listen tls
    bind 127.0.0.1:{tls} backlog 4096 ssl crt {pem} ssl-min-ver TLSv1.3 \
        ciphersuites {suite} curves {group}
{clear}
listen passthrough
    bind 127.0.0.1:{passthrough} backlog 4096
{encrypted}
frontend sni
    bind 127.0.0.1:{sni} backlog 4096
    tcp-request inspect-delay 3s
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    use_backend encrypted if {{ req.ssl_sni -i {name} }}
backend encrypted
{encrypted}
listen send-proxy
    bind 127.0.0.1:{send-proxy} backlog 4096
{proxied}
listen accept-proxy
    bind 127.0.0.1:{accept-proxy} backlog 4096 accept-proxy
{clear}
"""


def haproxy_listening(stage: Stage, connections: int) -> Listening:
    """HAProxy, one thread; it inspects the ClientHello for its name."""
    ports = _ports()
    sections = _HAPROXY.format(
        **ports,
        name=SERVER_NAME,
        pem=stage.pem,
        suite=SUITE,
        group=GROUP,
        clear=haproxy.servers(stage.ports),
        encrypted=haproxy.servers(stage.tls_ports),
        proxied=haproxy.servers(stage.proxied_ports, "send-proxy-v2"),
    )
    program = haproxy.start_haproxy(
        stage, connections, "haproxy", ports["plain"], sections
    )
    return Listening(program, ports)


_NGINX = """
    upstream clear {{ {clear} }}
    upstream encrypted {{ {encrypted} }}
    upstream proxied {{ {proxied} }}
    map $ssl_preread_server_name $named {{ {name} encrypted; }}
    ssl_certificate {pem}; ssl_certificate_key {pem}; ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites {suite}; ssl_ecdh_curve {group};
    server {{ listen 127.0.0.1:{plain} backlog=4096; proxy_pass clear; }}
    server {{ listen 127.0.0.1:{tls} backlog=4096 ssl; proxy_pass clear; }}
    server {{ listen 127.0.0.1:{passthrough} backlog=4096; proxy_pass encrypted; }}
    server {{
        listen 127.0.0.1:{sni} backlog=4096; ssl_preread on; proxy_pass $named;
    }}
    server {{
        listen 127.0.0.1:{send-proxy} backlog=4096;
        proxy_protocol on; proxy_pass proxied;
    }}
    server {{
        listen 127.0.0.1:{accept-proxy} backlog=4096 proxy_protocol; proxy_pass clear;
    }}
"""


def nginx_listening(stage: Stage, connections: int) -> Listening:
    """nginx's stream module, one worker; it can only send version 1 of PROXY."""
    ports = _ports()
    sections = _NGINX.format(
        **ports,
        name=SERVER_NAME,
        pem=stage.pem,
        suite=SUITE,
        group=GROUP,
        clear=nginx.servers(stage.ports),
        encrypted=nginx.servers(stage.tls_ports),
        proxied=nginx.servers(stage.proxied_ports),
    )
    program = nginx.start_nginx(stage, connections, ports["plain"], sections)
    return Listening(program, ports)


def lbconsul_listening(stage: Stage, connections: int) -> Listening:
    """lbconsul in one process, without a log of connections."""
    ports = _ports()
    mappings = {
        "plain": SERVICE,
        "tls": f"{SERVICE},tls={stage.pem},tls-min=1.3",
        "passthrough": TLS_SERVICE,
        "sni": "-,mode=sni",
        "send-proxy": f"{PROXIED_SERVICE},send-proxy=v2",
        "accept-proxy": f"{SERVICE},accept-proxy=127.0.0.0/8",
    }
    options = ["--connection-log", "off"]
    for listener, rest in mappings.items():
        options += ["--map", f"127.0.0.1:{ports[listener]}:{rest}"]
    options += ["--route", f"127.0.0.1:{ports['sni']}:{SERVER_NAME}={TLS_SERVICE}"]
    program = start_gateway(stage, "lbconsul", ports["plain"], *options)
    return Listening(program, ports)


def _ports() -> dict[str, int]:
    return dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))


#: By the names that the balancers have in the comparison, too.
LISTENING: dict[str, Callable[[Stage, int], Listening]] = {
    "haproxy": haproxy_listening,
    "nginx stream": nginx_listening,
    "lbconsul": lbconsul_listening,
}
