"""The live stream: which events each reader gets, and what slow readers cost."""

import json
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.admin.event_log import KEPT
from lbconsul.admin.event_stream import HEARTBEAT, MOST_READERS, PATIENCE, Reader
from lbconsul.admin.status_model import GatewayStatus
from tests.support.admin_client import Connection, Site, answer
from tests.support.fake_source import FakeSource, fake_source


class StreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.site = Site()
        self.clock = self.site.clock

    def _listen(self, path: str = "/events", **headers: str) -> Connection:
        connection = self.site.connect()
        told = [(key.replace("_", "-"), value) for key, value in headers.items()]
        self.site.say(connection, "GET", path, told)
        self.clock.advance(0)
        return connection

    def _heard(self, connection: Connection) -> list[dict[str, str]]:
        """The events that came since we last looked."""
        text = self._text(connection)
        blocks = [block.split("\n") for block in text.split("\n\n") if block]
        return [
            dict(line.split(": ", 1) for line in block)
            for block in blocks
            if not block[0].startswith((":", "retry:"))
        ]

    def _text(self, connection: Connection) -> str:
        data = connection.value()
        connection.clear()
        if data.startswith(b"HTTP/1.1 200 OK"):
            data = data.partition(b"\r\n\r\n")[2]
        text = b""
        while data:
            size, _, data = data.partition(b"\r\n")
            text += data[: int(size, 16)]
            data = data[int(size, 16) + 2 :]
        return text.decode()

    def _numbers(self, connection: Connection) -> list[int]:
        heard = self._heard(connection)
        return [int(each["id"].partition("-")[2]) for each in heard if "id" in each]

    def test_changes(self) -> None:
        """
        Each change is an event with its number; a new reader gets the last ones at
        once.
        """
        connection = self._listen("/events?figures=off")
        self.assertEqual(self._numbers(connection), list(range(1, 21)))
        self.site.events.add("joined", "web-7 joined", "web", "dc1/n/web-7")
        self.clock.advance(0)
        [event] = self._heard(connection)
        self.assertEqual(event["id"], f"{self.site.events.epoch}-21")
        said = json.loads(event["data"])
        self.assertEqual((said["id"], said["kind"]), (21, "joined"))
        self.assertEqual(said["text"], "web-7 joined")
        self.assertEqual((said["query"], said["upstream"]), ("web", "dc1/n/web-7"))

    def test_headers(self) -> None:
        """Neither a cache nor a proxy may store or delay the stream."""
        connection = self._listen("/events?figures=off")
        connection.lose()
        said = answer(connection.value() + b"0\r\n\r\n")
        self.assertEqual(said.headers["Content-Type"], "text/event-stream")
        self.assertEqual(said.headers["Cache-Control"], "no-store")
        self.assertTrue(said.text.startswith("retry: 2000\n\n"))

    def test_resuming(self) -> None:
        """A reader that knows some events gets those that follow."""
        epoch = self.site.events.epoch
        for number, wanted in ((0, 20), (17, 3), (20, 0)):
            known = f"{epoch}-{number}"
            for connection in (
                self._listen("/events?figures=off", Last_Event_ID=known),
                self._listen(f"/events?figures=off&since={known}"),
            ):
                expected = list(range(21 - wanted, 21))
                self.assertEqual(self._numbers(connection), expected)

    def test_what_cannot_be_resumed(self) -> None:
        """A reader with another gateway's id, or too old a one, starts over."""
        epoch = self.site.events.epoch
        for known in ("7", f"{epoch + 1}-20", f"{epoch}-21", f"{epoch}-x", "ü", "-"):
            connection = self._listen("/events?figures=off", Last_Event_ID=known)
            first, *others = self._heard(connection)
            self.assertEqual(first["event"], "reset", known)
            self.assertEqual(len(others), 20)

    def test_too_far_behind(self) -> None:
        """A reader that stalls while more events come than are kept starts over."""
        connection = self._listen("/events?figures=off")
        self._heard(connection)
        connection.enough()
        for number in range(KEPT + 50):
            self.site.events.add("joined", str(number))
        self.clock.advance(0)
        self.assertEqual(connection.value(), b"")
        connection.more()
        self.clock.advance(0)
        first, *others = self._heard(connection)
        self.assertEqual(first["event"], "reset")
        self.assertEqual(len(others), KEPT)

    def test_figures(self) -> None:
        """Figures are sent about once a second: at first all, then what changed."""
        connection = self._listen()
        figures = [
            json.loads(each["data"])
            for each in self._heard(connection)
            if each.get("event") == "figures"
        ]
        self.assertEqual(figures[0]["mappings"][0]["name"], "80:web")
        self.assertEqual(len(figures[1]["upstreams"]), 12)
        self.site.source.alter("80:web", 0, "dc1/node-01/web-1", open=77)
        self.clock.advance(1)
        heard = self._heard(connection)
        self.assertEqual([each["event"] for each in heard], ["figures"] * 2)
        self.assertEqual(json.loads(heard[1]["data"])["upstreams"][0]["open"], 77)
        self.clock.advance(1)
        [head] = self._heard(connection)
        self.assertEqual(set(json.loads(head["data"])["gateway"]), {"now"})

    def test_one_computation_for_all(self) -> None:
        """
        However many readers there are, figures are sampled once a second; without a
        reader, never.
        """
        looks = []
        gateway = type(self.site.source).gateway

        def look(source: FakeSource) -> GatewayStatus:
            looks.append(1)
            return gateway(source)

        self.patch(
            type(self.site.source),
            "gateway",
            look,
        )
        connections = [self._listen() for _ in range(5)]
        self._listen("/events?figures=off")
        for _ in range(3):
            self.clock.advance(1)
        self.assertEqual(len(looks), 4)
        for connection in connections:
            connection.lose()
        self.clock.advance(3)
        self.assertEqual(len(looks), 4)

    def test_another_picture(self) -> None:
        """When other mappings are shown, readers are asked to reload the status."""
        connection = self._listen()
        self._heard(connection)
        self.site.source.mapping_list = self.site.source.mapping_list[1:]
        self.clock.advance(1)
        first, *others = self._heard(connection)
        self.assertEqual(first["event"], "reset")
        self.assertEqual({each["event"] for each in others}, {"figures"})

    def test_missing_a_look(self) -> None:
        """A reader that missed a sample, or part of it, gets all figures."""
        connection = self._listen()
        self._heard(connection)
        connection.enough()
        source = self.site.source
        source.alter("80:web", 0, "dc1/node-01/web-1", open=77)
        self.clock.advance(1)
        source.gateway_status = evolve(source.gateway_status, open=3)
        self.clock.advance(1)
        connection.more()
        self.clock.advance(0)
        head, rows = (json.loads(each["data"]) for each in self._heard(connection))
        self.assertEqual(head["gateway"]["open"], 3)
        self.assertEqual(len(rows["upstreams"]), 12)

    def test_heartbeat(self) -> None:
        """
        An idle stream gets a comment now and then, so that dead clients are noticed.
        """
        connection = self._listen("/events?figures=off")
        self._text(connection)
        self.clock.advance(HEARTBEAT - 1)
        self.assertEqual(connection.value(), b"")
        self.clock.advance(1)
        self.assertEqual(self._text(connection), ": still here\n\n")
        self.clock.advance(HEARTBEAT)
        self.assertEqual(self._text(connection), ": still here\n\n")

    def test_patience(self) -> None:
        """A reader that takes nothing for long is cut off."""
        connection = self._listen()
        connection.enough()
        for _ in range(int(PATIENCE) - 1):
            self.clock.advance(1)
        self.assertTrue(connection.connected)
        self.clock.advance(1)
        self.assertFalse(connection.connected)
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_hostile_ids(self) -> None:
        """
        Whatever id a client sends, other readers pay nothing: with an invalid id it
        starts over, and its place lasts only as long as its connection.
        """
        listener = self._listen("/events?figures=off")
        self._heard(listener)
        epoch = self.site.events.epoch
        for known in (
            f"{epoch}-{'9' * 5000}", f"{'9' * 5000}-1", f"{epoch}-1{'0' * 16}",
            f"{epoch}--1", f"{epoch}-+1", f"{epoch}-1.0", f"{epoch}- 1", f"{epoch}-1_0",
            f"{epoch}-\u0661", f"{epoch}-1e1", f"{epoch}-1-1", "\udcff", "-" * 9000,
            f"{epoch}-0x1",
        ):  # fmt: skip
            for _ in range(MOST_READERS // 8):
                connection = self._listen("/events?figures=off", Last_Event_ID=known)
                self.assertEqual(self._heard(connection)[0]["event"], "reset", known)
                connection.lose()
        self.assertEqual(len(self.site.stream.readers), 1)
        self.site.events.add("joined", "web-7 joined")
        self.clock.advance(0)
        self.assertEqual(len(self._heard(listener)), 1)

    def test_hostile_queries(self) -> None:
        """
        A query of absurd many fields is refused; one of odd ones means nothing.
        """
        many = "&".join(f"f{number}=1" for number in range(100))
        self.assertEqual(self.site.ask("GET", f"/events?{many}").code, 400)
        epoch = self.site.events.epoch
        for query in (f"since=x&since={epoch}-20", f"since={epoch}%2D20&%FF=%ZZ&;=&="):
            connection = self._listen(f"/events?figures=off&{query}")
            self.assertEqual(self._heard(connection), [])

    def test_one_that_fails(self) -> None:
        """
        A bug that breaks one stream off costs no other reader an event.
        """
        good, bad = (self._listen("/events?figures=off") for _ in range(2))
        reader = next(each for each in self.site.stream.readers
                      if each._request.channel is bad.protocol)  # fmt: skip
        reader._next = None  # type: ignore[assignment]
        self._heard(good)
        self.site.events.add("joined", "web-7 joined")
        self.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.assertEqual(len(self._heard(good)), 1)
        self.assertFalse(bad.connected)
        self.assertEqual(len(self.site.stream.readers), 1)

    def test_one_that_cannot_begin(self) -> None:
        """A stream that cannot begin keeps no place either."""
        self.patch(Reader, "_time", lambda *_: 1 // 0)
        connection = self._listen()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertFalse(connection.connected)
        self.assertEqual(self.site.stream.readers, set())

    def test_half_closing(self) -> None:
        """A client that closes its direction has left."""
        connection = self._listen()
        connection.protocol.readConnectionLost()
        self.assertFalse(connection.connected)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_room_for_who_reads(self) -> None:
        """
        When all places are taken, the reader that has stalled for longest loses its
        own.
        """
        connections = [self._listen("/events?figures=off") for _ in range(MOST_READERS)]
        for number in (5, 3):
            connections[number].enough()
            self.clock.advance(1)
        self.assertEqual(self.site.ask("GET", "/events").code, 503)
        self.clock.advance(2)
        self._listen("/events?figures=off")
        self.assertEqual(
            [connections[each].connected for each in (3, 5)], [True, False]
        )

    def test_too_many(self) -> None:
        """The number of readers is bounded; one that leaves makes room."""
        connections = [self._listen() for _ in range(MOST_READERS)]
        refused = self.site.ask("GET", "/events")
        self.assertEqual(refused.code, 503)
        self.assertEqual(refused.headers["Retry-After"], "10")
        connections[7].lose()
        self.assertEqual(self._heard(self._listen("/events?figures=off"))[0]["data"][:7],
                         '{"id":1')  # fmt: skip

    def test_nothing_is_left(self) -> None:
        """
        When all have left there is nothing to be done any more.
        """
        for connection in [self._listen() for _ in range(3)]:
            connection.lose()
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.site.events.add("joined", "nobody hears")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_slow_reader_of_much(self) -> None:
        """
        However much changes, what waits for a slow reader stays within bounds, and
        what he gets is whole pieces.
        """
        site = self.site = Site()
        self.clock = site.clock
        source: Any = fake_source(self.clock.seconds, 3000)
        site.source.pools, site.source.mapping_list = source.pools, source.mapping_list
        connection = self._listen()
        connection.enough()
        connection.clear()
        longest = 0
        for _ in range(50):
            for upstream in list(site.source.pools["80:web", 0])[:500]:
                site.source.alter("80:web", 0, upstream, open=self.clock.rightNow)
            self.clock.advance(1)
            # What twisted's transports do at 64 KiB, and when they are empty.
            connection.more()
            site.clock.advance(0)
            connection.enough()
            longest = max(longest, len(connection.value()))
            self._heard(connection)
        self.assertLess(longest, 1 << 18)
