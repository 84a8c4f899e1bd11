"""HAProxy and nginx as upstreams that expect what mappings can be told to send."""

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import capturedLogs, formatEvent

from tests.support.certificates import Authority, Issued, together
from tests.support.loopback import listening
from tests.support.peers import haproxy, nginx_stream
from tests.support.running_proxy import RunningProxy
from tests.support.upstreams import instance
from tests.support.waiting import eventually

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


# TLS.


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The authority of upstreams and mappings."""
    return Authority(tmp_path)


def nginx_tls(issued: Issued, *more: str) -> str:
    """nginx with TLS, which tells what it knows of its client."""
    names = ["server_name", "protocol", "client_s_dn", "client_verify"]
    answer = ",".join(f"$ssl_{each}" for each in [*names, "session_reused"])
    return (
        f"ssl; ssl_protocols TLSv1.3; ssl_certificate {issued.cert};"
        f' ssl_certificate_key {issued.key}; {" ".join(more)} return "{answer}";'
    )


def answer_of(proxy: RunningProxy) -> str:
    """What a client hears; empty if it is turned away."""
    client = proxy.connect()
    answer = client.makefile("rb").read().decode()
    client.close()
    proxy.wait_until_open(0)
    return answer


def test_tls_to_nginx(authority: Authority, tmp_path: Path) -> None:
    """nginx is verified by its address, and reached again with a resumed session."""
    issued = authority.issue("localhost", "127.0.0.1")
    with (
        nginx_stream(tmp_path, nginx_tls(issued)) as (_, port),
        RunningProxy(
            instance("a", port), upstream_tls=True, upstream_ca=authority.file
        ) as proxy,
    ):
        assert answer_of(proxy) == ",TLSv1.3,,NONE,."
        assert answer_of(proxy) == ",TLSv1.3,,NONE,r"


def test_client_certificate(authority: Authority, tmp_path: Path) -> None:
    """nginx gets the certificate that it requires, and the server name."""
    issued = authority.issue("web.example.com")
    shown = authority.issue("balancer")
    config = nginx_tls(
        issued, f"ssl_client_certificate {authority.file}; ssl_verify_client on;"
    )
    options: dict[str, Any] = {
        "upstream_tls": True,
        "upstream_ca": authority.file,
        "upstream_server_name": "web.example.com",
    }
    with nginx_stream(tmp_path, config) as (_, port):
        upstream = instance("a", port)
        with RunningProxy(
            upstream, upstream_cert=shown.cert, upstream_key=shown.key, **options
        ) as proxy:
            said = answer_of(proxy)
            assert said == "web.example.com,TLSv1.3,CN=balancer,SUCCESS,."
        with RunningProxy(upstream, **options) as proxy:
            # With TLS 1.3 a server may tell only after the handshake.
            assert answer_of(proxy) == ""


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("other authority", "unable to get local issuer certificate"),
        ("other name", "IP address mismatch"),
        ("expired", "certificate has expired"),
    ],
)
def test_nginx_that_is_not_accepted(
    authority: Authority, tmp_path: Path, case: str, reason: str
) -> None:
    """The log tells why no TLS was possible, and the next instance is tried."""
    issuer = Authority(tmp_path, "other") if case == "other authority" else authority
    bad = issuer.issue(
        "bad.example.com",
        *([] if case == "other name" else ["127.0.0.1"]),
        end=-timedelta(minutes=1) if case == "expired" else timedelta(days=1),
    )
    with ExitStack() as held:
        folder = tmp_path / "nginx"
        folder.mkdir()
        _, port = held.enter_context(nginx_stream(folder, nginx_tls(bad)))
        upstream = instance("a", port)
        events = held.enter_context(capturedLogs())
        proxy = held.enter_context(
            RunningProxy(upstream, upstream_tls=True, upstream_ca=authority.file)
        )
        assert answer_of(proxy) == ""
        told = "; ".join(str(formatEvent(event)) for event in events)
        assert f"the TLS handshake with {upstream.text} failed: certificate" in told
        assert reason in told
        eventually(lambda: proxy.mapped.stats.endings["ST"] == 1, "it is counted")


def test_tls_to_haproxy(authority: Authority, tmp_path: Path) -> None:
    """HAProxy gets the PROXY header, and TLS behind it with a client's certificate."""
    issued, shown = authority.issue("localhost", "127.0.0.1"), authority.issue("gate")
    pem = together(tmp_path / "haproxy.pem", issued.cert, issued.key)
    with ExitStack() as held:
        front = held.enter_context(listening())
        config = f"""
        frontend receiver
            mode http
            bind fd@{front.fileno()} accept-proxy ssl crt {pem} \
                ca-file {authority.file} verify required
            http-request return status 200 content-type text/plain lf-string \
                "%[src_port] %[ssl_fc_protocol] %[ssl_c_s_dn(CN)]"
        """
        held.enter_context(haproxy(tmp_path, config, front))
        proxy = held.enter_context(
            RunningProxy(
                instance("a", front.getsockname()[1]),
                upstream_tls=True,
                upstream_ca=authority.file,
                upstream_cert=together(tmp_path / "gate.pem", shown.cert, shown.key),
                send_proxy="v2",
            )
        )
        client = proxy.connect()
        said = f"{client.getsockname()[1]} TLSv1.3 gate"
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = client.makefile("rb").read().decode()
    assert answer.partition("\r\n\r\n")[2] == said
