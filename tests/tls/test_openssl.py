"""Both ways to OpenSSL do the same; the cheaper one is taken where it is possible."""

from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL

from lbconsul.tls import openssl
from lbconsul.tls.errors import TLSError
from lbconsul.tls.openssl import DirectCalls, PublicCalls, open_calls
from tests.support.certificates import Authority
from tests.support.tls import (
    client_side,
    non_blocking_pair,
    plain_server_context,
    read_some,
    server_side,
    shake_hands,
)

BOTH = pytest.mark.parametrize("calls", [DirectCalls, PublicCalls])


def test_the_cheaper_calls_are_taken() -> None:
    """The pyOpenSSL that is installed allows the calls below its public API."""
    assert open_calls is DirectCalls


@pytest.mark.parametrize("missing", ["SSL_read", "ERR_clear_error"])
def test_another_pyopenssl(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """A pyOpenSSL without one of the functions is used through its public API."""

    library = openssl._lib

    class Library:
        """All that the library has but one function."""

        def __getattr__(self, name: str) -> Any:
            if name == missing:
                raise AttributeError(name)
            return getattr(library, name)

    monkeypatch.setattr(openssl, "_lib", Library())
    assert not openssl._offers_direct_calls()


def test_a_connection_without_private_attributes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pyOpenSSL whose connections are made otherwise is used by its public API."""
    monkeypatch.delattr(SSL.Connection, "_raise_ssl_error")
    assert not openssl._offers_direct_calls()


def test_an_error_that_another_caller_left(tmp_path: Path) -> None:
    """An error in OpenSSL's queue that is no connection's own breaks none."""
    ours, theirs = non_blocking_pair()
    context = plain_server_context(Authority(tmp_path).issue("localhost"))
    server = server_side(context, ours)
    client = client_side(SSL.Context(SSL.TLS_METHOD), theirs)
    leave_error()
    with pytest.raises(BlockingIOError):
        server.handshake()
    shake_hands(server, client)
    leave_error()
    with pytest.raises(BlockingIOError):
        server.recv_into(bytearray(10))
    client.send(b"question")
    assert read_some(server) == b"question"
    leave_error()
    server.close()
    assert read_some(client) == b""
    client.close()


def leave_error() -> None:
    """Put an error into the queue of this thread."""
    openssl._lib.ERR_put_error(20, 0, 1, b"", 0)
    assert openssl._lib.ERR_peek_error()


@BOTH
def test_a_certificate_that_is_not_trusted(
    tmp_path: Path, calls: type[PublicCalls]
) -> None:
    """A handshake that fails by the peer's certificate says so; our calls say why."""
    ours, theirs = non_blocking_pair()
    issued = Authority(tmp_path).issue("localhost")
    server = server_side(plain_server_context(issued), ours)
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_verify(SSL.VERIFY_PEER)
    client = client_side(context, theirs, calls)
    with pytest.raises(TLSError) as failed:
        shake_hands(client, server)
    why = ": unable to get local issuer certificate"
    assert str(failed.value) == "certificate verify failed" + (
        why if calls is DirectCalls else ""
    )
    with pytest.raises(TLSError, match="unknown ca"):
        shake_hands(server, client)
    client.close()
    server.close()


def test_an_error_without_a_reason() -> None:
    """An error that OpenSSL does not explain still has a text."""
    with pytest.raises(TLSError, match="OpenSSL gives no reason"):
        openssl._outcome(SSL.Error([]))
