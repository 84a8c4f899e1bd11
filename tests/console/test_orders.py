"""``lbconsul drain``, ``undrain`` and ``eject``."""

from typing import Any

import pytest

from lbconsul.admin.client import Admin, CannotAsk
from lbconsul.console.orders import drain, eject, names, undrain
from lbconsul.usage.words import Given

Capture = pytest.CaptureFixture[str]


def _row(datacenter: str, node: str, service_id: str) -> dict[str, str]:
    upstream = f"{datacenter}/{node}/{service_id.replace('/', '%2F')}"
    return {"id": upstream, "node": node, "service_id": service_id}


STATUS: dict[str, Any] = {
    "mappings": [
        {
            "pools": [
                {"upstreams": [_row("dc1", "n1", "web-1"), _row("dc1", "n1", "a/b")]},
                {"upstreams": [_row("dc2", "n1", "web-1"), _row("dc1", "n2", "web-1")]},
            ]
        },
        {"pools": [{"upstreams": [_row("dc1", "n2", "web-1")]}]},
    ],
    "drained": [_row("dc1", "n3", "gone")],
}


class Told:
    """What a gateway is asked and told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.orders: list[tuple[str, str]] = []
        monkeypatch.setattr(Admin, "status", lambda _: self._status())
        monkeypatch.setattr(Admin, "order", lambda _, *said: self._order(*said))
        monkeypatch.setattr(
            Admin, "drain_gateway", lambda _: self.orders.append(("drain", ""))
        )

    def _status(self) -> dict[str, Any]:
        self.asked += 1
        return STATUS

    def _order(self, verb: str, upstream: str) -> dict[str, Any]:
        self.orders.append((verb, upstream))
        return {"done": verb, "lasts": "until it ends"} if verb == "drain" else {}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    return Told(monkeypatch)


def _given(*words: str) -> Given:
    return Given({}, words)


def test_by_name(told: Told, capsys: Capture) -> None:
    """Instances are given as status shows them, even those that are gone."""
    words = _given("web-1@n2", "a/b@n1", "gone@n3")
    assert undrain(Admin("9"), words) == 0
    found = ["dc1/n2/web-1", "dc1/n1/a%2Fb", "dc1/n3/gone"]
    assert told.orders == [("undrain", each) for each in found]
    assert told.asked == 1
    assert capsys.readouterr().out.splitlines() == [
        f"undrained {each}" for each in found
    ]


def test_by_id(told: Told, capsys: Capture) -> None:
    """Ids are taken as they are; the answer says how long a drain lasts."""
    assert drain(Admin("9"), _given("dc1/n1/a%2Fb")) == 0
    assert (told.orders, told.asked) == ([("drain", "dc1/n1/a%2Fb")], 0)
    assert capsys.readouterr().out == "drained dc1/n1/a%2Fb, until it ends\n"


def test_the_gateway(told: Told, capsys: Capture) -> None:
    """The gateway itself is drained only where it is asked for."""
    assert drain(Admin("9"), Given({"gateway": [""]}, ())) == 0
    assert told.orders == [("drain", "")]
    assert "ends when no connection is left" in capsys.readouterr().out


def test_several_datacenters(told: Told) -> None:
    """A name that stands for two instances is an error, with both ids."""
    with pytest.raises(CannotAsk, match=r"give dc1/n1/web-1 or dc2/n1/web-1$"):
        eject(Admin("9"), _given("web-1@n1"))
    assert told.orders == []


def test_all_or_none(told: Told) -> None:
    """With one unknown name among them nothing is done."""
    with pytest.raises(CannotAsk, match=r"^9: no instance web-1: give SERVICE-ID@NODE"):
        eject(Admin("9"), _given("web-1@n2", "web-1"))
    assert told.orders == []


def test_another_program() -> None:
    """An answer that is no status is an error."""
    with pytest.raises(CannotAsk):
        names({"mappings": [{}]})
