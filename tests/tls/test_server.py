"""Clients of TLS are served as Mozilla's intermediate configuration says."""

import ssl
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from cryptography.hazmat.primitives.asymmetric import rsa

from lbconsul.errors import ConfigError
from lbconsul.tls import openssl
from lbconsul.tls.certificates import (
    CertificateStore,
)
from lbconsul.tls.errors import TLSError
from lbconsul.tls.pem import PEM
from lbconsul.tls.server import ClientVerification, TLSServer, validating
from lbconsul.tls.stream import TLSStream
from tests.support.certificates import Authority, Issued, load_certificates, together
from tests.support.tls import (
    in_turn,
    non_blocking_pair,
    peer_reads,
    python_client,
    read_some,
    say_end,
    shake_hands,
)

TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3

#: An RSA key that OpenSSL takes for too weak.
SHORT = 1024


@define
class Site:
    """A server's files, and the connections to it."""

    folder: Path
    authority: Authority
    made: list[Any] = field(factory=list)

    def add(self, name: str, *names: str, **options: Any) -> None:
        """A certificate of the server, in a file of this name."""
        issued = self.authority.issue(name, names=names or [name], **options)
        path = self.folder / "certs" / f"{name}.pem"
        together(path, issued.cert, issued.key)

    def serve(self, **options: Any) -> TLSServer:
        """A server with all certificates."""
        found = load_certificates("--tls", str(self.folder / "certs"))
        deque(validating(found), 0)
        return TLSServer(CertificateStore(found), time.time, **options)

    def connect(
        self,
        server: TLSServer,
        context: ssl.SSLContext | None = None,
        name: str | None = "localhost",
        session: ssl.SSLSession | None = None,
    ) -> tuple[TLSStream, ssl.SSLSocket]:
        """A client and its stream, neither of which has spoken."""
        ours, theirs = non_blocking_pair()
        stream = server.accept(ours)
        client = python_client(theirs, context or self.client(), name)
        if session is not None:
            client.session = session
        self.made += [stream, client]
        return stream, client

    def client(self) -> ssl.SSLContext:
        """A client that trusts the authority, without a name to compare."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.authority.file)
        return context

    def only(self, version: ssl.TLSVersion) -> ssl.SSLContext:
        """A client that speaks this version alone."""
        context = self.client()
        context.minimum_version = context.maximum_version = version
        return context

    def verification(self, **options: Any) -> ClientVerification:
        """Client certificates of the authority are asked for."""
        trusted = PEM.read("--client-ca", self.authority.file).certificates()
        return ClientVerification(tuple(trusted), **options)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A server with a certificate for localhost."""
    (tmp_path / "certs").mkdir()
    made = Site(tmp_path, Authority(tmp_path))
    made.add("localhost")
    yield made
    for each in made.made:
        each.close()


def names(client: ssl.SSLSocket) -> set[str]:
    """The names in the certificate that the client was shown."""
    shown = client.getpeercert()
    assert shown is not None
    alternatives: Any = shown["subjectAltName"]
    return {name for _, name in alternatives}


def refusal(stream: TLSStream, client: ssl.SSLSocket) -> str:
    """How a handshake fails on our side."""

    def talk() -> None:
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
            client.read()

    def shake() -> None:
        with suppress(ssl.SSLError, ConnectionError):
            talk()
        stream.handshake()

    with pytest.raises(TLSError) as failed:
        in_turn(shake)
    return str(failed.value)


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_versions(site: Site, version: ssl.TLSVersion) -> None:
    """TLS 1.2 and 1.3 are spoken, with forward secrecy and without compression."""
    stream, client = site.connect(site.serve(), site.only(version))
    shake_hands(stream, client)
    assert client.version() == {TLS_1_2: "TLSv1.2", TLS_1_3: "TLSv1.3"}[version]
    assert client.compression() is None
    assert stream.connection.get_group_name() == "x25519"
    client.send(b"question")
    assert read_some(stream) == b"question"
    stream.send(b"answer")
    assert peer_reads(client) == b"answer"


def test_a_least_version(site: Site) -> None:
    """With 1.3 as the least version a client of 1.2 is refused."""
    server = site.serve(least_version="1.3")
    refused = refusal(*site.connect(server, site.only(TLS_1_2)))
    assert refused == "unsupported protocol"
    shake_hands(*site.connect(server, site.only(TLS_1_3)))


