"""The connection to the gateway, as it is told."""

from typing import Any

from lbconsul.top.link import Link
from tests.support.statuses import document


def _link(**gateway: Any) -> tuple[Link, Any]:
    found = document()
    found["gateway"] |= gateway
    return Link("9200", 10.0).answered(found, 10.0), found


def _texts(link: Link, now: float) -> list[str]:
    return [each.text for each in link.lines(now)]


def test_well() -> None:
    """Nothing is said while answers come."""
    link, found = _link()
    assert _texts(link, 13.0) == []
    assert _texts(link.answered(found, 14.0), 14.5) == []


def test_old() -> None:
    """Where no answer comes for long, the age of what is shown is said."""
    link, _ = _link()
    assert _texts(link, 17.5) == ["what follows is 7.5 s old"]


def test_lost_and_back() -> None:
    """An outage is told with its length and its cause, and its end for a minute."""
    link, found = _link()
    link = link.failed("Connection refused", 12.0).failed("Connection refused", 20.0)
    assert _texts(link, 32.0) == [
        "no connection for 20 s: Connection refused",
        "what follows is 22 s old; asking again",
    ]
    link = link.answered(found, 33.0)
    assert _texts(link, 34.0) == ["the gateway answers again after 21 s, 1 s ago"]
    assert _texts(link.answered(found, 94.0), 94.0) == []


def test_another() -> None:
    """A restart and a takeover are told, with or without an outage."""
    link, found = _link(pid=7, version="0.1")
    found["gateway"] |= {"pid": 8, "version": "0.2"}
    link = link.answered(found, 11.0)
    told = (
        "another gateway answers now, process 8, lbconsul 0.2: restarted, or taken over"
    )
    assert _texts(link, 13.0) == [f"{told}, 2 s ago"]
    found["gateway"]["started"] += 1
    link = link.failed("x", 14.0).answered(found, 15.0)
    assert _texts(link, 15.0) == [f"{told}, 0 ms ago"]
