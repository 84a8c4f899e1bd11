"""Long answers that many may want at once."""

import gc
import gzip
from collections.abc import Iterator

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.admin.documents import (
    FRESH,
    MOST_EDITIONS,
    OLD,
    PIECE,
    BrokenOff,
    Document,
)


class DocumentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        #: How often it was made, how long a piece takes, and how many there are.
        self.made, self.cost, self.count = 0, 0.0, 4
        self.document = Document(self.clock, self._make)

    def _make(self) -> Iterator[bytes]:
        self.made += 1
        number = self.made
        for _ in range(self.count):
            self.clock.rightNow += self.cost
            yield b"%d" % number * PIECE
            yield b""

    def _read(self, *, packed: bool = False) -> bytes:
        return b"".join(self.document.read(packed))

    def test_a_document_comes_whole(self) -> None:
        """A document comes whole, in pieces that are neither small nor large."""
        pieces = [each for each in self.document.read(False) if each]
        self.assertEqual(b"".join(pieces), b"1" * PIECE * 4)
        self.assertEqual([len(each) for each in pieces], [PIECE] * 4)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_small_pieces(self) -> None:
        """
        Small ones are put together.
        """
        document = Document(self.clock, lambda: iter([b"a", b"", b"b"] * 5))
        pieces = [each for each in document.read(False) if each]
        self.assertEqual(pieces, [b"ab" * 5])

    def test_packed(self) -> None:
        """
        Clients that accept gzip get it: the same text, made and packed once for all.
        """
        plain = self.document.read(False)
        readings = [self.document.read(True) for _ in range(3)]
        whole = {b"".join(each) for each in readings}
        self.assertEqual(len(whole), 1)
        self.assertEqual(gzip.decompress(whole.pop()), b"".join(plain))
        self.assertEqual(self.made, 1)

    def test_together(self) -> None:
        """
        Clients that ask while a document is being made share it, however fast they
        read.
        """
        readings = [self.document.read(False) for _ in range(3)]
        got = [b"", b"", b""]
        for turn in range(100):
            which = (0, 1, 0, 2)[turn % 4]
            got[which] += next(readings[which], b"")
        self.assertEqual(set(got), {b"1" * PIECE * 4})
        self.assertEqual(self.made, 1)

    def test_made_soon_after(self) -> None:
        """
        A cheap document is made for each request; an expensive one is reused for a
        while.
        """
        self._read()
        self._read()
        self.assertEqual(self.made, 2)
        self.cost = 0.02  # 80 ms in all, so it is good for 400
        self._read()
        self.clock.advance(0.39)
        self.assertEqual(self._read(), b"3" * PIECE * 4)
        self.clock.advance(0.02)
        self._read()
        self.assertEqual(self.made, 4)

    def test_never_old(self) -> None:
        """
        However long a document takes, none older than a second is given to a new
        client.
        """
        self.cost = 0.2
        self._read()
        self.clock.advance(FRESH - 0.8)
        self._read()
        reading = self.document.read(False)
        begun = next(reading)
        self.clock.advance(FRESH)
        self.assertEqual(self._read(), b"3" * PIECE * 4)
        self.assertEqual(begun + b"".join(reading), b"2" * PIECE * 4)

    def test_forgetting(self) -> None:
        """After a change new clients see it."""
        self.cost = 0.02
        self._read()
        self.document.forget()
        self.document.forget()
        self._read()
        self.assertEqual(self.made, 2)
        reading = self.document.read(False)
        self.document.forget()
        self.assertEqual(b"".join(reading), b"2" * PIECE * 4)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def _slow(self, count: int) -> list[Iterator[bytes]]:
        """Many readers of each edition, which read only a little of it."""
        readings = []
        for _ in range(count):
            self.document.forget()
            readings.append(self.document.read(False))
            for _ in range(6):
                next(readings[-1])
        self.document.forget()
        return readings

    def test_slow_readers(self) -> None:
        """
        The number of editions is bounded, however slowly clients read: for a while the
        last one is given to others, then the oldest one is dropped.
        """
        first, *_, last = readings = self._slow(MOST_EDITIONS)
        self.assertEqual(self._read(), b"4" * PIECE * 4)
        self.clock.advance(OLD)
        self.assertEqual(self._read(), b"5" * PIECE * 4)
        with self.assertRaises(BrokenOff):
            list(first)
        self.assertTrue(b"".join(last).endswith(b"4"))
        self.assertEqual(len(readings), MOST_EDITIONS)

    def test_nothing_is_kept(self) -> None:
        """An edition without readers is freed."""
        readings = self._slow(MOST_EDITIONS)
        del readings
        gc.collect()
        self._read()
        self.assertEqual(self.made, MOST_EDITIONS + 1)

    def test_breaking(self) -> None:
        """
        A document whose rendering fails is cut off for its readers, and made again for
        the next ones.
        """

        def breaks() -> Iterator[bytes]:
            self.made += 1
            yield b"a" * PIECE
            raise RuntimeError("no more")

        document = Document(self.clock, breaks)
        readings = [document.read(each) for each in (False, False, True)]
        for each, error in zip(
            readings, (RuntimeError, BrokenOff, BrokenOff), strict=True
        ):
            with self.assertRaises(error):
                list(each)
        self.assertEqual(self.made, 1)
        with self.assertRaises(RuntimeError):
            list(document.read(False))
        self.assertEqual(self.clock.getDelayedCalls(), [])
