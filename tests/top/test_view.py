"""What a terminal shows, as the operator has arranged it."""

from typing import Any

import pytest

from lbconsul.top.lines import BAD, line
from lbconsul.top.orders import Question
from lbconsul.top.view import View
from tests.support.statuses import NOW, document, upstream


@pytest.fixture
def found() -> Any:
    found = document(10)
    found["gateway"]["changes"] = "need a token"
    return found


def _view(found: Any, *, has_token: bool = True) -> View:
    return View.of("9200", found, 0.0, has_token=has_token)


def _chosen(view: View) -> str:
    assert view.chosen is not None
    return view.chosen.name.strip()


def test_cursor(found: Any) -> None:
    """The cursor stays within the rows."""
    view = _view(found)
    assert _chosen(view) == "80:web"
    view.move(-1)
    view.move(2)
    assert _chosen(view) == "web-1@node-01"
    view.move(1000)
    assert _chosen(view) == "graphite-0@node-00"


def test_stays(found: Any) -> None:
    """The cursor stays with its instance, wherever that goes."""
    view = _view(found)
    view.move(4)
    assert _chosen(view) == "web-3@node-03"
    upstream(found, 3, standing="ejected", reason="x")
    view.answered(found, 1.0)
    assert (_chosen(view), view.cursor) == ("web-3@node-03", 1)
    found["mappings"][0]["pools"][0]["upstreams"].pop(3)
    view.answered(found, 2.0)
    assert view.cursor == 1


def test_top(found: Any) -> None:
    """At the first row the cursor stays there: what is worst comes into sight."""
    view = _view(found)
    upstream(found, mapping=2, standing="ejected", reason="x")
    view.answered(found, 1.0)
    assert _chosen(view).startswith("unix:")


def test_sort_and_fold(found: Any) -> None:
    """Sorting begins at the top; folding hides the chosen mapping's instances."""
    view = _view(found)
    view.move(3)
    view.sort()
    assert (view.arrangement.sort, view.cursor) == ("name", 0)
    view.move(2)
    view.fold()
    assert (_chosen(view), view.rows[1].kind) == ("8080:api,dc=dc1|dc2", "mapping")
    view.fold()
    assert view.rows[1].kind == "pool"
    found["mappings"] = []
    row = {"id": "dc1/n/x", "datacenter": "dc1", "node": "n", "service_id": "x"}
    found["drained"] = [{**row, "registered": False}]
    view.answered(found, 1.0)
    view.fold()
    assert _chosen(view) == "x@n"


def test_filter(found: Any) -> None:
    """A filter that nothing has is told, and the keys do nothing."""
    view = _view(found)
    view.arrange(filter="web-2")
    view.move(1)
    assert (
        view.note(80).text
        == "2 of 2 rows by problems, only 'web-2'  web-2@node-02: passing"
    )
    view.arrange(filter="nothing")
    assert view.chosen is None
    assert view.note(80).text == "no row has 'nothing'"
    view.move(1)
    view.fold()
    assert view.question("drain") == "drain: choose an instance first"
    view.arrange(filter="")
    assert view.chosen is not None


def test_no_mappings(found: Any) -> None:
    """A gateway without mappings is told."""
    found["mappings"] = []
    assert _view(found).note(80).text == "no mappings"


@pytest.mark.parametrize("width", [30, 80])
def test_note(found: Any, width: int) -> None:
    """The chosen row's reason is below the table, as far as it has room."""
    upstream(found, standing="ejected", reason="a long reason " * 9)
    view = _view(found)
    view.move(1)
    assert len(view.note(width).text) <= width
    assert view.note(999).text.endswith("web-0@node-00: " + "a long reason " * 9)


def test_lost(found: Any) -> None:
    """What was known stays, with its age, while the gateway does not answer."""
    view = _view(found)
    view.failed("refused", 5.0)
    texts = [each.text for each in view.summary(9.0, 80, 24)]
    assert texts[1:3] == [
        "no connection for 4 s: refused",
        "what follows is 9 s old; asking again",
    ]
    assert len(view.rows) == 15
    view.answered(found, 10.0)
    assert "answers again" in view.summary(10.0, 80, 24)[1].text


@pytest.mark.parametrize(
    "odd", [{}, {"gateway": []}, {"gateway": {"started": "x", "pid": 1}}]
)
def test_odd_answer(found: Any, odd: Any) -> None:
    """An answer that is no status is told, and what was known stays."""
    view = _view(found)
    view.answered(odd, 1.0)
    assert "the answer is not a status" in view.summary(1.0, 80, 24)[1].text
    found["mappings"][0]["pools"][0]["upstreams"][0] = {"id": "x"}
    view.answered(found, 2.0)
    assert len(view.rows) == 15
    with pytest.raises(KeyError):
        View.of("9200", {}, 0.0, has_token=False)


def test_details(found: Any) -> None:
    """Details are of a row, with what is said of the connection."""
    view = _view(found)
    view.failed("refused", 1.0)
    texts = [each.text for each in view.details(("80:web", "", ""), 1.0, 80)]
    assert texts[0].startswith("no connection")
    assert "mapping           80:web" in texts
    found["mappings"][0].pop("policy")
    texts = [each.text for each in view.details(("80:web", "", ""), 1.0, 80)]
    assert texts[-1] == "the gateway says nothing of it that can be shown"


def test_orders(found: Any) -> None:
    """An order is asked for before it is given, and needs the token."""
    view = _view(found)
    view.move(1)
    asked = view.question("drain")
    assert isinstance(asked, Question)
    assert asked.upstream == "dc1/node-00/web-0"
    without = _view(found, has_token=False)
    without.move(1)
    assert "needs the gateway's token" in str(without.question("drain"))


def test_events(found: Any) -> None:
    """The last thousand events are kept, each broken where it is too wide."""
    view = _view(found)
    for number in range(1001):
        view.happened(line((f"event {number} happened", BAD)))
    lines = view.happenings(14)
    assert [each.text for each in lines[:2]] == ["event 1", "    happened"]
    assert {each.spans[0][1] for each in lines} == {BAD}
    assert len(lines) == 2000


def test_table(found: Any) -> None:
    """The table is laid out for the terminal, with the gateway's time."""
    view = _view(found)
    assert view.gateway_now == NOW
    assert len(view.layout(80).head.text) == 80
