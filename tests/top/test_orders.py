"""Which orders can be given."""

from typing import Any

import pytest

from lbconsul.top.figures import Figures
from lbconsul.top.orders import Question, done, question
from lbconsul.top.rows import Arrangement, Row, rows
from tests.support.statuses import document


def _row(number: int, found: Any) -> Row:
    return rows(Figures(found), [], Arrangement())[number]


@pytest.fixture
def found() -> Any:
    found = document()
    found["gateway"]["changes"] = "need a token"
    row = {"id": "dc1/n/x", "datacenter": "dc1", "node": "n", "service_id": "x"}
    found["drained"] = [{**row, "registered": False}]
    return found


def test_question(found: Any) -> None:
    """It is asked with what comes of it."""
    row = _row(1, found)
    row.source["open"] = 1
    asked = question("drain", row, found, has_token=True)
    assert asked == Question(
        "drain",
        "dc1/node-00/web-0",
        (
            "drain web-0@node-00?",
            "It gets no new connection, in all mappings; 1 connection may go on.",
        ),
    )
    assert isinstance(question("eject", row, found, has_token=True), Question)
    gone = question("undrain", _row(-1, found), found, has_token=True)
    assert isinstance(gone, Question)
    assert gone.upstream == "dc1/n/x"


@pytest.mark.parametrize("number", [0, None])
def test_no_instance(found: Any, number: int | None) -> None:
    """Only instances take orders."""
    row = None if number is None else _row(number, found)
    text = "drain: choose an instance first"
    assert question("drain", row, found, has_token=True) == text


def test_not_allowed(found: Any) -> None:
    """Why an order cannot be given, and what would be right."""
    assert question("drain", _row(1, found), found, has_token=False) == (
        "drain: needs the gateway's token: start top with --admin-token-file or"
        " LBCONSUL_ADMIN_TOKEN"
    )
    assert question("eject", _row(-1, found), found, has_token=True) == (
        "eject: x@n is not in Consul"
    )
    found["gateway"]["changes"] = "off"
    assert question("drain", _row(1, found), found, has_token=True) == (
        "drain: the gateway takes no orders: it has no --admin-token-file"
    )


def test_done() -> None:
    """What was done is told, with for how long."""
    asked = Question("drain", "dc1/n/a", ())
    assert done(asked, "until it is undrained") == (
        "drained dc1/n/a, until it is undrained"
    )
    assert done(asked, "") == "drained dc1/n/a"
