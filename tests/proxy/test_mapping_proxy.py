"""From an accepted client to its line of log, turned by hand."""

import contextlib
import socket
from collections.abc import Sequence
from typing import Any

from attrs import evolve
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.balance.counter import LocalCounter
from lbconsul.balance.registry import Registry
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Mapping, Timeouts
from lbconsul.proxy.handler import handle
from lbconsul.proxy.mapping_proxy import MappingProxy
from tests.support import loopback
from tests.support.proxy_observer import CountingObserver
from tests.support.recording_reactor import RecordingReactor
from tests.support.upstreams import WEB, WEB_ROUTE, instance, opens, registry_of

MAPPING = Mapping("web", TCPListen("0.0.0.0", 80))


class MappingProxyTestCase(SynchronousTestCase):
    """A proxy with one upstream."""

    def setUp(self) -> None:
        self.held = contextlib.ExitStack()
        self.addCleanup(self.held.close)
        self.reactor = RecordingReactor()
        self.server = self.held.enter_context(loopback.listening())
        self.port = self.server.getsockname()[1]
        self.registry = registry_of(instance("a", self.port))
        self.observer = CountingObserver()

    def proxy(
        self,
        mapping: Mapping = MAPPING,
        registry: Registry | None = None,
        log_connections: bool = True,
    ) -> MappingProxy:
        """A proxy that counts what has ended."""
        return MappingProxy(
            self.reactor,
            self.reactor,
            (registry or self.registry).failover(WEB_ROUTE),
            mapping,
            self.observer,
            log_connections,
        )

    def connect(
        self, proxy: MappingProxy, address: object = ("192.0.2.1", 4000)
    ) -> socket.socket:
        """A client of the proxy; its end of the connection."""
        ours, peer = loopback.tcp_pair()
        self.held.enter_context(peer)
        handle(proxy, ours, address)
        return peer

    def accept(self) -> socket.socket:
        """What the upstream gets next."""
        self.reactor.settle()
        return self.held.enter_context(loopback.accept(self.server))


class MappingProxyTests(MappingProxyTestCase):
    """What becomes of its clients."""

    def test_life_of_a_connection(self) -> None:
        """
        A client gets a counted connection to an upstream, their words pass,
        and at the end of both nothing is counted any more.
        """
        proxy = self.proxy()
        client = self.connect(proxy)
        upstream = self.accept()
        self.assertEqual((proxy.accepted, proxy.open, self.observer.ended), (1, 1, 0))
        self.assertEqual(opens(self.registry), {"a": 1})
        client.sendall(b"question")
        self.reactor.settle()
        self.assertEqual(upstream.recv(100), b"question")
        client.close()
        upstream.close()
        self.reactor.settle()
        self.assertEqual((proxy.accepted, proxy.open, self.observer.ended), (1, 0, 1))
        self.assertEqual(opens(self.registry), {"a": 0})

    def test_open_while_dialling(self) -> None:
        """A client counts before it has an upstream, and not after it left."""
        with loopback.blackhole() as port:
            proxy = self.proxy(registry=registry_of(instance("a", port)))
            client = self.connect(proxy)
            self.assertEqual((proxy.accepted, proxy.open), (1, 1))
            client.close()
            self.reactor.advance(0.3)
        self.assertEqual((proxy.accepted, proxy.open, self.observer.ended), (1, 0, 1))

    def test_limits_of_the_mapping(self) -> None:
        """How many upstreams are tried, and how long, is what the mapping says."""
        with loopback.blackhole() as silent, loopback.refusing() as refusing:
            registry = registry_of(
                instance("a", refusing, weight=10_000), instance("b", self.port)
            )
            for attempts, served in ((1, 0), (2, 1)):
                proxy = self.proxy(evolve(MAPPING, attempts=attempts), registry)
                self.connect(proxy)
                self.reactor.settle()
                self.assertEqual(proxy.open, served)
                proxy.close_connections()
            mapping = evolve(MAPPING, timeouts=Timeouts(connect=0.2))
            proxy = self.proxy(mapping, registry_of(instance("a", silent)))
            self.connect(proxy)
            self.reactor.pump([0.05] * 3)
            self.assertEqual(proxy.open, 1)
            self.reactor.pump([0.05] * 3)
            self.assertEqual(proxy.open, 0)

    def test_timeouts_of_the_mapping(self) -> None:
        """The idle timeout is the mapping's."""
        proxy = self.proxy(
            evolve(
                MAPPING,
                timeouts=Timeouts(idle=8.0, half_close=4.0),
            )
        )
        idle, half = self.connect(proxy), self.connect(proxy)
        half.shutdown(socket.SHUT_WR)
        self.reactor.settle()
        self.reactor.pump([0.5] * 7)
        self.assertEqual(proxy.open, 2)
        self.reactor.pump([0.5] * 5)
        self.assertEqual(proxy.open, 1)
        self.assertEqual(half.recv(1), b"")
        self.reactor.pump([0.5] * 10)
        self.assertEqual(proxy.open, 0)
        self.assertEqual(idle.recv(1), b"")

    def test_close_connections(self) -> None:
        """Everything that is open ends at once, whatever it is at."""
        proxy = self.proxy()
        joined = self.connect(proxy)
        upstream = self.accept()
        with loopback.blackhole() as port:
            self.registry.replace(WEB.query, [instance("b", port)])
            dialling = self.connect(proxy)
            self.assertEqual(proxy.open, 2)
            proxy.close_connections()
        self.assertEqual((proxy.open, self.observer.ended), (0, 2))
        self.assertEqual(self.registry.open_connections(), 0)
        self.assertEqual(self.reactor.reading() | self.reactor.writing(), set())
        for each in (joined, dialling, upstream):
            self.assertEqual(each.recv(1), b"")
        proxy.close_connections()
        self.assertEqual(self.observer.ended, 2)


