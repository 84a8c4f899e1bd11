"""The stream between a master and a worker."""

from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lbconsul.workers.channel import Channel
from lbconsul.workers.messages import MAX_FRAME


class FramesTests(SynchronousTestCase):
    """One end of a channel, and a transport that records its calls."""

    def setUp(self) -> None:
        self.heard: list[bytes | str] = []
        self.channel = Channel(
            self.heard.append,
            lambda: self.heard.append("lost"),
            lambda: self.heard.append("paused"),
            lambda: self.heard.append("resumed"),
        )
        self.transport = StringTransportWithDisconnection()
        self.transport.protocol = self.channel
        self.channel.makeConnection(self.transport)

    def test_whole_frames(self) -> None:
        """Each frame is passed on as a whole, however the stream is cut."""
        self.channel.sendString(b"one")
        self.channel.sendString(b"")
        self.channel.sendString(b"three")
        said = self.transport.value()
        for number in range(len(said)):
            self.channel.dataReceived(said[number : number + 1])
        self.channel.dataReceived(said)
        self.assertEqual(self.heard, [b"one", b"", b"three"] * 2)

    def test_too_long(self) -> None:
        """A frame beyond any in use is not waited for: the stream is over."""
        with capturedLogs() as events:
            self.channel.dataReceived((MAX_FRAME + 1).to_bytes(4, "big"))
        self.assertEqual(self.heard, ["lost"])
        self.assertEqual(
            [formatEvent(event) for event in events],
            ["a frame of 67108865 bytes is too long: the channel is closed"],
        )

    def test_flow(self) -> None:
        """A transport that is full says so, and so it does when it is not."""
        self.assertTrue(verifyObject(IPushProducer, self.channel))
        self.assertIs(self.transport.producer, self.channel)
        self.assertTrue(self.transport.streaming)
        self.channel.pauseProducing()
        self.channel.resumeProducing()
        self.channel.stopProducing()
        self.assertEqual(self.heard, ["paused", "resumed"])

    def test_close(self) -> None:
        """Closing it ends the stream, and no writer waits for room in it."""
        self.channel.close()
        self.assertIsNone(self.transport.producer)
        self.assertEqual(self.heard, ["lost"])

    def test_finish(self) -> None:
        """
        An end that has finished sending goes on receiving, until the other end is
        closed.
        """
        said: list[str] = []
        transport: Any = self.transport
        transport.loseWriteConnection = lambda: said.append("end")
        self.channel.finish()
        self.channel.dataReceived(b"\0\0\0\3one")
        self.assertIsNone(self.transport.producer)
        self.assertEqual((said, self.heard), (["end"], [b"one"]))

    def test_nobody_is_told(self) -> None:
        """The flow callbacks are optional."""
        frames = Channel(self.heard.append, lambda: None)
        frames.pauseProducing()
        frames.resumeProducing()
        self.assertEqual(self.heard, [])
