"""Which certificates the next client is served TLS with."""

from pathlib import Path

import pytest

from lbconsul.config.model import TLS
from lbconsul.proxy.tls_acceptors import TLSAcceptors
from lbconsul.steps import finish
from lbconsul.tls.errors import TLSError
from lbconsul.tls.material import building, reading
from lbconsul.tls.server import TLSServer
from tests.support.certificates import Authority, together
from tests.support.tls import non_blocking_pair, python_client, shake_hands


def server_of(path: Path, name: str) -> TLSServer:
    """A server with a certificate for a name."""
    issued = Authority(path).issue(name)
    tls = TLS(together(path / f"{name}.pem", issued.cert, issued.key))
    return finish(building(tls, finish(reading("web", tls)), lambda: 0.0))


def test_before_the_first(tmp_path: Path) -> None:
    """Without certificates no client is served; then each gets the newest."""
    acceptors, tls = TLSAcceptors(), TLS("consul:certs")
    current = acceptors.of(tls)
    assert current is not None and current is acceptors.of(tls)
    assert not acceptors.is_ready(tls)
    ours, peer = non_blocking_pair()
    with ours, peer:
        with pytest.raises(TLSError, match="there are no certificates yet"):
            current.accept(ours)
        acceptors.use(tls, server_of(tmp_path, "a"))
        assert acceptors.is_ready(tls)
        stream = current.accept(ours)
        acceptors.use(tls, server_of(tmp_path, "b"))
        shake_hands(stream, python_client(peer))  # it goes on with what it began with
        shown = stream.connection.get_certificate(as_cryptography=True)
        assert shown is not None and shown.subject.rfc4514_string() == "CN=a"


def test_without_tls() -> None:
    """A mapping without TLS needs none."""
    acceptors = TLSAcceptors()
    assert acceptors.of(TLS()) is None and acceptors.is_ready(TLS())


def test_what_is_dropped(tmp_path: Path) -> None:
    """What no mapping names any more is not kept."""
    acceptors, one, two = TLSAcceptors(), TLS("one"), TLS("two")
    server = server_of(tmp_path, "a")
    acceptors.use(one, server)
    acceptors.use(two, server)
    acceptors.keep_only([two])
    assert (acceptors.is_ready(one), acceptors.is_ready(two)) == (False, True)