class FiguresTests(MappingProxyTestCase):
    """What connections come to, in numbers."""

    def test_life(self) -> None:
        """Bytes are counted while it is open, once a second, and none of them twice."""
        proxy = self.proxy()
        client, upstream = self.connect(proxy), self.accept()
        client.sendall(b"question")
        upstream.sendall(b"the answer")
        self.reactor.settle()
        figures, identity = proxy.stats, instance("a", 0).identity
        self.reactor.advance(1.0)
        self.assertEqual((figures.accepted, figures.accounts[identity].total), (1, 1))
        self.assertEqual((figures.received, figures.sent), (8, 10))
        self.assertEqual(loopback.receive(client, 10), b"the answer")
        self.assertEqual(loopback.receive(upstream, 8), b"question")
        client.close()
        upstream.close()
        self.reactor.settle()
        self.assertEqual((figures.received, figures.sent), (8, 10))
        self.assertEqual(figures.endings, {"--": 1})
        account = figures.accounts[identity]
        self.assertEqual((account.total, account.received, account.sent), (1, 8, 10))
        for times in (figures.connect, figures.first_byte, figures.connection):
            self.assertEqual(sum(times.counts), 1)

    def test_refusing_upstreams_are_counted(self) -> None:
        """Each upstream that refuses is counted, and the client that got none."""
        with loopback.refusing() as port:
            registry = registry_of(instance("dead", port))
            proxy = self.proxy(registry=registry)
            self.connect(proxy)
            self.reactor.settle()
        figures = proxy.stats
        self.assertEqual(figures.endings, {"SC": 1})
        [account] = figures.accounts.values()
        self.assertEqual((account.failures, account.total), (1, 0))
        self.assertEqual(sum(figures.connection.counts), 0)

    def test_turned_away(self) -> None:
        """A client that is not let in counts as accepted and turned away."""
        proxy = self.proxy(evolve(MAPPING, deny=("192.0.2.0/24",)))
        self.connect(proxy)
        self.assertEqual(proxy.stats.accepted, 1)
        self.assertEqual(proxy.stats.endings, {"PR": 1})
        self.assertEqual(proxy.open, 0)


