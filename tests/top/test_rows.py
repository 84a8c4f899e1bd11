"""The rows of the table, and their order."""

from typing import Any

import pytest

from lbconsul.balance.standing import Standing
from lbconsul.top.figures import Counts, Figures, Latency
from lbconsul.top.lines import BAD, FAINT, HEAD, WARN
from lbconsul.top.problems import problems
from lbconsul.top.rows import SORTS, Arrangement, Row, rows
from tests.support.statuses import document, upstream


def _rows(found: Any, **fields: Any) -> list[Row]:
    figures = Figures(found)
    return rows(figures, problems(figures), Arrangement(**fields))


def _names(some: list[Row]) -> list[str]:
    return [each.name for each in some]


def _named(some: list[Row], name: str) -> Row:
    return next(each for each in some if each.name.strip() == name)


def test_tree() -> None:
    """Each mapping has its instances below it; where it has several pools, by pool."""
    some = _rows(document(10))
    assert [(each.kind, each.name) for each in some] == [
        ("mapping", "80:web"),
        ("upstream", "  web-0@node-00"),
        ("upstream", "  web-1@node-01"),
        ("upstream", "  web-2@node-02"),
        ("upstream", "  web-3@node-03"),
        ("upstream", "  web-4@node-04"),
        ("upstream", "  web-5@node-05"),
        ("mapping", "8080:api,dc=dc1|dc2"),
        ("pool", "  api,dc=dc1"),
        ("upstream", "  api-0@node-00"),
        ("upstream", "  api-1@node-01"),
        ("pool", "  api,dc=dc2"),
        ("upstream", "  api-0@node-00"),
        ("mapping", "unix:/run/graphite.sock:graphite"),
        ("upstream", "  graphite-0@node-00"),
    ]
    web, first, *_ = some
    assert (web.standing, web.reason, web.mark, web.tone) == (
        "6/6 up", "leastconn", " ", HEAD,
    )  # fmt: skip
    assert (first.standing, first.reason, first.mark) == ("serving", "passing", "+")
    assert (web.upstream, first.upstream) == ("", "dc1/node-00/web-0")
    assert [each.reason for each in some if each.kind == "pool"] == ["", "not used now"]


def test_problems_first() -> None:
    """Mappings with problems come first, and in each the instances that have some."""
    found = document(12)
    upstream(found, 1, mapping=2 - 1, standing="ejected", reason="refused")
    upstream(found, 2, standing="draining", reason="weight 0")
    upstream(found, 3, standing="warming")
    upstream(found, 4, standing="odd")
    names = _names(_rows(found))
    assert [each for each in names if each[0] != " "] == [
        "8080:api,dc=dc1|dc2", "80:web", "unix:/run/graphite.sock:graphite",
    ]  # fmt: skip
    assert names[2:4] == ["  api-1@node-01", "  api-0@node-00"]
    web = names[names.index("80:web") + 1 :]
    assert [each.strip()[:5] for each in web[:4]] == [
        "web-4",
        "web-2",
        "web-3",
        "web-0",
    ]


def test_marks() -> None:
    """Each standing has a mark of its own."""
    found, marks = document(12), set()
    for each in (*Standing, "odd"):
        upstream(found, standing=getattr(each, "value", each))
        marks.add(_named(_rows(found), "web-0@node-00").mark)
    assert len(marks) == len(Standing) + 1


def test_nothing_there() -> None:
    """A mapping without upstreams is marked, and says why."""
    found = document(10)
    web = found["mappings"][0]
    web["pools"][0]["upstreams"].clear()
    web["empty"] = "Consul knows no instance of web"
    row, note, *_ = _rows(found)
    assert (row.mark, row.standing, row.tone) == ("!", "0/0 up", BAD)
    assert (note.kind, note.name, note.tone) == ("note", "  no upstreams", BAD)
    assert note.reason == "Consul knows no instance of web"
    assert note.upstream == ""
    web["listening"] = False
    assert _rows(found)[0].reason == "does not listen"


def test_empty_fallback() -> None:
    """A pool without upstreams is no alarm where another one has some."""
    found = document(10)
    found["mappings"][1]["pools"][1]["upstreams"].clear()
    note = _named(_rows(found), "no upstreams")
    assert (note.tone, note.reason) == (FAINT, "Consul knows no instance")
    assert _named(_rows(found), "8080:api,dc=dc1|dc2").mark == " "


