"""TLS with a gateway's admin listener: which one is believed, and what is said else."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lbconsul.admin.client import Admin, CannotAsk
from lbconsul.console.access import access
from lbconsul.errors import ConfigError
from lbconsul.usage.words import Given
from tests.support.certificates import Authority, together

STATUS = b'{"format":2,"gateway":{}}'


class Server:
    """Answers each client's request with a status, over TLS."""

    def __init__(self, cert: str, key: str, client_ca: str = "") -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(cert, key)
        if client_ca:
            self._context.load_verify_locations(client_ca)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.port = self._sock.getsockname()[1]
        #: What clients have sent.
        self.asked: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._sock.accept()
            except OSError:
                return
            with client, suppress(OSError):
                self._answer(self._context.wrap_socket(client, server_side=True))

    def _answer(self, client: ssl.SSLSocket) -> None:
        with client:
            asked = client.recv(65536)
            if not asked:
                return  # the client did not like the certificate
            self.asked.append(asked)
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
            client.sendall(head % len(STATUS) + STATUS)

    def close(self) -> None:
        """Accept no more."""
        self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


Serve = Callable[..., Server]


@pytest.fixture
def serve(authority: Authority) -> Iterator[Serve]:
    """Starts servers, of a certificate for these names and addresses."""
    servers = []

    def begin(*names: str, **options: Any) -> Server:
        issued = authority.issue(*names)
        servers.append(Server(issued.cert, issued.key, **options))
        return servers[-1]

    yield begin
    for each in servers:
        each.close()


def _access(environ: Mapping[str, str] | None = None, /, **options: str) -> Admin:
    given = {name.replace("_", "-"): [text] for name, text in options.items()}
    variables = {f"LBCONSUL_{name}": text for name, text in (environ or {}).items()}
    return access(Given(given, ()), variables)


def _why(admin: Admin) -> str:
    with pytest.raises(CannotAsk) as raised:
        admin.status()
    return str(raised.value)


def test_verified(authority: Authority, serve: Serve) -> None:
    """
    With the authority of the server it is asked with TLS, under each name that its
    certificate has and under no other, and gets the token only then.
    """
    server = serve("lb.example", "127.0.0.1")
    for address in (f"https://127.0.0.1:{server.port}", str(server.port)):
        admin = _access({"ADMIN_TOKEN": "t"}, admin=address, admin_ca=authority.file)
        assert admin.status()["format"] == 2
        assert b"Bearer t" in server.asked.pop()
    by_name = _access(admin=f"localhost:{server.port}", admin_ca=authority.file)
    assert _why(by_name) == (
        f"no answer at https://localhost:{server.port}: the certificate is not trusted:"
        " Hostname mismatch, certificate is not valid for 'localhost'."
    )
    stranger = _access({"ADMIN_TOKEN": "t"}, admin=f"https://127.0.0.1:{server.port}")
    assert "not trusted: unable to get local issuer certificate" in _why(stranger)
    assert server.asked == []


def test_the_gateway_itself(authority: Authority, serve: Serve, tmp_path: Path) -> None:
    """
    In the gateway's own environment its files say what its certificate is: that one is
    believed whatever its names, and no other.
    """
    server = serve("lb.example")
    folder = tmp_path / "certs"
    folder.mkdir()
    place = f"0.0.0.0:{server.port}"
    environ = {"ADMIN": place, "ADMIN_TOKEN": "t", "ADMIN_TLS": str(folder)}
    together(folder / "old.pem", authority.issue("old.example").cert)
    assert _why(_access(environ)) == (
        f"no answer at https://127.0.0.1:{server.port}: its certificate is not that of"
        " LBCONSUL_ADMIN_TLS"
    )
    assert server.asked == []
    together(folder / "new.pem", str(tmp_path / "lb.example.crt"))
    assert _access(environ).status()["format"] == 2
    # Its files are not those of another gateway, nor where a CA is given.
    assert _access(environ, admin="lb2:1").tls is None
    other = _access({**environ, "ADMIN_CA": authority.file})
    assert "not trusted: IP address mismatch" in _why(other)


