"""One check of one instance, on real sockets."""

import errno
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from lbconsul.balance.instance import Instance
from lbconsul.checks.attempt import CheckAttempt, Means, State
from lbconsul.config.check import Probe
from lbconsul.config.model import Mapping, UpstreamTLS
from lbconsul.net.connect import connect
from lbconsul.net.poller import open_poller
from lbconsul.net.proxy_protocol import build_v1, build_v2
from lbconsul.proxy.upstream_tls import UpstreamConnector
from tests.support.certificates import Authority
from tests.support.in_reactor import run
from tests.support.instances import an_identity
from tests.support.loopback import listening
from tests.support.script_server import Asked, ScriptServer

HEALTH = Probe("/health")
CONNECT = Probe()

Result = tuple[bool | None, str]


def at(port: int, address: str = "127.0.0.1") -> Instance:
    """An instance there."""
    return Instance(an_identity(), address, port, address)


async def check(
    reactor: Any, instance: Instance, means: Means, *, most: float = 5.0
) -> Result:
    """The result of a check; it is given up after `most` seconds."""
    poller = open_poller(reactor)
    done: Deferred[Result] = Deferred()
    attempt = CheckAttempt(
        poller,
        means,
        instance,
        instance.address,
        lambda passed, text: done.callback((passed, text)),
    )
    attempt.begin()
    call = reactor.callLater(most, attempt.time_out, "1 s")
    result = await done
    if call.active():
        call.cancel()
    assert attempt.state is State.OVER
    assert attempt.fileno() == -1
    attempt.cancel()  # nothing is left to end
    attempt.connectionLost(Failure(RuntimeError()))
    poller.stop()
    return result


def asked(
    script: Callable[[Asked], None], probe: Probe = HEALTH, *, most: float = 5.0
) -> Result:
    """The result of a check of a server with this script."""

    async def scenario(reactor: Any) -> Result:
        server = ScriptServer(reactor, script)
        server.listen()
        try:
            return await check(
                reactor, at(server.port), Means(probe, b"", None), most=most
            )
        finally:
            await server.close()

    return run(scenario)


def test_answer() -> None:
    """The status of the answer decides, and its body is not waited for."""
    assert asked(lambda it: it.answer(b"", status="204 No Content")) == (True, "204")
    assert asked(lambda it: it.answer(b"", status="503 Down")) == (False, "503")
    assert asked(lambda it: it.answer(b"ok", length=1 << 40)) == (True, "200")


def in_two_parts(it: Asked) -> None:
    """An answer whose end comes later."""
    it.write(b"HTTP/1.1 200 OK\r\nContent-")
    it.server._reactor.callLater(0.05, it.write, b"Length: 0\r\n\r\n")


def cut_short(it: Asked) -> None:
    """An answer that ends in its first line."""
    it.write(b"HTTP/1.1 2")
    it.close()


def test_slow_answer() -> None:
    """An answer may come in parts."""
    assert asked(in_two_parts) == (True, "200")


def test_no_answer() -> None:
    """An instance that accepts and is silent fails, as one that hangs up does."""
    assert asked(lambda it: None, most=0.2) == (False, "no answer in 1 s")
    assert asked(lambda it: it.close()) == (False, "closed without an answer")
    assert asked(cut_short) == (False, "a cut answer")
    assert asked(lambda it: it.reset()) == (False, "Connection reset by peer")


def test_no_http() -> None:
    """What is no HTTP fails at once."""
    passed, text = asked(lambda it: it.write(b"220 mail.example.com ESMTP\r\n"))
    assert not passed
    assert text.startswith("no valid HTTP: ")


def test_connect() -> None:
    """A check that only connects passes if the instance accepts; it leaves a reset, not
    a socket in TIME_WAIT.
    """
    with listening() as server:
        port = server.getsockname()[1]
        means = Means(CONNECT, b"", None)
        assert run(lambda reactor: check(reactor, at(port), means)) == (True, "")
        client, _ = server.accept()
        with client, pytest.raises(ConnectionResetError):
            client.recv(1)
    refused = run(lambda reactor: check(reactor, at(port), means))
    assert refused == (False, "Connection refused")


def test_unix_socket(tmp_path: Path) -> None:
    """An instance may be a UNIX socket."""
    path = str(tmp_path / "web.sock")

    async def scenario(reactor: Any) -> Result:
        server = ScriptServer(reactor, lambda it: it.answer(b""))
        server.listen_unix(path)
        try:
            means = Means(HEALTH, b"", None)
            result = await check(reactor, at(0, path), means)
            assert server.asked[0].headers["host"] == "localhost"
            return result
        finally:
            await server.close()

    assert run(scenario) == (True, "200")


