"""One DNS server that is asked, and what it may answer."""

import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import pytest
from twisted.names import dns

from lbconsul.consul.dns_messages import MOST_ADDRESSES, NoSuchName, ServerFailed
from lbconsul.consul.dns_server import FAILURES, QUERIES_A_SOCKET, DNSServer
from tests.support.in_reactor import run, until
from tests.support.name_server import DEAD, NameServer, Reply, answer

T = TypeVar("T")

WEB = "web.example"


def asked(
    names: NameServer,
    scene: Callable[[DNSServer], Awaitable[T]],
    host: str = "127.0.0.1",
) -> T:
    """The outcome of a query; nothing is left open."""

    async def scenario(reactor: Any) -> T:
        before = len(reactor.getReaders())
        result = await scene(DNSServer(reactor, host, names.port))
        await until(reactor, lambda: len(reactor.getReaders()) == before)
        return result

    with names:
        return run(scenario)


def ask(names: NameServer, name: str = WEB, kind: int = dns.A) -> list[str]:
    """One question."""
    return asked(names, lambda server: server.ask(name, kind, 5.0))


def ask_forged(forge: Callable[[dns.Message], Sequence[bytes]]) -> list[str]:
    """One question to a server that sends these messages."""
    names = NameServer(forge=forge)
    return asked(names, lambda server: server.ask(WEB, dns.A, 0.3))


def test_both_families() -> None:
    """IPv4 and IPv6 addresses are asked for apart."""
    zone = {WEB: Reply(["10.0.0.1", "2001:db8::1", "10.0.0.2"])}
    assert ask(NameServer(zone)) == ["10.0.0.1", "10.0.0.2"]
    assert ask(NameServer(zone), kind=dns.AAAA) == ["2001:db8::1"]


def test_over_ipv6() -> None:
    """A server may have an IPv6 address, over UDP and TCP."""
    zone = {WEB: Reply(["10.0.0.1"]), "long": Reply(["10.0.0.2"], is_long=True)}

    async def scene(server: DNSServer) -> list[str]:
        return await server.ask(WEB, dns.A, 5.0) + await server.ask("long", dns.A, 5.0)

    try:
        found = asked(NameServer(zone, "::1"), scene, "::1")
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    assert found == ["10.0.0.1", "10.0.0.2"]


def test_no_address_and_no_name() -> None:
    """A name without an address of a family differs from a name that does not exist."""
    assert ask(NameServer({WEB: Reply()})) == []
    with pytest.raises(NoSuchName):
        ask(NameServer())


@pytest.mark.parametrize("code", [dns.ESERVER, dns.EREFUSED, dns.ENOTIMP, dns.EFORMAT])
def test_a_server_that_fails(code: int) -> None:
    """A server that cannot answer has failed, at once."""
    with pytest.raises(ServerFailed):
        ask(NameServer({WEB: Reply(code=code)}))


def test_aliases() -> None:
    """An alias is followed within the answer; what it does not lead to is ignored."""
    assert ask(NameServer({WEB: Reply(["10.0.0.1"], alias="x.example")})) == [
        "10.0.0.1"
    ]

    def others(query: dns.Message) -> list[bytes]:
        message = dns.Message()
        message.fromStr(answer(query, Reply(["10.0.0.1"])))
        message.answers[0].name = dns.Name(b"other.example")
        loop = dns.RRHeader(WEB.encode(), dns.CNAME, payload=dns.Record_CNAME(WEB))
        message.answers.append(loop)
        return [message.toStr()]

    assert ask_forged(others) == []


def test_a_long_answer() -> None:
    """A truncated answer is fetched over TCP."""
    many = [f"10.0.{number // 250}.{number % 250}" for number in range(500)]
    names = NameServer({WEB: Reply(many, is_long=True)})
    assert ask(names) == many[:MOST_ADDRESSES]
    assert names.asked_over_tcp == [WEB]


def test_a_long_answer_that_fails() -> None:
    """If the rest of a truncated answer cannot be fetched, the part counts."""

    def cut(query: dns.Message) -> list[bytes]:
        message = dns.Message()
        message.fromStr(answer(query, Reply(["10.0.0.1"])))
        message.trunc = 1
        names._tcp.shutdown(socket.SHUT_RDWR)
        return [message.toStr()]

    names = NameServer(forge=cut)
    assert asked(names, lambda server: server.ask(WEB, dns.A, 0.5)) == ["10.0.0.1"]


def test_only_over_tcp() -> None:
    """A server may be asked over TCP only."""
    names = NameServer({WEB: Reply(["10.0.0.1"])})
    found = asked(names, lambda server: server.ask(WEB, dns.A, 5.0, use_tcp=True))
    assert (found, names.asked) == (["10.0.0.1"], [])


def test_silence() -> None:
    """A server that does not answer in time has failed, over either transport."""
    for use_tcp in (False, True):
        names = NameServer({WEB: DEAD})

        async def scene(server: DNSServer, use_tcp: bool = use_tcp) -> int:
            with pytest.raises(TimeoutError):
                await server.ask(WEB, dns.A, 0.1, use_tcp=use_tcp)
            return server.silent

        assert asked(names, scene) == 1


