"""TLS to upstreams: the options' files, and what is verified."""

import os
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from lbconsul.balance.instance import Instance
from lbconsul.config.model import Mapping
from lbconsul.errors import ConfigError
from lbconsul.proxy.upstream_tls import LOOK_EVERY, UpstreamConnector, read_upstream_tls
from lbconsul.tls.errors import TLSError
from tests.support.certificates import Authority, Issued
from tests.support.mappings import altered
from tests.support.tls import (
    in_turn,
    non_blocking_pair,
    plain_server_context,
    server_side,
)
from tests.support.upstreams import instance

WEB = instance("a", 443)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that the upstreams' certificates are from."""
    return Authority(tmp_path)


@pytest.fixture
def issued(authority: Authority) -> Issued:
    """The certificate of the upstreams on this host."""
    return authority.issue("localhost", "127.0.0.1")


def mapping(**options: Any) -> Mapping:
    """A mapping with TLS to its upstreams."""
    return altered(Mapping("web"), upstream_tls=True, **options)


def connector(clock: Clock, **options: Any) -> UpstreamConnector:
    """What connects for such a mapping."""
    return UpstreamConnector(clock, mapping(**options))


class Upstream:
    """A server of TLS on one end of a connection, and the connector on the other."""

    def __init__(self, issued: Issued) -> None:
        self._context = plain_server_context(issued)
        self._sockets: list[socket.socket] = []

    def reach(self, connector: UpstreamConnector, upstream: Instance = WEB) -> str:
        """Shake hands; the server name that was asked for."""
        ours, theirs = non_blocking_pair()
        self._sockets += ours, theirs
        stream = connector.connect(ours, upstream)
        server = server_side(self._context, theirs)
        in_turn(stream.handshake, server.handshake)
        stream.close()
        return (server.connection.get_servername() or b"").decode()

    def close(self) -> None:
        """Close what is open."""
        for each in self._sockets:
            each.close()


@pytest.fixture
def upstream(issued: Issued) -> Iterator[Upstream]:
    """A server with the certificate."""
    made = Upstream(issued)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("option", "content", "what"),
    [
        ("upstream_ca", "", "holds no PEM certificate"),
        ("upstream_ca", None, "cannot be read: No such file or directory"),
        ("upstream_cert", "", "holds no PEM certificate"),
        ("upstream_cert", None, "cannot be read: No such file or directory"),
    ],
)
def test_bad_files(tmp_path: Path, option: str, content: str | None, what: str) -> None:
    """A file that cannot be used is an error that names mapping, option and file."""
    file = tmp_path / "bad.pem"
    if content is not None:
        file.write_text(content)
    name = option.replace("_", "-")
    with pytest.raises(ConfigError) as caught:
        read_upstream_tls(mapping(**{option: str(file)}))
    assert str(caught.value) == f"web: {name} {file}: {what}"


def test_key_of_another(authority: Authority, issued: Issued) -> None:
    """A key that is not the certificate's own is an error that names its file."""
    other = authority.issue("other")
    with pytest.raises(ConfigError, match=r"web: upstream-key .*other\.key: .* fit"):
        read_upstream_tls(mapping(upstream_cert=issued.cert, upstream_key=other.key))


def test_verified_by_address(authority: Authority, upstream: Upstream) -> None:
    """An upstream without a host name is verified by its address; that is no SNI."""
    known = connector(Clock(), upstream_ca=authority.file)
    assert upstream.reach(known) == ""


def test_verified_by_host_name(authority: Authority, upstream: Upstream) -> None:
    """An upstream that Consul has a host name for is asked for and verified by it."""
    known = connector(Clock(), upstream_ca=authority.file)
    assert upstream.reach(known, evolve(WEB, host="localhost")) == "localhost"
    with pytest.raises(TLSError, match=r"verify failed: .*mismatch"):
        upstream.reach(known, evolve(WEB, host="web.example.com"))