class TroubleTests(MappingProxyTestCase):
    """Bugs, and a machine that is out of something."""

    def test_bug_before_the_lease(self) -> None:
        """A client that a bug of ours keeps from an upstream does not count as open."""

        class Broken(LocalCounter):
            is_shared = True

            def sync(self) -> None:
                raise KeyError("a bug")

        proxy = self.proxy(registry=Registry(lambda: 0.0, Broken()))
        with self.assertRaises(KeyError):
            self.connect(proxy)
        self.assertEqual((proxy.accepted, proxy.open), (1, 0))

    def test_bug_after_the_lease(self) -> None:
        """After a bug the lease is ended."""
        self.registry.replace(WEB.query, [instance("b", 80, "no\0address")])
        proxy = self.proxy()
        with self.assertRaises(TypeError):
            self.connect(proxy)
        self.assertEqual((proxy.open, self.registry.open_connections()), (0, 0))

    def test_bug_as_it_begins(self) -> None:
        """A relay that cannot begin leaves nothing behind either."""
        proxy = self.proxy()
        self.patch(self.reactor, "addReader", lambda *sides: 1 / 0)
        with self.assertRaises(ZeroDivisionError):
            self.connect(proxy)
            self.reactor.settle()
        self.assertEqual((proxy.open, self.registry.open_connections()), (0, 0))

    def test_starved(self) -> None:
        """The listener is called when the process lacks descriptors to dial with."""
        proxy = self.proxy()
        ours, peer = loopback.tcp_pair()
        self.held.enter_context(peer)
        with loopback.no_descriptor_left():
            handle(proxy, ours, ("192.0.2.1", 4000))
        self.assertEqual((self.observer.starved, proxy.open), (1, 1))
        proxy.close_connections()


class LogTests(MappingProxyTestCase):
    """The line of log of each connection."""

    def lines(self, events: Sequence[dict[str, Any]]) -> list[str]:
        """What the log says."""
        return [formatEvent(event) for event in events]

    def test_line(self) -> None:
        """
        One line at the end names client and upstream, the bytes each way, the duration,
        the failed attempts, and the termination.
        """
        proxy = self.proxy()
        with capturedLogs() as events:
            client = self.connect(proxy)
            upstream = self.accept()
            client.sendall(b"question")
            upstream.sendall(b"long answer")
            self.reactor.settle()
            self.reactor.advance(1.5)
            self.assertEqual(self.lines(events), [])
            self.assertEqual(upstream.recv(100), b"question")
            self.assertEqual(client.recv(100), b"long answer")
            client.close()
            upstream.close()
            self.reactor.settle()
        self.assertEqual(
            self.lines(events),
            [
                f"192.0.2.1:4000 80:web a@node-of-a 127.0.0.1:{self.port}"
                " in=8 out=11 time=1.500 retries=0 --"
            ],
        )

    def test_fields(self) -> None:
        """The line's parts are fields of the JSON log."""
        proxy = self.proxy()
        with capturedLogs() as events:
            loopback.reset(self.connect(proxy, ("::1", 5000, 0, 0)))
            self.reactor.settle()
        [event] = events
        self.assertEqual(event["client"], "[::1]:5000")
        self.assertEqual(event["mapping"], "80:web")
        self.assertEqual(event["upstream"], f"a@node-of-a 127.0.0.1:{self.port}")
        self.assertEqual((event["received"], event["sent"]), (0, 0))
        self.assertEqual(event["retries"], 0)
        self.assertEqual(event["termination"], "CD")
        self.assertEqual(event["log_level"].name, "info")

    def test_retries(self) -> None:
        """The upstreams that were tried in vain are counted."""
        with loopback.refusing() as refusing:
            registry = registry_of(
                instance("a", refusing, weight=10_000), instance("b", self.port)
            )
            proxy = self.proxy(registry=registry)
            with capturedLogs() as events:
                self.connect(proxy)
                self.accept()
                proxy.close_connections()
        self.assertEqual(
            self.lines(events),
            [
                f"192.0.2.1:4000 80:web b@node-of-b 127.0.0.1:{self.port}"
                " in=0 out=0 time=0.000 retries=1 KH"
            ],
        )

    def test_nobody(self) -> None:
        """A client that found no upstream has its line too."""
        proxy = self.proxy(registry=registry_of())
        with capturedLogs() as events:
            self.connect(proxy, "")
        self.assertEqual(
            self.lines(events),
            ["unix 80:web - in=0 out=0 time=0.000 retries=0 SC"],
        )

    def test_switched_off(self) -> None:
        """The connection lines can be turned off."""
        proxy = self.proxy(log_connections=False)
        with capturedLogs() as events:
            client = self.connect(proxy)
            self.accept()
            client.sendall(b"x")
            self.reactor.settle()
            loopback.reset(client)
            self.reactor.settle()
            self.connect(self.proxy(registry=registry_of(), log_connections=False))
        self.assertEqual((proxy.open, self.observer.ended), (0, 2))
        self.assertEqual(events, [])