def test_routes() -> None:
    """A mapping that has only routes has no upstreams to be up."""
    found = document(10)
    found["mappings"][0] |= {"service": "", "pools": []}
    row, below, *_ = _rows(found)
    assert (row.standing, row.mark, below.kind) == ("routes", " ", "mapping")


def test_gone() -> None:
    """What is drained by hand and not in Consul comes last: it can be undrained."""
    found = document(10)
    row = {"id": "dc1/n/x", "datacenter": "dc1", "node": "n", "service_id": "x"}
    found["drained"] = [{**row, "registered": True}, {**row, "registered": False}]
    *_, last = some = _rows(found)
    assert len(some) == len(_rows(document(10))) + 1
    assert (last.kind, last.name, last.upstream) == ("gone", "x@n", "dc1/n/x")
    assert last not in _rows(found, filter="web")
    assert last in _rows(found, filter="X@N")


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("", 15),
        ("web-1", ["80:web", "  web-1@node-01"]),
        ("WEB 10.0.0.2", ["80:web", "  web-2@node-02"]),
        (":80 web", ["80:web", *(f"  web-{n}@node-0{n}" for n in range(6))]),
        ("v1 graphite", ["unix:/run/graphite.sock:graphite", "  graphite-0@node-00"]),
        ("dc=dc2", 3),
        ("@node-02", ["80:web", "  web-2@node-02"]),
        ("nothing", []),
        ("ejected", []),
    ],
)
def test_filter(words: str, names: list[str] | int) -> None:
    """Rows with all words are shown, and mappings with all their instances."""
    found = _names(_rows(document(10), filter=words))
    assert (len(found) if isinstance(names, int) else found) == names


def test_folded() -> None:
    """The instances of a folded mapping are hidden."""
    fold = Arrangement().fold("80:web")
    assert _names(_rows(document(10), folded=fold.folded))[:2] == [
        "80:web", "8080:api,dc=dc1|dc2",
    ]  # fmt: skip
    assert fold.fold("80:web") == Arrangement()


def test_sorts() -> None:
    """Each key for sorting puts the most first; the next one follows in turn."""
    found = document(10, http=True)
    busy = upstream(found, 2, open=10_000)
    web = found["mappings"][0]
    web["open"] = 1
    found["mappings"][2]["open"] = 9
    key = ("80:web", "web,dc=dc1", busy["id"])
    rates = {key: Counts(9, 9, 9, 9, 9, 9)}
    busy["first_byte_p99"] = 9.0
    figures = Figures(found, 1, rates)
    for sort in SORTS:
        some = rows(figures, [], Arrangement(sort))
        below = some[some.index(_named(some, "80:web")) + 1]
        expected = "web-0" if sort in ("problems", "name") else "web-2"
        assert below.name.strip().startswith(expected), sort
    some = rows(figures, [], Arrangement("open"))
    assert [each.name[:4] for each in some if each.kind == "mapping"] == [
        "8080", "unix", "80:w",
    ]  # fmt: skip
    sorts, now = [], Arrangement()
    for _ in SORTS:
        sorts.append(now.sort)
        now = now.next_sort()
    assert sorts == list(SORTS)
    assert now == Arrangement()


def test_latencies() -> None:
    """A mapping has the latencies of the last seconds, an instance what it has."""
    found = document(10, http=True)
    latency = Latency(0.1, 0.2)
    figures = Figures(
        found, 1, connect={"80:web": Latency(0.3, 0.4)}, first_byte={"80:web": latency}
    )
    web, first, *_ = rows(figures, [], Arrangement())
    assert (web.connect, web.p50, web.p99) == (0.3, 0.1, 0.2)
    assert (first.connect, first.p50, first.p99) == (0.0004, 0.004, 0.03)
    api = rows(figures, [], Arrangement(filter="api"))[0]
    assert (api.connect, api.p50, api.p99) == (None, None, None)


def test_marks_of_what_is_served_in_need() -> None:
    """What fails open has a mark of its own; a closed route is told from others."""
    found = document()
    upstream(found, check={"state": "failing"})
    found["mappings"][2] |= {"service": "", "empty": "closed", "pools": []}
    some = _rows(found)
    first = _named(some, "web-0@node-00")
    assert (first.standing, first.mark, first.tone) == ("serving", "!", WARN)
    closed = _named(some, "unix:/run/graphite.sock:graphite")
    assert (closed.standing, closed.mark, closed.tone) == ("closed", "!", BAD)
    found["mappings"][2]["empty"] = ""
    closed = _named(_rows(found), "unix:/run/graphite.sock:graphite")
    assert (closed.standing, closed.mark) == ("routes", " ")
