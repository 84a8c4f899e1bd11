"""Headers of the PROXY protocol, from and to real proxies."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lbconsul.net.proxy_protocol import Address, Header, build_v1, build_v2, parse
from lbconsul.net.proxy_tlvs import ALPN, AUTHORITY, SSL, UNIQUE_ID, ClientTLS
from tests.support.certificates import Authority
from tests.support.loopback import accept, connect, listening
from tests.support.peers import haproxy, nginx_stream

pytestmark = pytest.mark.process

#: What a client says to a server, behind the header.
WORDS = b"the client's first words"

ONE, OTHER = ("192.0.2.1", 56324), ("198.51.100.1", 443)
ONE6, OTHER6 = ("2001:db8::1", 56324), ("2001:db8::2", 443)


def _receive(server: socket.socket) -> Header:
    """The header of a server's next connection, with the client's words behind it."""
    with accept(server) as sock:
        data = b""
        while not data.endswith(WORDS):
            more = sock.recv(65536)
            assert more, data
            data += more
    header = parse(data)
    assert header is not None
    assert data[header.length :] == WORDS
    return header


@contextmanager
def _sender(
    home: Path, options: str, bind: str = "", host: str = "127.0.0.1"
) -> Iterator[tuple[socket.socket, Address]]:
    """HAProxy's one server, which gets these options, and where HAProxy listens."""
    with listening() as server, listening(host=host) as front:
        config = f"""
        listen sender
            mode tcp
            unique-id-format id-%pid
            bind fd@{front.fileno()} {bind}
            bind unix@{home}/haproxy.sock
            server ours 127.0.0.1:{server.getsockname()[1]} {options}
        """
        with haproxy(home, config, front):
            yield server, front.getsockname()[:2]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize(
    "options", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c"]
)
def test_from_haproxy(options: str, host: str, tmp_path: Path) -> None:
    """HAProxy says who its client is, and what that connected to."""
    with (
        _sender(tmp_path, options, host=host) as (server, address),
        connect(address) as client,
    ):
        client.sendall(WORDS)
        header = _receive(server)
        assert header.source == client.getsockname()[:2]
        assert header.destination == address
        assert (header.tlvs, header.is_local) == ((), False)


@pytest.mark.parametrize(
    ("options", "is_local"), [("send-proxy", False), ("send-proxy-v2", True)]
)
def test_unix_socket_of_haproxy(options: str, is_local: bool, tmp_path: Path) -> None:
    """HAProxy does not say who a client of its UNIX socket is."""
    with (
        _sender(tmp_path, options) as (server, address),
        # It serves once it has answered here; both sockets are opened at once.
        connect(address) as first,
    ):
        first.sendall(WORDS)
        assert _receive(server).source is not None
        with connect(f"{tmp_path}/haproxy.sock") as client:
            client.sendall(WORDS)
            header = _receive(server)
    assert header == Header(None, None, header.length, is_local=is_local)


def test_health_check_of_haproxy(tmp_path: Path) -> None:
    """HAProxy speaks for itself when it checks whether a server is alive."""
    options = "send-proxy-v2 proxy-v2-options crc32c check check-send-proxy"
    with _sender(tmp_path, options) as (server, _), accept(server) as sock:
        header = parse(sock.recv(65536))
    assert header is not None
    assert header == Header(None, None, header.length, is_local=True)


