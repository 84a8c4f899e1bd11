"""The terminal of a command."""

import pytest

from lbconsul.console import terminal


def test_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """$COLUMNS says how wide it is."""
    monkeypatch.setenv("COLUMNS", "123")
    assert terminal.width() == 123


def test_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are colours on a terminal that has some, unless NO_COLOR is set."""
    monkeypatch.setenv("TERM", "xterm")
    assert not terminal.has_colours()
    monkeypatch.setattr(terminal, "is_terminal", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert terminal.has_colours()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not terminal.has_colours()
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not terminal.has_colours()
