"""The threads that ask a gateway."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lbconsul.admin.client import Admin, CannotAsk, Refused
from lbconsul.admin.event_messages import Message
from lbconsul.admin.follow import Follower, Notice
from lbconsul.top import feed
from lbconsul.top.feed import Feed, rest
from lbconsul.top.lines import Line
from tests.support.waiting import eventually

EVENT = '{"time": 1760000123.4, "query": "web", "kind": "ejected", "text": "a"}'


class Screen:
    """Keeps what comes."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.errors: list[str] = []
        self.lines: list[str] = []
        self.is_there = True

    def answered(self, status: dict[str, Any]) -> bool:
        self.answers.append(status)
        return self.is_there

    def failed(self, error: str) -> bool:
        self.errors.append(error)
        return self.is_there

    def happened(self, some: Line) -> bool:
        self.lines.append(some.text)
        return self.is_there


@pytest.fixture
def screen() -> Screen:
    return Screen()


#: Starts a feed of a gateway that has these events, or refuses them.
Start = Callable[..., Feed]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, screen: Screen) -> Iterator[Start]:
    """Starts a feed, which ends with the test."""
    feeds: list[Feed] = []
    monkeypatch.setattr(feed, "INTERVAL", 0.05)

    def begin(
        *events: Message | Notice | CannotAsk,
        status: Callable[[Admin], Any] = lambda _: {"format": 2},
    ) -> Feed:
        over = threading.Event()

        def follow(_: Follower) -> Iterator[Message | Notice]:
            for each in events:
                if isinstance(each, CannotAsk):
                    raise each
                yield each
            over.wait()

        monkeypatch.setattr(Follower, "__iter__", follow)
        monkeypatch.setattr(Follower, "stop", lambda _: over.set())
        monkeypatch.setattr(Admin, "status", status)
        feeds.append(Feed(Admin("9200"), screen))
        feeds[-1].start()
        return feeds[-1]

    yield begin
    for each in feeds:
        each.stop()
        for thread in each._threads:
            thread.join()


def test_events(start: Start, screen: Screen) -> None:
    """Events and notices are lines; a reset says why, and what is odd does no harm."""
    start(
        Notice("connected again"), Message('{"reason": "restarted"}', "reset"),
        Message(EVENT), Message("{}"),
    )  # fmt: skip
    eventually(lambda: len(screen.lines) == 4, "all came")
    again, reset, event, odd = screen.lines
    assert again == "-- connected again"
    assert reset == "-- restarted"
    assert event.endswith("  web: a")
    assert odd == "-- an event that is none of lbconsul"


def test_asks_soon(
    start: Start, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status is asked for when something happens."""
    monkeypatch.setattr(feed, "INTERVAL", 3600)
    start(Message(EVENT))
    eventually(lambda: len(screen.answers) >= 2, "it was asked again")


@pytest.mark.parametrize(
    ("took", "seconds"), [(0.001, 0.1), (0.1, 1.9), (0.5, 9.5), (10, 15), (0, 0.1)]
)
def test_rest(took: float, seconds: float) -> None:
    """A large status is asked for less often, but often enough."""
    assert rest(took) == pytest.approx(seconds)


def test_fails(start: Start, screen: Screen) -> None:
    """A gateway that does not answer is told without the address, and asked again."""
    errors = [
        CannotAsk("no answer at 9200: Connection refused"), CannotAsk("9200: starts"),
    ]  # fmt: skip

    def status(_: Admin) -> dict[str, Any]:
        if errors:
            raise errors.pop(0)
        return {"format": 2}

    start(status=status)
    eventually(lambda: screen.answers, "it was asked again")
    assert screen.errors == ["Connection refused", "starts"]


def test_refused(start: Start, screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that are refused are told, and asked for again some time later."""
    monkeypatch.setattr(feed, "AFTER_REFUSAL", 0.0)
    start(Refused("9200: not the token"))
    eventually(lambda: len(screen.lines) > 1, "it was asked again")
    assert set(screen.lines) == {"9200: not the token"}


def test_ends(start: Start, screen: Screen) -> None:
    """Threads end when there is no screen any more."""
    screen.is_there = False
    some = start(Message(EVENT))
    for each in some._threads:
        each.join()
    assert len(screen.answers) == len(screen.lines) == 1