@pytest.mark.parametrize("header", [build_v1(None, None), build_v2(None, None)])
def test_proxy_header(header: bytes) -> None:
    """The gateway speaks for itself: UNKNOWN, or LOCAL."""
    with listening() as server:
        means = Means(HEALTH, header, None)

        async def scenario(reactor: Any) -> bytes:
            found = check(reactor, at(server.getsockname()[1]), means, most=0.3)
            assert await found == (False, "no answer in 1 s")
            client, _ = server.accept()
            with client:
                return client.recv(1000)

        assert run(scenario).startswith(header + b"GET /health ")


def test_no_answer_to_a_connect() -> None:
    """A queue that is full, and a host that is silent, look the same."""
    with listening() as server:
        server.listen(0)
        port = server.getsockname()[1]
        with socket.socket() as one, socket.socket() as other:
            for each in (one, other):  # they fill the queue
                each.setblocking(False)
                each.connect_ex(("127.0.0.1", port))
            means = Means(CONNECT, b"", None)
            found = run(lambda reactor: check(reactor, at(port), means, most=0.2))
            assert found == (False, "no connection in 1 s")


def test_connect_that_takes_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """The poller tells when an instance elsewhere has accepted, or has not."""

    def slowly(address: str, port: int) -> tuple[Any, int]:
        return connect(address, port)[0], errno.EINPROGRESS

    monkeypatch.setattr("lbconsul.checks.attempt.connect", slowly)
    assert asked(lambda it: it.answer(b"")) == (True, "200")
    monkeypatch.setattr("lbconsul.checks.attempt._error_of", lambda sock: 113)
    assert asked(lambda it: it.answer(b"")) == (False, "No route to host")


def test_hang_up_seen_by_the_reactor() -> None:
    """A reactor without epoll tells of it in other words."""

    async def scenario(reactor: Any) -> list[Result]:
        found: list[Result] = []
        server = ScriptServer(reactor, lambda it: None)
        server.listen()
        poller = open_poller(reactor)
        for reason in (ConnectionLost(), ConnectionDone()):
            attempt = CheckAttempt(
                poller,
                Means(HEALTH, b"", None),
                at(server.port),
                "127.0.0.1",
                lambda passed, text: found.append((passed, text)),
            )
            attempt.begin()
            assert attempt.fileno() > 0
            assert attempt.logPrefix() == "own check"
            attempt.connectionLost(Failure(reason))
        await server.close()
        poller.stop()
        return found

    assert run(scenario) == [(False, "Connection reset by peer"), (None, "")]


def test_lack_of_descriptors_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the gateway lacks is no failure of the instance."""
    monkeypatch.setattr("lbconsul.checks.attempt.connect", lambda *_: (None, 24))
    means = Means(CONNECT, b"", None)
    passed, text = run(lambda reactor: check(reactor, at(1), means))
    assert (passed, text) == (None, "Too many open files")


class TestTLS:
    """Checks of instances that speak TLS."""

    def result(
        self, tmp_path: Path, probe: Probe, *, is_trusted: bool = True
    ) -> Result:
        """Of a check of one whose certificate is of the authority, or is not."""
        authority = Authority(tmp_path)
        issued = authority.issue("web.internal", "127.0.0.1")
        other = tmp_path / "other"
        other.mkdir()
        ca = authority.file if is_trusted else Authority(other).file

        async def scenario(reactor: Any) -> Result:
            from twisted.internet.ssl import DefaultOpenSSLContextFactory

            server = ScriptServer(reactor, lambda it: it.answer(b""))
            server.listen_tls(DefaultOpenSSLContextFactory(issued.key, issued.cert))
            options = Mapping("web", upstream_tls=UpstreamTLS(True, ca))
            connector = UpstreamConnector(reactor, options)
            try:
                return await check(
                    reactor, at(server.port), Means(probe, b"", connector)
                )
            finally:
                await server.close()

        return run(scenario)

    def test_http(self, tmp_path: Path) -> None:
        """The request goes over TLS."""
        assert self.result(tmp_path, HEALTH) == (True, "200")

    def test_connect(self, tmp_path: Path) -> None:
        """To connect includes the handshake."""
        assert self.result(tmp_path, CONNECT) == (True, "")

    def test_untrusted(self, tmp_path: Path) -> None:
        """A certificate is verified as for clients' connections."""
        passed, text = self.result(tmp_path, HEALTH, is_trusted=False)
        assert not passed
        assert text.startswith("TLS: ")

    def test_no_tls(self, tmp_path: Path) -> None:
        """An instance without TLS fails."""
        authority = Authority(tmp_path)

        async def scenario(reactor: Any) -> Result:
            server = ScriptServer(reactor, lambda it: it.answer(b""))
            server.listen()
            options = Mapping("web", upstream_tls=UpstreamTLS(True, authority.file))
            means = Means(HEALTH, b"", UpstreamConnector(reactor, options))
            try:
                return await check(reactor, at(server.port), means, most=0.5)
            finally:
                await server.close()

        passed, _ = run(scenario)
        assert passed is False
