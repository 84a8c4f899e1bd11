"""A long answer, written bit by bit."""

from collections.abc import Iterator
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import Request

from lbconsul.admin.documents import BrokenOff
from lbconsul.admin.http_server import ANSWERING, AdminFactory
from lbconsul.admin.streaming import StreamingResponse
from lbconsul.admin.turns import SLICE, Turns
from tests.support.admin_client import Connection, Site, answer


class PourTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.closed = False
        self.turns = 0

    def _send(self, pieces: Iterator[bytes]) -> Connection:
        def respond(request: Request) -> None:
            StreamingResponse(Turns(self.clock), request, pieces).begin()

        site = Site(clock=self.clock, factory=AdminFactory(self.clock, respond))
        connection = site.connect()
        site.say(connection, "GET", "/")
        site.answer_one()
        return connection

    def _pieces(self, count: int, cost: float = 0.0) -> Iterator[bytes]:
        try:
            for number in range(count):
                self.clock.rightNow += cost
                self.turns += 1
                yield b"%d," % number if number % 2 else b""
        finally:
            self.closed = True

    def test_all_pieces_are_written(self) -> None:
        """
        All pieces are written, and then it is over.
        """
        connection = self._send(self._pieces(6))
        self.clock.advance(0)
        self.assertEqual(answer(connection.value()).body, b"1,3,5,")
        self.assertTrue(connection.disconnecting)
        connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_turns(self) -> None:
        """
        Others have their turn after some milliseconds, whether or not there was
        anything to be written.
        """
        self._send(self._pieces(100, cost=SLICE))
        call: Any = self.clock.getDelayedCalls()[0]
        self.clock.calls.remove(call)
        call.func()
        self.assertEqual(self.turns, 1)

    def test_a_slow_reader(self) -> None:
        """
        Nothing is produced that the reader does not take.
        """
        connection = self._send(self._pieces(1000))
        connection.enough()
        self.clock.advance(ANSWERING / 2)
        self.assertEqual(self.turns, 0)
        connection.more()
        self.clock.advance(0)
        self.assertEqual(self.turns, 1000)
        self.assertTrue(connection.disconnecting)

    def test_pausing_within(self) -> None:
        """A reader with a full buffer gets nothing more at once."""

        def pieces() -> Iterator[bytes]:
            yield b"a"
            connection.enough()
            yield b"b"
            self.fail("it went on")

        connection: Any = None
        connection = self._send(pieces())
        self.clock.advance(0)
        self.assertIn(b"b", connection.value())
        connection.lose()

    def test_patience(self) -> None:
        """
        A reader that has not taken the whole answer after long is cut off, even if it
        takes a little now and then.
        """
        connection: Any = None

        def pieces() -> Iterator[bytes]:
            while True:
                yield b"a"
                connection.enough()

        connection = self._send(pieces())
        for _ in range(int(ANSWERING)):
            self.assertTrue(connection.connected)
            self.clock.advance(1)
            if connection.connected:
                connection.more()
        self.assertFalse(connection.connected)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_leaving(self) -> None:
        """
        When the reader is gone there is nothing to be done any more.
        """
        pieces = self._pieces(1000)
        next(pieces)
        connection = self._send(pieces)
        connection.lose()
        self.assertTrue(self.closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_breaking_off(self) -> None:
        """
        An answer that cannot be completed is cut off, so that no client takes a part
        for the whole.
        """

        def pieces() -> Iterator[bytes]:
            yield b"some"
            raise RuntimeError("no more")

        connection = self._send(pieces())
        self.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertFalse(connection.connected)
        self.assertFalse(connection.value().endswith(b"0\r\n\r\n"))

    def test_kept_no_longer(self) -> None:
        """The log has no line for a reader whose edition is no longer kept."""

        def pieces() -> Iterator[bytes]:
            yield b"some"
            raise BrokenOff("it is kept no longer")

        connection = self._send(pieces())
        self.clock.advance(0)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertFalse(connection.connected)