def test_a_closed_port() -> None:
    """A closed port is known at once."""

    async def scenario(reactor: Any) -> None:
        with pytest.raises(FAILURES):
            await DNSServer(reactor, "127.0.0.231", 9).ask(WEB, dns.A, 60.0)

    run(scenario, timeout=10.0)


def test_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a free socket a query fails, and the next one works."""

    async def scene(server: DNSServer) -> list[str]:
        with monkeypatch.context() as patch, pytest.raises(FAILURES):
            patch.setattr("socket.socket", _no_socket)
            await server.ask(WEB, dns.A, 5.0)
        return await server.ask(WEB, dns.A, 5.0)

    assert asked(NameServer({WEB: Reply(["10.0.0.1"])}), scene) == ["10.0.0.1"]


def _no_socket(*of: object, **more: object) -> None:
    raise OSError(24, "Too many open files")


def _of_another_number(query: dns.Message) -> list[bytes]:
    data = answer(query, Reply(["10.6.6.6"]))
    return [bytes([data[0] ^ 1]) + data[1:], bytes([data[0], data[1] ^ 1]) + data[2:]]


def _of_another_name(query: dns.Message) -> list[bytes]:
    query.queries[0].name = dns.Name(b"other.example")
    return [answer(query, Reply(["10.6.6.6"]))]


def _a_query(query: dns.Message) -> list[bytes]:
    return [query.toStr()]


def _noise(query: dns.Message) -> list[bytes]:
    data = answer(query, Reply(["10.6.6.6"]))
    return [b"", data[:2], data[:-3], data[:12] + b"\xc0\x0c" * 8, b"\xff" * 600]


@pytest.mark.parametrize(
    "forge", [_of_another_number, _of_another_name, _a_query, _noise]
)
def test_what_is_no_answer_to_the_query(
    forge: Callable[[dns.Message], Sequence[bytes]],
) -> None:
    """A wrong answer is ignored, and the right one waited for."""
    with pytest.raises(TimeoutError):
        ask_forged(forge)

    def then_the_answer(query: dns.Message) -> list[bytes]:
        true = answer(query, Reply(["10.0.0.1"]))
        return [*forge(query), true]

    assert ask_forged(then_the_answer) == ["10.0.0.1"]


def test_a_failure_without_the_query() -> None:
    """Some servers leave it out when they fail."""

    def fail(query: dns.Message) -> list[bytes]:
        query.queries = []
        return [dns.Message(query.id, answer=1, rCode=dns.EFORMAT).toStr()]

    with pytest.raises(ServerFailed):
        ask_forged(fail)


def test_what_a_forger_must_guess() -> None:
    """Queries have numbers by chance, and ports that change."""
    names = NameServer({WEB: Reply(["10.0.0.1"])})
    numbers: list[int] = []

    def forge(query: dns.Message) -> list[bytes]:
        numbers.append(query.id)
        return [answer(query, Reply(["10.0.0.1"]))]

    names.forge = forge

    async def scene(server: DNSServer) -> None:
        for _ in range(20):
            await server.ask(WEB, dns.A, 5.0)

    asked(names, scene)
    steps = {(b - a) % 65536 for a, b in pairwise(numbers)}
    assert len(steps) > 10
    assert len({port for _, _, port in names.asked}) > 10


def test_many_at_once_have_few_sockets() -> None:
    """Many queries share a port, so that dead names take few descriptors."""
    names = NameServer(unknown=Reply(["10.0.0.1"], delay=0.2))

    async def scene(server: DNSServer) -> int:
        from twisted.internet.defer import Deferred, gatherResults

        queries = [
            Deferred.fromCoroutine(server.ask(f"{number}.example", dns.A, 5.0))
            for number in range(3 * QUERIES_A_SOCKET)
        ]
        await gatherResults(queries)
        return len({port for _, _, port in names.asked})

    assert asked(names, scene) == 3


def _framed(data: bytes) -> bytes:
    return struct.pack("!H", len(data)) + data


@pytest.mark.parametrize(
    "forge",
    [
        lambda query: [_framed(each) for each in _of_another_number(query)],
        lambda query: [_framed(each) for each in _of_another_name(query)],
        lambda query: [_framed(b"nonsense")],
        lambda query: [b"\xff\xff" + bytes(70000)],
        lambda query: [_framed(answer(query, Reply(["10.0.0.1"])))[:-5]],
        lambda query: [],
    ],
)
def test_what_is_no_answer_over_tcp(
    forge: Callable[[dns.Message], Sequence[bytes]],
) -> None:
    """A server that says anything else there has failed, at once."""
    names = NameServer(forge_over_tcp=forge)
    with pytest.raises(FAILURES) as failure:
        asked(names, lambda server: server.ask(WEB, dns.A, 5.0, use_tcp=True))
    assert not failure.errisinstance(TimeoutError)
