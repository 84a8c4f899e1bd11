"""Looks up all addresses of a name, at several DNS servers and in several domains."""

import socket
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from attrs import Factory, define, field
from twisted.internet.defer import Deferred
from twisted.names import dns
from twisted.python.failure import Failure

from lbconsul.consul.dns_messages import NoSuchName
from lbconsul.consul.dns_server import FAILURES, DNSServer
from lbconsul.consul.resolv_conf import ResolvConf, by_preference

#: How long to wait for the addresses of one family once the other has some, in
#: seconds.  RFC 8305, 3, has 0.05 for browsers, where people wait.
OTHER_FAMILY = 0.5

#: A server that did not answer SILENT queries in a row is asked after the others, for
#: SILENT_FOR seconds after the last of them.
SILENT, SILENT_FOR = 3, 30.0

#: The number of names whose last result is remembered: addresses, or none.
_MOST_REMEMBERED = 10_000


def has_route(address: str) -> bool:
    """Whether the kernel has a route to the address; no packet is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((address, 9))
    except OSError:
        return False
    return True


@define(eq=False)
class DNSClient:
    """Asks DNS servers in the order and as often as resolv.conf(5) says."""

    _reactor: Any
    _port: int = dns.PORT
    _has_route: Callable[[str], bool] = has_route
    _servers: dict[str, DNSServer] = Factory(dict)
    #: The number of the server that is asked first, with ``options rotate``.
    _turn: int = 0
    #: The last result of each name, by record type; empty if it had no address.
    _last: OrderedDict[str, dict[int, list[str]]] = Factory(OrderedDict)

    def has_found(self, name: str) -> bool | None:
        """Whether the last look-up of a name found addresses; None before the first."""
        last = self._last.get(name)
        return None if last is None else bool(last)

    async def find(self, name: str, conf: ResolvConf) -> list[str]:
        """All addresses of a name, in the order to try them; empty if it has none.

        :raises FAILURES: the servers do not answer, or fail.
        """
        try:
            return await self._find(name, conf)
        except FAILURES:
            self._remember(name, {})
            raise

    async def _find(self, name: str, conf: ResolvConf) -> list[str]:
        failure: Exception | None = None
        for candidate in conf.candidates(name):
            try:
                found = await self._of_both_families(candidate, name, conf)
            except TimeoutError:
                raise
            except FAILURES as error:
                # As in the C library, a domain whose servers fail does not hide others.
                failure = error
            else:
                if found:
                    return self.sorted(found)
        if failure is not None:
            raise failure
        self._remember(name, {})
        return []

    async def _of_both_families(
        self, candidate: str, name: str, conf: ResolvConf
    ) -> list[str]:
        """All addresses of a name, if the look-up of at least one family succeeds."""
        kinds = (dns.A,) if conf.no_aaaa else (dns.A, dns.AAAA)
        asked = [Deferred.fromCoroutine(self._ask(candidate, x, conf)) for x in kinds]
        got = await _Both(self._reactor, asked, self._is_enough).whole
        answers = {k: v for k, v in zip(kinds, got, strict=True) if v is not None}
        found = {k: v for k, v in answers.items() if not isinstance(v, Exception)}
        if any(found.values()):
            last = self._last.get(name, {})
            missing = [k for k in kinds if k not in found and last.get(k)]
            found |= {kind: last[kind] for kind in missing}
            self._remember(name, found)
        for each in answers.values():
            if isinstance(each, Exception) and not any(found.values()):
                raise each
        return [address for kind in sorted(found) for address in found[kind]]

    def _is_enough(self, found: list[str]) -> bool:
        return any(map(self._has_route, found))

    async def _ask(self, name: str, kind: int, conf: ResolvConf) -> list[str]:
        """Ask one server after the other; ask those that time out again.

        Each server is asked up to ``attempts`` times.
        """
        servers = self._in_order(conf)
        failure: Exception = TimeoutError()
        for _ in range(conf.attempts):
            for server in list(servers):
                try:
                    return await server.ask(
                        name, kind, conf.timeout, use_tcp=conf.use_tcp
                    )
                except TimeoutError as error:
                    failure = error
                except FAILURES as error:
                    failure = error
                    servers.remove(server)
        raise failure

    def _in_order(self, conf: ResolvConf) -> list[DNSServer]:
        known = self._servers
        self._servers = {
            host: known.get(host) or DNSServer(self._reactor, host, self._port)
            for host in conf.servers
        }
        servers = list(self._servers.values())
        if conf.rotate:
            self._turn = (self._turn + 1) % len(servers)
            servers = servers[self._turn :] + servers[: self._turn]
        now = self._reactor.seconds()
        return sorted(
            servers,
            key=lambda each: (
                each.silent >= SILENT and now - each.silent_since < SILENT_FOR
            ),
        )

    def sorted(self, addresses: list[str]) -> list[str]:
        """Addresses in the order to try them."""
        if len(addresses) < 2:
            return addresses
        unreachable = {each for each in addresses if not self._has_route(each)}
        return by_preference(addresses, unreachable)

    def _remember(self, name: str, found: dict[int, list[str]]) -> None:
        self._last.pop(name, None)
        self._last[name] = {kind: each for kind, each in found.items() if each}
        if len(self._last) > _MOST_REMEMBERED:
            self._last.popitem(last=False)


@define(eq=False)
class _Both:
    """The answers of both families: addresses, an error, or None for a late answer.

    An answer is late `OTHER_FAMILY` seconds after the other family gave a reachable
    address, or the answer that there is no such name (which counts as no address).
    """

    _reactor: Any
    _asked: "list[Deferred[list[str]]]"
    _is_enough: Callable[[list[str]], bool]
    whole: "Deferred[list[list[str] | Exception | None]]" = field(init=False)
    _answers: dict[int, list[str] | Exception] = Factory(dict)
    _late: Any = None
    _is_over: bool = False

    def __attrs_post_init__(self) -> None:
        self.whole = Deferred(lambda _: self._end())
        for number, each in enumerate(self._asked):
            each.addBoth(self._came, number)

    def _came(self, answer: list[str] | Failure, number: int) -> None:
        if self._is_over:
            return
        found = answer if isinstance(answer, list) else []
        if isinstance(answer, Failure) and not answer.check(NoSuchName):
            error = answer.value
            assert isinstance(error, Exception)
            self._answers[number] = error
        else:
            self._answers[number] = found
            if self._late is None and (
                not isinstance(answer, list) or self._is_enough(found)
            ):
                self._late = self._reactor.callLater(OTHER_FAMILY, self._finish)
        if len(self._answers) == len(self._asked):
            self._finish()

    def _finish(self) -> None:
        self._end()
        numbers = range(len(self._asked))
        self.whole.callback([self._answers.get(number) for number in numbers])

    def _end(self) -> None:
        self._is_over = True
        if self._late is not None and self._late.active():
            self._late.cancel()
        for each in self._asked:
            each.cancel()
