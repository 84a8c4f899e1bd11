"""``lbconsul events``."""

import json
import re
from collections.abc import Iterator

import pytest

from lbconsul.admin.client import Admin, CannotAsk
from lbconsul.admin.event_messages import Message
from lbconsul.admin.follow import Follower, Notice
from lbconsul.console.events import events
from lbconsul.usage.words import Given

Capture = pytest.CaptureFixture[str]

EVENT = '{"time": 1760000123.4, "query": "web", "mapping": "", "text": "a\\u001b[2J"}'


def _says(monkeypatch: pytest.MonkeyPatch, *said: Message | Notice) -> Admin:
    def found(_: Follower) -> Iterator[Message | Notice]:
        yield from said

    monkeypatch.setattr(Follower, "__iter__", found)
    return Admin("9200")


def test_lines(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Each event is a line with its time, fit for a terminal."""
    reset = Message('{"reason": "the gateway was restarted"}', "reset")
    admin = _says(monkeypatch, Message(EVENT), reset)
    assert events(admin, Given({}, ())) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"2025-10-0\d \d\d:\d\d:23  web: a\ufffd\[2J", first)
    assert second == "-- the gateway was restarted"


def test_json(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """--json has each event as the gateway sends it."""
    admin = _says(monkeypatch, Message(EVENT))
    assert events(admin, Given({"json": [""]}, ())) == 0
    assert capsys.readouterr().out == EVENT + "\n"


def test_notices(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """What becomes of the connection is a line between the events, or an object."""
    admin = _says(monkeypatch, Notice("connected again"))
    events(admin, Given({}, ()))
    text = capsys.readouterr().out
    assert re.fullmatch(r"-- \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  connected again\n", text)
    events(admin, Given({"json": [""]}, ()))
    assert json.loads(capsys.readouterr().out) == {"reason": "connected again"}


@pytest.mark.parametrize("data", ["", "[]", "{}", '{"time": "x", "query": ""}', "1"])
def test_another_program(monkeypatch: pytest.MonkeyPatch, data: str) -> None:
    """What is no event of a gateway is an error."""
    with pytest.raises(CannotAsk, match="9200: the answer is no event of lbconsul"):
        events(_says(monkeypatch, Message(data)), Given({}, ()))