def test_verified_by_option(authority: Authority, upstream: Upstream) -> None:
    """`upstream-server-name` stands for all names and addresses."""
    known = connector(
        Clock(), upstream_ca=authority.file, upstream_server_name="localhost"
    )
    assert upstream.reach(known, evolve(WEB, host="10.0.0.7")) == "localhost"
    assert upstream.reach(known, evolve(WEB, host="/run/web.sock")) == "localhost"


@pytest.mark.parametrize("host", ["/run/web.sock", "bücher.example"])
def test_no_name(authority: Authority, upstream: Upstream, host: str) -> None:
    """What is no host name cannot be verified."""
    known = connector(Clock(), upstream_ca=authority.file)
    with pytest.raises(TLSError, match="is no host: set upstream-server-name"):
        upstream.reach(known, evolve(WEB, host=host))


def test_authorities_of_the_system(upstream: Upstream) -> None:
    """Without `upstream-ca` the system's authorities count, which ours is not."""
    with pytest.raises(TLSError, match="certificate verify failed"):
        upstream.reach(connector(Clock()))


def test_unverified(upstream: Upstream) -> None:
    """With `upstream-verify=off` any certificate will do."""
    anything = connector(Clock(), upstream_verify=False)
    assert upstream.reach(anything, evolve(WEB, host="web.example.com"))


def test_expired(authority: Authority) -> None:
    """An expired certificate is refused, and the error says so."""
    expired = authority.issue("127.0.0.1", "127.0.0.1", end=-timedelta(minutes=1))
    upstream = Upstream(expired)
    with pytest.raises(TLSError, match="certificate has expired"):
        upstream.reach(connector(Clock(), upstream_ca=authority.file))
    upstream.close()


def renew(path: str, source: str) -> None:
    """Replace a file, as tools that renew certificates do; its stamp differs."""
    new = Path(f"{path}.new")
    new.write_bytes(Path(source).read_bytes())
    os.replace(new, path)


def test_renewed_files(tmp_path: Path, upstream: Upstream) -> None:
    """Files that change are read again, within a second."""
    other = Authority(tmp_path, "other")
    clock, right = Clock(), Path(tmp_path / "authority.pem").read_bytes()
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(Path(other.file).read_bytes())
    known = connector(clock, upstream_ca=str(trusted))
    with pytest.raises(TLSError):
        upstream.reach(known)
    (tmp_path / "right.pem").write_bytes(right)
    renew(str(trusted), str(tmp_path / "right.pem"))
    with pytest.raises(TLSError):
        upstream.reach(known)  # too early
    clock.advance(LOOK_EVERY)
    upstream.reach(known)
    clock.advance(LOOK_EVERY)
    upstream.reach(known)  # nothing changed


def test_broken_files_later(tmp_path: Path, upstream: Upstream) -> None:
    """Files that are broken later leave in use what was read, and are logged once."""
    clock = Clock()
    trusted = tmp_path / "authority.pem"
    known = connector(clock, upstream_ca=str(trusted))
    right = trusted.read_bytes()
    trusted.write_text("nothing")
    with capturedLogs() as events:
        for _ in range(3):
            clock.advance(LOOK_EVERY)
            upstream.reach(known)
    [line] = [formatEvent(event) for event in events]
    assert line == (
        f"web: upstream-ca {trusted}: holds no PEM certificate; what was read before"
        " stays in use"
    )
    trusted.write_bytes(right)
    clock.advance(LOOK_EVERY)
    upstream.reach(known)


def test_files_that_never_were(tmp_path: Path, upstream: Upstream) -> None:
    """Without usable files no upstream is connected to until there are some."""
    clock, trusted = Clock(), tmp_path / "trusted.pem"
    with capturedLogs() as events:
        known = connector(clock, upstream_ca=str(trusted))
        with pytest.raises(TLSError, match="cannot be read"):
            upstream.reach(known)
    [line] = [formatEvent(event) for event in events]
    assert line is not None and "use" not in line
    trusted.write_bytes((tmp_path / "authority.pem").read_bytes())
    clock.advance(LOOK_EVERY)
    upstream.reach(known)
