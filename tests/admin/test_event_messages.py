"""The stream of events, as its client reads it."""

import pytest

from lbconsul.admin.event_messages import LONGEST, Message, event_line, messages


def _of(text: str) -> list[Message]:
    return list(messages(text.encode().splitlines(keepends=True)))


def test_events() -> None:
    """Events have data, and may have an id and a kind; comments are skipped."""
    assert _of(
        "id: 17-1\ndata: {}\n\n: still here\n\nevent: reset\ndata:a\r\ndata: b\r\n\r\n"
        "retry: 5\n\ndata: unfinished\n"
    ) == [Message("{}", id="17-1"), Message("a\nb", "reset")]


def test_too_long() -> None:
    """An endless line is an error, and so is one that is no text."""
    with pytest.raises(ValueError, match="longer than"):
        list(messages([b"a" * (LONGEST + 1)]))
    with pytest.raises(ValueError, match="utf-8"):
        list(messages([b"data: \xff\n"]))


def test_line() -> None:
    """An event of a mapping names it, one of the gateway nothing."""
    event: dict[str, object] = {
        "time": 0.0, "query": "", "mapping": "80:web", "text": "no instance",
    }  # fmt: skip
    assert event_line(event).endswith("  80:web: no instance")
    assert event_line({**event, "mapping": ""}).endswith("00  no instance")
