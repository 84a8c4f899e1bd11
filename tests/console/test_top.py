"""``lbconsul top`` before it has the terminal."""

import sys
from typing import Any

import pytest

from lbconsul.admin.client import Admin, CannotAsk
from lbconsul.console import top as command
from lbconsul.console.top import top
from lbconsul.errors import ConfigError
from lbconsul.usage.words import Given
from tests.support.statuses import document

NOTHING = Given({}, ())


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that can do everything."""
    monkeypatch.setattr(command, "is_terminal", lambda: True)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def _answers(monkeypatch: pytest.MonkeyPatch, status: Any) -> Admin:
    monkeypatch.setattr(Admin, "status", lambda _: status)
    return Admin("9200")


@pytest.mark.usefixtures("on_a_terminal")
@pytest.mark.parametrize("missing", ["textual", "rich"])
def test_not_installed(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Without Textual one line says how to install it."""
    for name in [each for each in sys.modules if each.startswith("lbconsul.top.")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [each for each in sys.modules if each.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError) as caught:
        top(_answers(monkeypatch, document()), NOTHING)
    assert str(caught.value) == "top: needs Textual: pip install 'lbconsul[tui]'"


@pytest.mark.usefixtures("on_a_terminal")
def test_another_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no status of lbconsul is one line."""
    with pytest.raises(CannotAsk, match="9200: the answer is not a status of lbconsul"):
        top(_answers(monkeypatch, {"gateway": []}), NOTHING)


def test_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs a terminal to read from and to write to."""
    with pytest.raises(ConfigError, match="top: needs a terminal; status prints"):
        top(_answers(monkeypatch, document()), NOTHING)
    monkeypatch.setattr(command, "is_terminal", lambda: True)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    with pytest.raises(ConfigError, match="top: needs a terminal"):
        top(_answers(monkeypatch, document()), NOTHING)