def test_client_certificate(authority: Authority, serve: Serve, tmp_path: Path) -> None:
    """A certificate of the client is shown, from one file or with the key beside it."""
    server = serve("localhost", client_ca=authority.file)
    own = authority.issue("me")
    one = together(tmp_path / "one.pem", own.cert, own.key)
    beside = together(tmp_path / "two.pem", own.cert)
    together(tmp_path / "two.pem.key", own.key)
    options = {"admin": f"localhost:{server.port}", "admin_ca": authority.file}
    for file in (one, beside):
        assert _access(**options, admin_cert=file).status()["format"] == 2
    assert _why(_access(**options)) in (
        f"no answer at https://localhost:{server.port}: {why}"
        for why in (
            "it wants a client's certificate: give --admin-cert",
            "it ended the connection: perhaps it wants a certificate, --admin-cert",
            "Connection reset by peer",
        )
    )


def test_no_tls(authority: Authority, serve: Serve) -> None:
    """Where only one of both speaks TLS, the error says which."""
    server = serve("localhost")
    assert _why(_access(admin=f"http://localhost:{server.port}")).startswith(
        f"no answer at localhost:{server.port}: "
    )
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def reply() -> None:
            client, _ = plain.accept()
            with client:
                client.recv(1)
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                client.recv(65536)

        threading.Thread(target=reply, daemon=True).start()
        address = f"127.0.0.1:{plain.getsockname()[1]}"
        told = _why(_access(admin=address, admin_ca=authority.file))
    assert told.startswith(f"no answer at https://{address}: it does not speak TLS")
    with socket.create_server(("127.0.0.1", 0)) as alerting:

        def alert() -> None:
            client, _ = alerting.accept()
            with client:
                client.recv(65536)
                client.sendall(b"\x15\x03\x01\x00\x02\x02\x46")

        threading.Thread(target=alert, daemon=True).start()
        address = f"127.0.0.1:{alerting.getsockname()[1]}"
        assert _why(_access(admin=address)) == (
            f"no answer at {address}: it speaks TLS: give https:// before the address,"
            " or --admin-ca"
        )


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"admin_ca": "/nowhere"}, "--admin-ca /nowhere: cannot be read: No such"),
        ({"admin_ca": "{odd}"}, "--admin-ca {odd}: must be a PEM file with certif"),
        ({"admin_cert": "/nowhere"}, "--admin-cert /nowhere: cannot be read: No such"),
        ({"admin_cert": "{odd}"}, "--admin-cert {odd}: must be a PEM file with a cert"),
    ],
)
def test_odd_files(tmp_path: Path, options: dict[str, str], why: str) -> None:
    """A file that cannot be used is one line."""
    odd = tmp_path / "odd"
    odd.write_bytes(b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n\xff")
    given = {name: text.format(odd=odd) for name, text in options.items()}
    with pytest.raises(ConfigError) as raised:
        _access(**given)
    assert str(raised.value).startswith(why.format(odd=odd))


def test_unreadable() -> None:
    """So are the gateway's own files, where they cannot be read."""
    with pytest.raises(ConfigError, match="LBCONSUL_ADMIN_TLS /nowhere: cannot be re"):
        _access({"ADMIN_TLS": "/nowhere"})


@pytest.mark.parametrize("place", ["", "odd.pem", "empty.pem"])
def test_no_certificates(tmp_path: Path, place: str) -> None:
    """And so they are where there is no certificate in them, or a mangled one."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    (tmp_path / "odd.pem").write_text(f"{begin}\nabc\n{end}\n")
    (tmp_path / "empty.pem").touch()
    path = str(tmp_path / place)
    with pytest.raises(ConfigError) as raised:
        _access({"ADMIN_TLS": path})
    assert str(raised.value) == (
        f"LBCONSUL_ADMIN_TLS {path}: must be a PEM file with certificates, or a folder"
        " of them"
    )


def test_unix_socket(authority: Authority) -> None:
    """A UNIX socket has no TLS."""
    assert _access(admin="unix:/run/a", admin_ca=authority.file).tls is None
