"""Following the events of a gateway beyond its end."""

from collections.abc import Iterator

import pytest

from lbconsul.admin.client import Admin, CannotAsk, Refused
from lbconsul.admin.event_messages import Message
from lbconsul.admin.follow import Follower, Notice, Position

RESET = Message('{"reason":"x"}', "reset")


def _event(id_: str) -> Message:
    return Message("{}", id=id_)


class Gateways:
    """What answers one after the other: a stream, or an error; then Ctrl-C."""

    def __init__(self, *answers: list[Message] | CannotAsk) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []
        self.slept: list[float] = []

    def events(self, after: str = "") -> Iterator[Message]:
        self.asked.append(after)
        if not self._answers:
            raise KeyboardInterrupt
        answer = self._answers.pop(0)
        if isinstance(answer, CannotAsk):
            raise answer
        return self._stream(answer)

    def _stream(self, answer: list[Message]) -> Iterator[Message]:
        yield from answer
        raise CannotAsk("9200: the stream of events has ended")


def _follow(
    monkeypatch: pytest.MonkeyPatch, gateways: Gateways
) -> list[Message | Notice]:
    monkeypatch.setattr(Admin, "events", gateways.events)
    follower = Follower(
        Admin("9200"), lambda: sum(gateways.slept), gateways.slept.append
    )
    came = []
    with pytest.raises(KeyboardInterrupt):
        for each in follower:
            came.append(each)  # noqa: PERF402 (it ends by an error)
    return came


def test_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a gateway ends the next one at its address is asked for what came since."""
    away = CannotAsk("no answer at 9200: Connection refused")
    gateways = Gateways([_event("1-7")], away, away, [_event("1-8")])
    assert _follow(monkeypatch, gateways) == [
        _event("1-7"),
        Notice("9200: the stream of events has ended; connecting again"),
        Notice("9200: connected again after 1.4 s"),
        _event("1-8"),
        Notice("9200: the stream of events has ended; connecting again"),
    ]
    assert gateways.asked == ["", "1-7", "1-7", "1-7", "1-8"]
    # An event shows that it is well: the next pause is short again.
    assert gateways.slept == pytest.approx([0.2, 0.4, 0.8, 0.2])


def test_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that is away for long is asked every five seconds."""
    away = [CannotAsk("away") for _ in range(9)]
    gateways = Gateways([], *away)
    _follow(monkeypatch, gateways)
    assert gateways.slept[-3:] == [5.0, 5.0, 5.0]


def test_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a gateway that ended some events may be missing, which is said."""
    gateways = Gateways([_event("1-7")], [RESET, _event("2-1"), _event("2-2")])
    assert _follow(monkeypatch, gateways)[3:6] == [
        RESET,
        Notice("what the former gateway reported after its event 7 is not known"),
        _event("2-1"),
    ]


@pytest.mark.parametrize(
    ("last", "now", "missed"),
    [
        ("", "1-500", []),
        ("1-7", "1-8", []),
        ("1-7", "1-20", ["12 earlier events are no longer kept"]),
        ("1-7", "", []),
        (
            "1-7",
            "2-11",
            [
                "what the former gateway reported after its event 7 is not known",
                "10 earlier events are no longer kept",
            ],
        ),
    ],
)
def test_missed(last: str, now: str, missed: list[str]) -> None:
    """The numbers of events tell how many are missing."""
    position = Position(last)
    assert list(position.missed(_event(now))) == missed
    assert position.last == (now or last)


def test_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that wants another token is not asked again and again."""
    answers = Gateways([], Refused("9200: not the token"))
    monkeypatch.setattr(Admin, "events", answers.events)
    came = iter(Follower(Admin("9200"), float, answers.slept.append))
    assert isinstance(next(came), Notice)
    with pytest.raises(Refused, match="not the token"):
        next(came)


def test_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a refusal it can be followed again, from where it was."""
    answers = Gateways([_event("1-7")], Refused("9200: not the token"), [_event("1-8")])
    monkeypatch.setattr(Admin, "events", answers.events)
    follower = Follower(Admin("9200"), float, answers.slept.append)
    with pytest.raises(Refused):
        list(follower)
    assert next(iter(follower)) == _event("1-8")
    assert answers.asked == ["", "1-7", "1-7"]


def test_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway must be there at first."""
    monkeypatch.setattr(Admin, "events", Gateways(CannotAsk("away")).events)
    with pytest.raises(CannotAsk, match="away"):
        next(iter(Follower(Admin("9200"))))