@pytest.mark.parametrize(
    "suites",
    ["ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-CCM", "AES128-GCM-SHA256"],
)
def test_old_suites(site: Site, suites: str) -> None:
    """A client of TLS 1.2 that has no modern suite is refused."""
    context = site.only(TLS_1_2)
    context.set_ciphers(suites)
    assert "no shared cipher" in refusal(*site.connect(site.serve(), context))


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (
            "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256",
            "ECDHE-ECDSA-AES128-GCM-SHA256",
        ),
        (
            "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256",
            "ECDHE-ECDSA-CHACHA20-POLY1305",
        ),
    ],
)
def test_order_of_suites(site: Site, offered: str, chosen: str) -> None:
    """The server's order counts, unless the client asks for ChaCha20 first."""
    context = site.only(TLS_1_2)
    context.set_ciphers(offered)
    stream, client = site.connect(site.serve(), context)
    shake_hands(stream, client)
    used = client.cipher()
    assert used is not None and used[0] == chosen


def test_old_groups(site: Site) -> None:
    """A group outside of Mozilla's configuration is refused."""
    context = site.client()
    context.set_ecdh_curve("secp521r1")
    assert "no suitable key share" in refusal(*site.connect(site.serve(), context))


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        (["h2", "http/1.1"], "http/1.1"),
        (["h2"], None),
        ([], None),
    ],
)
def test_protocols(site: Site, offered: list[str], agreed: str | None) -> None:
    """ALPN agrees on http/1.1; a client that has other ones is served without it."""
    site.add("second")
    server = site.serve()
    for name in ("localhost", "second"):  # the default's context, and another one
        context = site.client()
        context.set_alpn_protocols(offered)
        stream, client = site.connect(server, context, name)
        shake_hands(stream, client)
        assert client.selected_alpn_protocol() == agreed
        told = stream.connection.get_alpn_proto_negotiated()
        assert told == (agreed or "").encode()


def test_certificates_by_name(site: Site) -> None:
    """Each client is shown the certificate of the name that it asks for."""
    site.add("wild", "*.example.com")
    site.add("api", "api.example.com")
    server = site.serve()
    for name, shown in (
        ("api.example.com", "api.example.com"),
        ("API.Example.com", "api.example.com"),
        ("web.example.com", "*.example.com"),
        ("localhost", "localhost"),
        ("unknown.org", "api.example.com"),  # the first file
        (None, "api.example.com"),
    ):
        stream, client = site.connect(server, name=name)
        shake_hands(stream, client)
        assert names(client) == {shown}
        assert stream.connection.get_servername() == (name and name.encode())


def test_contexts_are_made_when_they_are_needed(site: Site) -> None:
    """Of many certificates only those that clients ask for take memory."""
    for number in range(20):
        site.add(f"site-{number}.example.com")
    server = site.serve()
    assert len(server._contexts) == 1
    for _ in range(2):
        stream, client = site.connect(server, name="site-7.example.com")
        shake_hands(stream, client)
        assert names(client) == {"site-7.example.com"}
        assert len(server._contexts) == 2


def test_a_chain(site: Site) -> None:
    """Certificates are shown with the authorities between them and a client's own."""
    between = Authority(site.folder, "between", above=site.authority)
    for name in ("api.example.com", "web.example.com"):
        issued = between.issue(name)
        path = site.folder / "certs" / f"{name}.pem"
        together(path, issued.key, between.file, issued.cert)
    server = site.serve()
    for name in ("api.example.com", "web.example.com"):
        stream, client = site.connect(server, name=name)
        shake_hands(stream, client)
        assert names(client) == {name}


def test_a_key_that_is_too_short(site: Site) -> None:
    """A certificate that OpenSSL refuses is named with the reason."""
    site.add("old", key=rsa.generate_private_key(65537, SHORT))
    with pytest.raises(ConfigError) as refused:
        site.serve()
    path = site.folder / "certs" / "old.pem"
    assert str(refused.value) == f"{path}: OpenSSL: ee key too small"


def resume(
    site: Site, server: TLSServer, context: ssl.SSLContext, name: str = "localhost"
) -> ssl.SSLSocket:
    """The second of two connections, the first of which ended in order."""
    session = None
    for _ in range(2):
        stream, client = site.connect(server, context, name, session)
        shake_hands(stream, client)
        stream.send(b"x")  # behind the tickets of TLS 1.3
        assert peer_reads(client) == b"x"
        session = client.session
        say_end(client)
        assert read_some(stream) == b""
        stream.close()
    return client


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
@pytest.mark.parametrize("name", ["localhost", "second"])
def test_resumption(site: Site, version: ssl.TLSVersion, name: str) -> None:
    """A client that comes again with its ticket has a shorter handshake."""
    site.add("second")
    assert resume(site, site.serve(), site.only(version), name).session_reused


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_resumption_with_a_client_certificate(
    site: Site, version: ssl.TLSVersion
) -> None:
    """A client with a certificate resumes, too, and is known by it again."""
    server = site.serve(verification=site.verification())
    context = site.only(version)
    own = site.authority.issue("client")
    context.load_cert_chain(own.cert, own.key)
    assert resume(site, server, context).session_reused
    stream = site.made[-2]
    shown = stream.connection.get_peer_certificate(as_cryptography=True)
    assert shown.subject.rfc4514_string() == "CN=client"


