"""What has changed from one look to the next."""

import json
from typing import Any

from attrs import evolve

from lbconsul.admin.status_diff import StatusSnapshot
from tests.support.fake_source import FakeSource, fake_source, unhappy, upstream


def _look(source: FakeSource) -> StatusSnapshot:
    look = StatusSnapshot()
    for _ in look.take(source):
        pass
    return look


def _delta(now: StatusSnapshot, before: StatusSnapshot | None = None) -> list[Any]:
    return [json.loads(each) for each in now.delta(before or StatusSnapshot()) if each]


def _source(upstreams: int = 12) -> FakeSource:
    return fake_source(lambda: 1_760_000_000.0, upstreams)


def test_a_first_look() -> None:
    """A reader that knows nothing gets everything but what never changes."""
    source = _source()
    head, rows = _delta(_look(source))
    assert head["gateway"]["state"] == "serving"
    assert "options" not in head["gateway"]
    assert [each["query"] for each in head["watches"]] == [
        each.query for each in source.watch_list
    ]
    assert head["mappings"][0]["name"] == "80:web"
    assert "connect_time" not in head["mappings"][0]
    assert len(rows["upstreams"]) == 12
    assert rows["upstreams"][0]["address"] == "10.0.0.0:8080"


def test_many_mappings() -> None:
    """Of very many mappings and watches the first event tells some, others the rest."""
    source = _source()
    watch, mapping = source.watch_list[0], source.mapping_list[0]
    source.watch_list = [evolve(watch, query=str(each)) for each in range(200)]
    source.mapping_list = [
        evolve(mapping, name=f"{each}:web", pools=()) for each in range(300)
    ]
    look = _look(source)
    told = _delta(look)
    watches = [row["query"] for each in told for row in each.get("watches", [])]
    assert watches == [each.query for each in source.watch_list]
    mappings = [row["name"] for each in told for row in each.get("mappings", [])]
    assert mappings == [each.name for each in source.mapping_list]
    assert max(len(each.get("mappings", [])) for each in told) == 48
    source.mapping_list[299] = evolve(source.mapping_list[299], accepted=9)
    _, late = _delta(_look(source), look)
    assert late == {"mappings": [{"name": "299:web", "accepted": 9}]}


def test_nothing_new() -> None:
    """Without a change nothing is sent."""
    look = _look(_source())
    assert _delta(look, look) == [{"gateway": {}, "watches": [], "mappings": []}]


def test_what_changed() -> None:
    """Only figures that changed are sent, with the id of their owner."""
    source = _source()
    before = _look(source)
    source.gateway_status = evolve(source.gateway_status, open=61)
    first, *others = source.mapping_list
    source.mapping_list = [evolve(first, accepted=9), *others]
    watch, *rest = source.watch_list
    source.watch_list = [evolve(watch, age=7.5), *rest]
    source.alter("80:web", 0, "dc1/node-01/web-1", open=77, reason="why")
    head, rows = _delta(_look(source), before)
    assert head == {
        "gateway": {"open": 61},
        "watches": [{"query": "web,dc=dc1", "age": 7.5}],
        "mappings": [{"name": "80:web", "accepted": 9}],
    }
    place = {"mapping": "80:web", "query": "web,dc=dc1", "id": "dc1/node-01/web-1"}
    assert rows == {"upstreams": [{**place, "reason": "why", "open": 77}]}


def test_unhappy_requests() -> None:
    """Of requests that went wrong the newest five are told, as soon as one is new."""
    source = _source()
    source.speak_http()
    mapping, *others = source.mapping_list
    before = _look(source)
    many = tuple(unhappy(path=f"/{number}") for number in range(50))
    source.mapping_list = [evolve(mapping, unhappy=many), *others]
    [told] = _delta(_look(source), before)
    [row] = told["mappings"]
    assert row.keys() == {"name", "unhappy"}
    assert [each["path"] for each in row["unhappy"]] == ["/0", "/1", "/2", "/3", "/4"]


def test_coming_and_going() -> None:
    """An upstream that joined is sent whole; one that left, by its id."""
    source = _source()
    before = _look(source)
    source.add("80:web", 0, upstream(99))
    del source.pools["80:web", 0]["dc1/node-01/web-1"]
    _, joined, left = _delta(_look(source), before)
    [row] = joined["upstreams"]
    assert row["id"] == "dc1/node-19/web-99"
    assert row["address"] == "10.0.0.99:8080"
    place = {"mapping": "80:web", "query": "web,dc=dc1", "id": "dc1/node-01/web-1"}
    assert left == {"gone": [place]}


def test_other_pools() -> None:
    """Other mappings, pools or watches are another picture; other figures are not."""
    source = _source()
    before = _look(source)
    source.alter("80:web", 0, "dc1/node-01/web-1", open=77)
    assert _look(source).is_like(before)
    mappings, watches = source.mapping_list, source.watch_list
    source.mapping_list = mappings[1:]
    assert not _look(source).is_like(before)
    source.mapping_list, source.watch_list = mappings, watches[1:]
    assert not _look(source).is_like(before)


def test_no_document_is_long() -> None:
    """However many upstreams there are, the documents have a bounded length."""
    source = _source(2000)
    documents = list(_look(source).delta(StatusSnapshot()))
    assert max(map(len, documents)) < 1 << 15
    told = [json.loads(each) for each in documents if each]
    assert sum(len(each.get("upstreams", ())) for each in told) == 2000
