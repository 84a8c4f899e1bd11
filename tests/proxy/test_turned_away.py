"""Clients that a mapping does not serve, from the accept to the log."""

import socket
import tempfile
from typing import Any

from attrs import evolve
from twisted.logger import capturedLogs, formatEvent

from lbconsul.config.listen import UnixListen
from lbconsul.proxy.access_log import BURST
from lbconsul.proxy.mapping_proxy import MappingProxy
from tests.proxy.test_mapping_proxy import MAPPING, MappingProxyTestCase
from tests.support import loopback
from tests.support.descriptors import descriptors
from tests.support.mappings import altered
from tests.support.running_proxy import active_listener


class TurnedAwayTests(MappingProxyTestCase):
    """What `allow`, `deny` and `max-connections-per-client` do to clients."""

    def mapped(self, **options: Any) -> MappingProxy:
        """A proxy of a mapping with these options."""
        mapped = self.proxy(altered(MAPPING, **options))
        self.addCleanup(mapped.close_connections)
        return mapped

    def serve(self, mapped: MappingProxy, host: str) -> tuple[Any, Any]:
        """A client from there that is joined, and its upstream."""
        return self.connect(mapped, (host, 4000)), self.accept()

    def assert_turned_away(self, mapped: MappingProxy, host: str, code: str) -> None:
        """A client from there is reset at once, and has its line of log."""
        before, ends = mapped.accepted, self.observer.ended
        open_, taken = mapped.open, mapped.connection_limit.taken
        with capturedLogs() as logs:
            client = self.connect(mapped, (host, 4000))
        self.assertTrue(loopback.was_reset(client))
        where = f"[{host}]" if ":" in host else host
        self.assertEqual(
            [formatEvent(event) for event in logs],
            [f"{where}:4000 80:web - in=0 out=0 time=0.000 retries=0 {code}"],
        )
        self.assertEqual(mapped.accepted, before + 1)
        self.assertEqual((mapped.open, mapped.connection_limit.taken), (open_, taken))
        self.assertEqual(self.observer.ended, ends)

    def test_denied(self) -> None:
        """A denied client is reset, counted, and logged; the others are served."""
        mapped = self.mapped(deny=("192.0.2.0/24",))
        self.assert_turned_away(mapped, "192.0.2.1", "PR")
        self.assert_turned_away(mapped, "::ffff:192.0.2.1", "PR")
        self.serve(mapped, "198.51.100.1")
        self.assertEqual((mapped.accepted, mapped.open), (3, 1))

    def test_not_allowed(self) -> None:
        """So is a client outside allow."""
        mapped = self.mapped(allow=("192.0.2.0/24", "::1/128"))
        self.assert_turned_away(mapped, "198.51.100.1", "PR")
        self.assert_turned_away(mapped, "fe80::1%eth0", "PR")
        self.serve(mapped, "192.0.2.1")

    def test_too_many_of_one(self) -> None:
        """
        So is a client beyond max-connections-per-client, until one of its connections
        is over, in whatever phase.
        """
        mapped = self.mapped(max_connections_per_client=2)
        joined, upstream = self.serve(mapped, "192.0.2.1")
        self.serve(mapped, "192.0.2.1")
        self.assert_turned_away(mapped, "192.0.2.1", "PL")
        self.serve(mapped, "192.0.2.2")
        loopback.reset(joined)
        self.reactor.settle()
        upstream.close()
        self.serve(mapped, "192.0.2.1")
        self.assert_turned_away(mapped, "192.0.2.1", "PL")

    def test_who_finds_no_upstream(self) -> None:
        """A client that found no upstream does not count any more."""
        self.server.close()
        mapped = self.mapped(max_connections_per_client=1)
        for _ in range(3):
            self.connect(mapped)
            self.reactor.settle()
        self.assertEqual((mapped.open, self.observer.ended), (0, 3))

    def test_all_over(self) -> None:
        """When all is over no client counts, and there is room for all."""
        mapped = self.mapped(max_connections_per_client=2)
        for host in ("192.0.2.1", "192.0.2.1", "2001:db8::1"):
            self.serve(mapped, host)
        self.assertEqual(mapped.connection_limit.taken, 3)
        mapped.close_connections()
        self.assertEqual(mapped.connection_limit.taken, 0)
        self.serve(mapped, "192.0.2.1")
        self.serve(mapped, "192.0.2.1")

    def test_flood(self) -> None:
        """
        A flood of clients that are turned away leaves a bounded log and no
        sockets, and does not keep others from being served, nor out of the log.
        """
        mapped = self.mapped(deny=("192.0.2.0/24",))
        self.reactor.settle()  # it has a socket of its own from then on
        before = descriptors()
        with capturedLogs() as logs:
            for _ in range(300):
                self.connect(mapped).close()
            client, upstream = self.serve(mapped, "198.51.100.1")
            client.close()
            upstream.close()
            self.reactor.settle()
            self.reactor.advance(1)
        lines = [str(formatEvent(event)) for event in logs]
        denied = [line for line in lines if line.endswith(" PR")]
        served = [line for line in lines if line.startswith("198.51.100.1:4000 ")]
        self.assertEqual((len(denied), len(served)), (BURST + 1, 1))
        self.assertIn("80:web: 250 more clients were not served: 250 PR", lines)
        self.assertEqual(descriptors() - before, frozenset())


class ShapeOfLogTests(MappingProxyTestCase):
    """What clients say, or are called, does not change what the log looks like."""

    def test_what_clients_say(self) -> None:
        """
        Whatever bytes pass, lines and commands to a terminal among them, the
        log has one line for each connection, and none of them in it.
        """
        forged = b"\r\n192.0.2.9:1 80:web - in=0 out=0 time=0.0 retries=0 SC\x1b[2J\0"
        mapped = self.proxy()
        with capturedLogs() as logs:
            client = self.connect(mapped)
            upstream = self.accept()
            client.sendall(forged)
            upstream.sendall(forged)
            self.reactor.settle()
            client.close()
            upstream.close()
            self.reactor.settle()
            loopback.reset(self.connect(mapped, ("::1", 1, 0, 0)))
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
        active = active_listener(self.reactor, self.reactor, self.registry, mapping)
        active.accept()
        names = [f"{folder}/a\nb\x1b[2J", f"{folder}/\udcff", "\0x\nabstract", ""]
        with capturedLogs() as logs:
            for name in names:
                client = self.held.enter_context(socket.socket(socket.AF_UNIX))
                if name:
                    client.bind(name)
                client.connect(f"{folder}/web.sock")
                self.reactor.settle()
                self.accept()
            active.proxy.close_connections()
            active.close()
        lines = [str(formatEvent(event)) for event in logs]
        self.assertEqual(len(lines), len(names))
        for line in lines:
            self.assertRegex(line, rf"^unix unix:{folder}/web\.sock:web a@.* KH$")
