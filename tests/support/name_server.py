"""A DNS server on loopback whose every answer the test gives.

It has threads of its own, and so serves reactors, processes and namespaces alike.
"""

import socket
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from types import TracebackType
from typing import Self

from attrs import Factory, define, frozen
from twisted.names import dns

from tests.support.waiting import PATIENCE


@frozen
class Reply:
    """What is answered of one name, `delay` seconds late."""

    addresses: Sequence[str] = ()
    delay: float = 0.0
    code: int = dns.OK
    #: The name that it is an alias of; the addresses are that one's.
    alias: str = ""
    #: Whether an answer over UDP says no more than that it does not fit.
    is_long: bool = False
    #: Kinds of records for which there is no answer at all.
    silent: Sequence[int] = ()
    #: Kinds of records for which the answer is SERVFAIL.
    failing: Sequence[int] = ()


#: No such name; and no answer.
NOBODY = Reply(code=dns.ENAME)
DEAD = Reply(silent=(dns.A, dns.AAAA))

#: What a query that came gets, instead of what the zone says: bytes, of the query.
Forge = Callable[[dns.Message], Sequence[bytes]]


@define(eq=False)
class NameServer:
    """As a context manager it serves `zone`, on a port of its own or on `port`."""

    zone: dict[str, Reply] = Factory(dict)
    host: str = "127.0.0.1"
    port: int = 0
    #: Names without an entry.
    unknown: Reply = NOBODY
    forge: Forge | None = None
    #: The same over TCP, where it is all that is said.
    forge_over_tcp: Forge | None = None
    #: The name, kind and client's port of each query over UDP, and of each over TCP.
    asked: list[tuple[str, int, int]] = Factory(list)
    asked_over_tcp: list[str] = Factory(list)
    _udp: socket.socket = Factory(lambda: socket.socket())
    _tcp: socket.socket = Factory(lambda: socket.socket())
    _is_closed: bool = False

    def __enter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._udp.close()
        self._tcp.close()
        self._tcp = socket.create_server((self.host, self.port), family=family)
        self.port = self._tcp.getsockname()[1]
        self._udp = socket.socket(family, socket.SOCK_DGRAM)
        self._udp.bind((self.host, self.port))
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_closed = True
        for sock in (self._udp, self._tcp):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    @property
    def names(self) -> list[str]:
        """The names that were asked for, each once, in order."""
        return list(dict.fromkeys(name for name, _, _ in self.asked))

    def _serve_udp(self) -> None:
        while not self._is_closed:
            try:
                data, peer = self._udp.recvfrom(4096)
            except OSError:
                return
            if not data:
                return
            query = _decoded(data)
            name, kind = _query(query)
            self.asked.append((name, kind, peer[1]))
            if self.forge is not None:
                for each in self.forge(query):
                    self._udp.sendto(each, peer)
                continue
            self._later(name, kind, partial(self._tell, query, peer))

    def _later(self, name: str, kind: int, do: Callable[[Reply], None]) -> None:
        reply = self.zone.get(name, self.unknown)
        if kind in reply.silent:
            return
        timer = threading.Timer(reply.delay, do, [reply])
        timer.daemon = True
        timer.start()

    def _tell(self, query: dns.Message, peer: tuple[str, int], reply: Reply) -> None:
        with suppress(OSError):
            self._udp.sendto(answer(query, reply, is_short=reply.is_long), peer)

    def _serve_tcp(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_one, args=[client], daemon=True).start()

    def _serve_one(self, client: socket.socket) -> None:
        with client, suppress(OSError, struct.error):
            (length,) = struct.unpack("!H", client.recv(2))
            query = _decoded(client.recv(length))
            name, kind = _query(query)
            self.asked_over_tcp.append(name)
            if self.forge_over_tcp is not None:
                for each in self.forge_over_tcp(query):
                    client.sendall(each)
                return
            told = threading.Event()

            def tell(reply: Reply) -> None:
                data = answer(query, reply)
                client.sendall(struct.pack("!H", len(data)) + data)
                told.set()

            self._later(name, kind, tell)
            told.wait(PATIENCE)


def answer(query: dns.Message, reply: Reply, *, is_short: bool = False) -> bytes:
    """The message that answers a query so."""
    name, kind = _query(query)
    code = dns.ESERVER if kind in reply.failing else reply.code
    message = dns.Message(query.id, answer=1, recDes=1, recAv=1, rCode=code)
    message.queries, message.maxSize = query.queries, 0
    message.trunc = int(is_short)
    if not is_short:
        if reply.alias:
            alias = dns.RRHeader(
                name.encode(), dns.CNAME, payload=dns.Record_CNAME(reply.alias)
            )
            message.answers.append(alias)
        for each in reply.addresses:
            is_six = ip_address(each).version == 6
            if kind == (dns.AAAA if is_six else dns.A):
                record = dns.Record_AAAA if is_six else dns.Record_A
                owner = (reply.alias or name).encode()
                message.answers.append(dns.RRHeader(owner, kind, payload=record(each)))
    encoded: bytes = message.toStr()
    return encoded


def _decoded(data: bytes) -> dns.Message:
    message = dns.Message()
    message.fromStr(data)
    return message


def _query(query: dns.Message) -> tuple[str, int]:
    [asked] = query.queries
    return asked.name.name.decode().lower(), asked.type
