"""``lbconsul status``."""

import json
from typing import Any

import pytest

from lbconsul.admin.client import Admin, CannotAsk
from lbconsul.console.status import status
from lbconsul.usage.words import Given

Capture = pytest.CaptureFixture[str]

GATEWAY = {
    "version": "1", "state": "serving", "ready": True, "now": 2.0, "started": 1.0,
    "open": 0, "accepted": 0, "reactor_lag": 0.0, "not_ready": [], "workers": [],
}  # fmt: skip
STATUS: dict[str, Any] = {"gateway": GATEWAY, "watches": [], "mappings": []}


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Admin:
    monkeypatch.setattr(Admin, "status", lambda _: STATUS)
    return Admin("9200")


def _given(*switches: str) -> Given:
    return Given({each: [""] for each in switches}, ())


def test_watching(admin: Admin, capsys: Capture) -> None:
    """--watch shows the status until it is interrupted."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        status(admin, _given("watch"), sleep)
    assert slept == [2.0] * 3
    assert capsys.readouterr().out.count("lbconsul 1 serving") == 3


def test_json(admin: Admin, capsys: Capture) -> None:
    """--json is the gateway's own document."""
    assert status(admin, _given("json")) == 0
    assert json.loads(capsys.readouterr().out) == STATUS


def test_another_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is no status is an error."""
    monkeypatch.setattr(Admin, "status", lambda _: {"gateway": []})
    for given in (_given(), _given("json")):
        with pytest.raises(CannotAsk, match="9200: the answer is not a status"):
            status(Admin("9200"), given)
