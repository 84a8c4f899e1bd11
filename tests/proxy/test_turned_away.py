"""Clients that a mapping does not serve, from the factory to the log."""

import gc
import os
import socket
import tempfile
from typing import Any

from attrs import evolve
from twisted.logger import capturedLogs, formatEvent

from lbconsul.config.model import UnixListen
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.proxy.access_log import BURST
from lbconsul.proxy.factory import ProxyFactory
from lbconsul.proxy.listener import Listener
from tests.proxy.test_factory import MAPPING, FactoryTestCase
from tests.support import loopback


class TurnedAwayTests(FactoryTestCase):
    """What `allow`, `deny` and `max-connections-per-client` do to clients."""

    def mapped(self, **options: Any) -> ProxyFactory:
        """A factory of a mapping with these options."""
        factory = self.factory(evolve(MAPPING, **options))
        self.addCleanup(factory.close_connections)
        return factory

    def serve(self, factory: ProxyFactory, host: str) -> tuple[Any, Any]:
        """A client from there that is joined, and its upstream."""
        return self.connect(factory, (host, 4000)), self.accept()

    def assert_turned_away(self, factory: ProxyFactory, host: str, code: str) -> None:
        """A client from there is reset at once, and has its line of log."""
        before, ends = factory.accepted, self.ends
        open_, taken = factory.open, factory.room.taken
        with capturedLogs() as logs:
            client = self.connect(factory, (host, 4000))
        self.assertTrue(loopback.was_reset(client))
        where = f"[{host}]" if ":" in host else host
        self.assertEqual(
            [formatEvent(event) for event in logs],
            [f"{where}:4000 80:web - in=0 out=0 time=0.000 retries=0 {code}"],
        )
        self.assertEqual(factory.accepted, before + 1)
        self.assertEqual((factory.open, factory.room.taken), (open_, taken))
        self.assertEqual(self.ends, ends)

    def test_denied(self) -> None:
        """Who is denied is reset, counted, and told of; the others are served."""
        factory = self.mapped(deny=("192.0.2.0/24",))
        self.assert_turned_away(factory, "192.0.2.1", "PR")
        self.assert_turned_away(factory, "::ffff:192.0.2.1", "PR")
        self.serve(factory, "198.51.100.1")
        self.assertEqual((factory.accepted, factory.open), (3, 1))

    def test_not_allowed(self) -> None:
        """So is who is not allowed."""
        factory = self.mapped(allow=("192.0.2.0/24", "::1/128"))
        self.assert_turned_away(factory, "198.51.100.1", "PR")
        self.assert_turned_away(factory, "fe80::1%eth0", "PR")
        self.serve(factory, "192.0.2.1")

    def test_too_many_of_one(self) -> None:
        """
        So is who has as many connections as one client may have, until one of
        them is over, whatever it was at.
        """
        factory = self.mapped(max_connections_per_client=2)
        joined, upstream = self.serve(factory, "192.0.2.1")
        self.serve(factory, "192.0.2.1")
        self.assert_turned_away(factory, "192.0.2.1", "PL")
        self.serve(factory, "192.0.2.2")
        loopback.reset(joined)
        self.reactor.settle()
        upstream.close()
        self.serve(factory, "192.0.2.1")
        self.assert_turned_away(factory, "192.0.2.1", "PL")

    def test_who_finds_no_upstream(self) -> None:
        """A client that found no upstream does not count any more."""
        self.server.close()
        factory = self.mapped(max_connections_per_client=1)
        for _ in range(3):
            self.connect(factory)
            self.reactor.settle()
        self.assertEqual((factory.open, self.ends), (0, 3))

    def test_all_over(self) -> None:
        """When all is over nobody counts, and there is room for all."""
        factory = self.mapped(max_connections_per_client=2)
        for host in ("192.0.2.1", "192.0.2.1", "2001:db8::1"):
            self.serve(factory, host)
        self.assertEqual(factory.room.taken, 3)
        factory.close_connections()
        self.assertEqual(factory.room.taken, 0)
        self.serve(factory, "192.0.2.1")
        self.serve(factory, "192.0.2.1")

    def test_flood(self) -> None:
        """
        A flood of clients that are turned away leaves a bounded log and no
        sockets, and does not keep others from being served, nor out of the log.
        """
        factory = self.mapped(deny=("192.0.2.0/24",))
        gc.collect()  # what earlier tests have left is not to be closed meanwhile
        free = os.dup(0)
        os.close(free)
        with capturedLogs() as logs:
            for _ in range(300):
                self.connect(factory).close()
            client, upstream = self.serve(factory, "198.51.100.1")
            client.close()
            upstream.close()
            self.reactor.settle()
            self.reactor.advance(1)
        lines = [str(formatEvent(event)) for event in logs]
        denied = [line for line in lines if line.endswith(" PR")]
        served = [line for line in lines if line.startswith("198.51.100.1:4000 ")]
        self.assertEqual((len(denied), len(served)), (BURST + 1, 1))
        self.assertIn("80:web: 250 more clients were not served: 250 PR", lines)
        after = os.dup(0)
        os.close(after)
        self.assertEqual(after, free)


class ShapeOfLogTests(FactoryTestCase):
    """What clients say, or are called, does not change what the log looks like."""

    def test_what_clients_say(self) -> None:
        """
        Whatever bytes pass, lines and commands to a terminal among them, the
        log has one line for each connection, and none of them in it.
        """
        forged = b"\r\n192.0.2.9:1 80:web - in=0 out=0 time=0.0 retries=0 SC\x1b[2J\0"
        factory = self.factory()
        with capturedLogs() as logs:
            client = self.connect(factory)
            upstream = self.accept()
            client.sendall(forged)
            upstream.sendall(forged)
            self.reactor.settle()
            client.close()
            upstream.close()
            self.reactor.settle()
            loopback.reset(self.connect(factory, ("::1", 1, 0, 0)))
            self.reactor.settle()
        first, second = (str(formatEvent(event)) for event in logs)
        self.assertRegex(first, r"^192\.0\.2\.1:4000 80:web a@.* (--|CD|SD)$")
        self.assertRegex(second, r"^\[::1\]:1 80:web a@.* in=0 out=0 .* CD$")
        for line in (first, second):
            self.assertTrue(line.isprintable())
            self.assertNotIn("192.0.2.9", line)

    def test_what_unix_clients_are_called(self) -> None:
        """A client's own socket may bear any name that a file can."""
        folder = self.held.enter_context(tempfile.TemporaryDirectory())
        mapping = evolve(MAPPING, listen=UnixListen(f"{folder}/web.sock"))
        factory = self.factory(mapping)
        listener = Listener(self.reactor, self.reactor, factory, OwnedSocket(mapping))
        listener.startService()
        names = [f"{folder}/a\nb\x1b[2J", f"{folder}/\udcff", "\0x\nabstract", ""]
        with capturedLogs() as logs:
            for name in names:
                client = self.held.enter_context(socket.socket(socket.AF_UNIX))
                if name:
                    client.bind(name)
                client.connect(f"{folder}/web.sock")
                self.reactor.settle()
                self.accept()
            factory.close_connections()
            listener.stopService()
        lines = [str(formatEvent(event)) for event in logs]
        self.assertEqual(len(lines), len(names))
        for line in lines:
            self.assertRegex(line, rf"^unix unix:{folder}/web\.sock:web a@.* KH$")