def test_without_tickets(site: Site) -> None:
    """Of a client that wants no ticket nothing is kept: it does not resume."""
    context = site.only(TLS_1_2)
    context.options |= ssl.OP_NO_TICKET
    assert not resume(site, site.serve(), context).session_reused


def test_tickets_of_another_server(site: Site) -> None:
    """A ticket that another server has issued leads to a full handshake."""
    context = site.client()
    first = resume(site, site.serve(), context)
    stream, client = site.connect(site.serve(), context, session=first.session)
    shake_hands(stream, client)
    assert not client.session_reused


class TestClientCertificates:
    """Clients that have to show a certificate."""

    @pytest.fixture(autouse=True)
    def _place(self, site: Site, tmp_path: Path) -> None:
        self.site = site
        self.other = Authority(tmp_path, "other")

    def connect(
        self, server: TLSServer, own: Issued | None, version: ssl.TLSVersion
    ) -> tuple[TLSStream, ssl.SSLSocket]:
        """A client with a certificate, or with none."""
        context = self.site.only(version)
        if own is not None:
            context.load_cert_chain(own.cert, own.key)
        return self.site.connect(server, context)

    @pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
    def test_who_is_let_in(self, version: ssl.TLSVersion) -> None:
        """A valid certificate of the authority is; others are told why not."""
        authority = self.site.authority
        server = self.site.serve(verification=self.site.verification())
        good = authority.issue("good")
        stream, client = self.connect(server, good, version)
        shake_hands(stream, client)
        shown = stream.connection.get_peer_certificate(as_cryptography=True)
        assert shown is not None
        assert shown.subject.rfc4514_string() == "CN=good"
        day = timedelta(days=1)
        for own, why in (
            (None, "peer did not return a certificate"),
            (self.other.issue("strange"), "unable to get local issuer certificate"),
            (authority.issue("late", begin=-2 * day, end=-day), "has expired"),
            (authority.issue("early", begin=day), "not yet valid"),
        ):
            assert why in refusal(*self.connect(server, own, version))

    def test_optional(self) -> None:
        """A client may have no certificate, but a bad one is refused."""
        verification = self.site.verification(is_required=False)
        server = self.site.serve(verification=verification)
        stream, client = self.connect(server, None, TLS_1_3)
        shake_hands(stream, client)
        assert stream.connection.get_peer_certificate(as_cryptography=True) is None
        strange = self.other.issue("strange")
        assert "certificate verify failed" in refusal(
            *self.connect(server, strange, TLS_1_3)
        )

    def test_revoked(self) -> None:
        """A certificate that a revocation list names is refused."""
        authority = self.site.authority
        good, bad = authority.issue("good"), authority.issue("bad")
        lists = PEM.read("--client-crl", authority.revoke(bad)).revocation_lists()
        verification = self.site.verification(revoked=tuple(lists))
        server = self.site.serve(verification=verification)
        shake_hands(*self.connect(server, good, TLS_1_3))
        assert "certificate revoked" in refusal(*self.connect(server, bad, TLS_1_3))

    @pytest.mark.parametrize("has_store", [True, False])
    def test_revoked_by_server_name(
        self, has_store: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A revocation list holds whatever the server name is, and is in memory once, if
        pyOpenSSL can do so.
        """
        if not has_store:
            monkeypatch.setattr(openssl, "_NEEDED_FOR_STORE", ["no_such_function"])
        self.site.add("second")
        good = self.site.authority.issue("good")
        bad = self.site.authority.issue("bad")
        listed = self.site.authority.revoke(bad)
        lists = PEM.read("--client-crl", listed).revocation_lists()
        verification = self.site.verification(revoked=tuple(lists))
        server = self.site.serve(verification=verification)
        for own in (good, bad):
            context = self.site.client()
            context.load_cert_chain(own.cert, own.key)
            clients = self.site.connect(server, context, "second")
            if own is good:
                shake_hands(*clients)
            else:
                assert "certificate revoked" in refusal(*clients)
        stores = {
            openssl._lib.SSL_CTX_get_cert_store(each._context)
            for each in server._contexts.values()
        }
        assert len(stores) == (1 if has_store else 2)

    def test_by_server_name(self) -> None:
        """The certificate is asked for, and verified, whatever the server name is."""
        self.site.add("second")
        server = self.site.serve(verification=self.site.verification())
        context = self.site.client()
        assert "did not return" in refusal(
            *self.site.connect(server, context, "second")
        )
        own = self.site.authority.issue("good")
        context.load_cert_chain(own.cert, own.key)
        shake_hands(*self.site.connect(server, context, "second"))