def test_tls_of_haproxy(tmp_path: Path) -> None:
    """HAProxy says what it knows of a client that has come by TLS."""
    authority = Authority(tmp_path)
    issued = authority.issue("api.example.com")
    pem = tmp_path / "front.pem"
    pem.write_text(Path(issued.cert).read_text() + Path(issued.key).read_text())
    bind = f"ssl crt {pem} ca-file {authority.file} verify optional alpn h2"
    extras = "ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,crc32c,unique-id"
    options = f"send-proxy-v2-ssl-cn proxy-v2-options {extras}"
    with _sender(tmp_path, options, bind) as (server, address):
        for name in ("a client", None):
            context = ssl.create_default_context(cafile=authority.file)
            context.set_alpn_protocols(["h2"])
            if name:
                own = authority.issue(name)
                context.load_cert_chain(own.cert, own.key)
            with context.wrap_socket(
                connect(address), server_hostname="api.example.com"
            ) as client:
                client.sendall(WORDS)
                header = _receive(server)
                assert header.source == client.getsockname()
            tlvs = dict(header.tlvs)
            assert tlvs.keys() == {ALPN, AUTHORITY, SSL, UNIQUE_ID}
            assert (tlvs[ALPN], tlvs[AUTHORITY]) == (b"h2", b"api.example.com")
            assert ClientTLS.read(tlvs[SSL]) == ClientTLS(
                version="TLSv1.3",
                has_certificate=name is not None,
                is_verified=name is not None,
                common_name=name or "",
                cipher="TLS_AES_256_GCM_SHA384",
                signature_algorithm="ecdsa-with-SHA256",
                key_algorithm="EC256",
            )


def test_from_nginx(tmp_path: Path) -> None:
    """nginx says who its client is, and what that connected to."""
    with listening() as server:
        port = server.getsockname()[1]
        config = f"; proxy_pass 127.0.0.1:{port}; proxy_protocol on;"
        with nginx_stream(tmp_path, config) as address, connect(address) as client:
            accept(server).close()  # of the probe, by which one knows that it listens
            client.sendall(WORDS)
            header = _receive(server)
            own = client.getsockname()
    assert header == Header(own, address, header.length)


BUILT = [
    (build_v1(ONE, OTHER), (*ONE, *OTHER, "")),
    (build_v1(ONE6, OTHER6), (*ONE6, *OTHER6, "")),
    (build_v2(ONE, OTHER), (*ONE, *OTHER, "")),
    (build_v2(ONE6, OTHER6, checksum=True), (*ONE6, *OTHER6, "")),
    (
        build_v2(ONE, OTHER, [(AUTHORITY, b"example.com")], checksum=True),
        (*ONE, *OTHER, "example.com"),
    ),
    (build_v1(ONE, OTHER6), ("::ffff:192.0.2.1", ONE[1], *OTHER6, "")),
    (build_v2(ONE, OTHER6), ("::ffff:192.0.2.1", ONE[1], *OTHER6, "")),
    (build_v1("", ""), None),
    (build_v2("", ""), None),
    (build_v2(ONE, ""), None),
    (build_v2(None, None, [(AUTHORITY, b"a")], checksum=True), None),
]


def test_to_haproxy(tmp_path: Path) -> None:
    """HAProxy takes what we build, and answers with what it has read."""
    with listening() as front:
        config = f"""
        frontend receiver
            mode http
            bind fd@{front.fileno()} accept-proxy
            http-request return status 200 content-type text/plain lf-string \
                "%[src] %[src_port] %[dst] %[dst_port] %[fc_pp_authority]"
        """
        with haproxy(tmp_path, config, front):
            for header, expected in BUILT:
                with connect(front.getsockname()) as client:
                    own = (*client.getsockname(), *client.getpeername(), "")
                    client.sendall(header + b"GET / HTTP/1.0\r\n\r\n")
                    answer = client.makefile("rb").read().decode()
                said = " ".join(map(str, expected or own))
                assert answer.partition("\r\n\r\n")[2] == said
            wrong = bytearray(build_v2(ONE, OTHER, checksum=True))
            wrong[20] ^= 1
            with connect(front.getsockname()) as client:
                client.sendall(bytes(wrong) + b"GET / HTTP/1.0\r\n\r\n")
                assert _ends(client)


def _ends(sock: socket.socket) -> bool:
    """Whether the peer closes without a word."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def test_to_nginx(tmp_path: Path) -> None:
    """nginx takes what we build, and answers with what it has read."""
    names = ["addr", "port", "server_addr", "server_port"]
    answer = " ".join(f"$proxy_protocol_{each}" for each in names)
    with nginx_stream(tmp_path, f'proxy_protocol; return "{answer}";') as address:
        for header, expected in BUILT:
            with connect(address) as client:
                client.sendall(header)
                said = client.makefile("rb").read().decode()
            assert said == " ".join(map(str, expected[:4] if expected else ["   "]))
