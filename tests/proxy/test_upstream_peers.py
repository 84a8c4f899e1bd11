"""HAProxy and nginx as upstreams that expect what mappings can be told to send."""

from pathlib import Path

import pytest

from tests.support.loopback import listening
from tests.support.peers import haproxy, nginx_stream
from tests.support.running_proxy import RunningProxy
from tests.support.upstreams import instance

pytestmark = pytest.mark.process


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_header_to_haproxy(version: str, tmp_path: Path) -> None:
    """HAProxy behind a mapping sees the client, and what that connected to."""
    with listening() as front:
        config = f"""
        frontend receiver
            mode http
            bind fd@{front.fileno()} accept-proxy
            http-request return status 200 content-type text/plain lf-string \
                "%[src] %[src_port] %[dst] %[dst_port]"
        """
        upstream = instance("a", front.getsockname()[1])
        with (
            haproxy(tmp_path, config, front),
            RunningProxy(upstream, send_proxy=version) as proxy,
        ):
            client = proxy.connect()
            own = (*client.getsockname(), *client.getpeername())
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = client.makefile("rb").read().decode()
    assert answer.partition("\r\n\r\n")[2] == " ".join(map(str, own))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_header_to_nginx(version: str, tmp_path: Path) -> None:
    """nginx behind a mapping sees the client, and what that connected to."""
    names = ["addr", "port", "server_addr", "server_port"]
    answer = " ".join(f"$proxy_protocol_{each}" for each in names)
    with (
        nginx_stream(tmp_path, f'proxy_protocol; return "{answer}";') as (_, port),
        RunningProxy(instance("a", port), send_proxy=version) as proxy,
    ):
        client = proxy.connect()
        own = (*client.getsockname(), *client.getpeername())
        said = client.makefile("rb").read().decode()
    assert said == " ".join(map(str, own))
