"""Upstreams are reached by TLS, and are whom they say they are."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from lbconsul.net.sockets import reset_on_close
from lbconsul.tls import client as client_module
from lbconsul.tls import openssl
from lbconsul.tls.client import TLSClient
from lbconsul.tls.context import client_certificate
from lbconsul.tls.errors import TLSError
from lbconsul.tls.pem import PEM
from lbconsul.tls.stream import TLSStream
from tests.support.certificates import Authority
from tests.support.tls import (
    non_blocking_pair,
    peer_reads,
    read_some,
    say_end,
    shake_hands,
)


@define
class Upstream:
    """A server of Python's ssl, and the connections to it."""

    authority: Authority
    context: ssl.SSLContext
    #: The server names that clients asked for.
    asked: list[str | None] = field(factory=list)
    made: list[Any] = field(factory=list)

    def client(self, **options: Any) -> TLSClient:
        """A client that trusts the authority."""
        trusted = PEM.read("--upstream-ca", self.authority.file).certificates()
        return TLSClient(**{"authorities": tuple(trusted), **options})

    def connect(
        self, client: TLSClient, host: str, peer: str = ""
    ) -> tuple[TLSStream, ssl.SSLSocket]:
        """A stream to the server, and the server's socket; neither has spoken."""
        ours, theirs = non_blocking_pair()
        stream = client.connect(ours, host, peer)
        server = self.context.wrap_socket(
            theirs, server_side=True, do_handshake_on_connect=False
        )
        self.made += [stream, server]
        return stream, server


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    """A server that is web.example.com, *.wild.example.com, and two addresses."""
    authority = Authority(tmp_path)
    own = authority.issue(
        "common", "127.0.0.1", "::1", names=["web.example.com", "*.wild.example.com"]
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.cert, own.key)
    server = Upstream(authority, context)
    context.sni_callback = lambda sock, name, _: server.asked.append(name)
    yield server
    for each in server.made:
        each.close()


@pytest.fixture(params=["OpenSSL", "service-identity"])
def compares(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What compares names: OpenSSL, and what stands in for it."""
    if request.param == "service-identity":
        monkeypatch.setattr(openssl, "_NEEDED_FOR_HOST", ("no_such_function",))


@pytest.mark.usefixtures("compares")
@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("web.example.com", "web.example.com"),
        ("Web.Example.com.", "web.example.com"),
        ("one.wild.example.com", "one.wild.example.com"),
        ("127.0.0.1", None),
        ("::1", None),
    ],
)
def test_the_right_host(upstream: Upstream, host: str, asked: str | None) -> None:
    """A certificate for the name or the address is accepted; SNI has names alone."""
    stream, server = upstream.connect(upstream.client(), host)
    shake_hands(stream, server)
    assert upstream.asked == [asked]
    stream.send(b"question")
    assert peer_reads(server) == b"question"
    server.send(b"answer")
    assert read_some(stream) == b"answer"


@pytest.mark.usefixtures("compares")
@pytest.mark.parametrize(
    "host",
    [
        "other.example.com",
        "a.b.wild.example.com",
        "common",
        "127.0.0.2",
        "::2",
        "bücher",
    ],
)
def test_another_host(upstream: Upstream, host: str) -> None:
    """A certificate for other names is refused, before a byte is sent."""
    stream, server = upstream.connect(upstream.client(), host)
    with pytest.raises(TLSError) as failed:
        shake_hands(stream, server)
    assert any(
        why in str(failed.value)
        for why in ("hostname mismatch", "IP address mismatch", "is not for")
    )
    with pytest.raises(TLSError):
        stream.send(b"secret")


@pytest.mark.usefixtures("compares")
def test_a_certificate_without_names(upstream: Upstream) -> None:
    """A certificate that names no host is for none."""
    own = upstream.authority.issue("web.example.com", names=[])
    upstream.context.load_cert_chain(own.cert, own.key)
    stream, server = upstream.connect(upstream.client(), "web.example.com")
    with pytest.raises(TLSError):
        shake_hands(stream, server)


@pytest.mark.parametrize("authorities", [(), None])
def test_an_unknown_authority(upstream: Upstream, authorities: Any) -> None:
    """A certificate of an authority that is not trusted is refused, with the reason."""
    client = upstream.client(authorities=authorities)
    stream, server = upstream.connect(client, "web.example.com")
    with pytest.raises(TLSError, match="unable to get local issuer certificate"):
        shake_hands(stream, server)


def test_no_verification(upstream: Upstream) -> None:
    """Without verification any certificate will do, and SNI is sent."""
    client = upstream.client(authorities=None, verify=False)
    shake_hands(*upstream.connect(client, "other.example.com"))
    assert upstream.asked == ["other.example.com"]


def test_a_certificate_of_ones_own(upstream: Upstream) -> None:
    """An upstream that asks for a certificate is shown one."""
    own = upstream.authority.issue("gateway")
    files = (PEM.read("--upstream-cert", own.cert), PEM.read("--key", own.key))
    client = upstream.client(certificate=client_certificate(*files))
    upstream.context.verify_mode = ssl.CERT_REQUIRED
    upstream.context.load_verify_locations(upstream.authority.file)
    stream, server = upstream.connect(client, "web.example.com")
    shake_hands(stream, server)
    shown = server.getpeercert()
    assert shown is not None
    assert shown["subject"] == ((("commonName", "gateway"),),)


def test_version_1_2(upstream: Upstream) -> None:
    """An upstream may have TLS 1.2 alone."""
    upstream.context.maximum_version = ssl.TLSVersion.TLSv1_2
    shake_hands(*upstream.connect(upstream.client(), "web.example.com"))


def talk(
    upstream: Upstream, client: TLSClient, peer: str = "", *, cut: bool = False
) -> bool | None:
    """Connect and exchange a byte; whether the session was resumed."""
    stream, server = upstream.connect(client, "web.example.com", peer)
    shake_hands(stream, server)
    server.send(b"x")
    assert read_some(stream) == b"x"
    if cut:
        reset_on_close(stream)
    else:
        say_end(server)
        assert read_some(stream) == b""
    stream.close()
    return server.session_reused


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_resumption(upstream: Upstream, version: str) -> None:
    """The next connection to the same upstream has a shorter handshake."""
    upstream.context.maximum_version = ssl.TLSVersion[version]
    client = upstream.client()
    assert [talk(upstream, client, "10.0.0.1:443") for _ in range(3)] == [
        False,
        True,
        True,
    ]
    assert not talk(upstream, client, "10.0.0.2:443")


def test_a_session_that_was_cut(upstream: Upstream) -> None:
    """A connection that was reset leaves no session."""
    client = upstream.client()
    assert not talk(upstream, client, cut=True)
    assert not talk(upstream, client)
    assert talk(upstream, client)


def test_sessions_are_bounded(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many upstreams those of the last connections are remembered."""
    monkeypatch.setattr(client_module, "_MOST_SESSIONS", 2)
    client = upstream.client()
    for peer in ("a", "b", "a", "c"):
        talk(upstream, client, peer)
    assert len(client._sessions) == 2
    assert not talk(upstream, client, "b")
    assert talk(upstream, client, "c")


def test_a_connection_that_never_was(upstream: Upstream) -> None:
    """A stream that is closed before its handshake leaves no session."""
    client = upstream.client()
    stream, _ = upstream.connect(client, "web.example.com")
    stream.close()
    assert not client._sessions
