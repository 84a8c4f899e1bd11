"""All there is to be shown, as Prometheus reads it."""

import re
import subprocess
from collections import Counter

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from lbconsul.admin.metrics import CONTENT_TYPE, metrics
from lbconsul.admin.status_model import PoolStatus
from lbconsul.admin.tag_routes import TagMappingStatus, TagRoutesSource
from tests.support.admin_client import Site
from tests.support.fake_source import STATES, FakeSource, fake_source, upstream
from tests.support.needed import needed


def _source(upstreams: int = 12, state: str = "ok") -> FakeSource:
    return fake_source(lambda: 1_760_000_000.0, upstreams, state)


def _text(source: FakeSource) -> str:
    return b"".join(metrics(source, {("status", 200): 7})).decode()


def _told(source: FakeSource, name: str) -> dict[tuple[str, ...], float]:
    """The samples of a name, by the values of their labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(_text(source))
        for sample in family.samples
        if sample.name == name
    }


@pytest.mark.process
@pytest.mark.parametrize("state", STATES)
def test_promtool(state: str) -> None:
    """Prometheus' own tool has nothing to say against it."""
    source = _source(300, state)
    source.speak_http()
    checked = subprocess.run(
        [needed("promtool", "prometheus"), "check", "metrics"],
        input=_text(source),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_each_family_is_told_once() -> None:
    """However many pieces it is in: one HELP, one TYPE, all samples behind them."""
    names = re.findall(r"^# TYPE (\S+)", _text(_source(1000)), re.MULTILINE)
    assert max(Counter(names).values()) == 1
    blocks = re.findall(r"^(?!#)(\w+)", _text(_source(1000)), re.MULTILINE)
    runs = [
        name
        for name, before in zip(blocks, ["", *blocks], strict=False)
        if name != before
    ]
    upstreams = [each for each in runs if each.startswith("lbconsul_upstream_")]
    assert max(Counter(upstreams).values()) == 1


def test_many_mappings() -> None:
    """Many upstreams are rendered in batches; each family has one head."""
    source = _source()
    mapping, watch = source.mapping_list[0], source.watch_list[0]
    source.mapping_list = [
        evolve(mapping, name=f"{each}:web", accepted=each) for each in range(100)
    ]
    source.watch_list = [
        evolve(watch, query=str(each), answers=each) for each in range(100)
    ]
    parts = list(metrics(source, {}))
    assert max(part.count(b"\n") for part in parts) < 1000
    text = b"".join(parts).decode()
    heads = Counter(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    assert set(heads.values()) == {1}
    accepted = _told(source, "lbconsul_connections_accepted_total")
    assert list(accepted.values()) == list(range(100))
    answers = _told(source, "lbconsul_watch_answers_total")
    assert list(answers.values()) == list(range(100))
    assert len(_told(source, "lbconsul_connect_seconds_count")) == 100


def test_tags() -> None:
    """Mappings of tags tell how many routes they have, and how many are wrong."""
    source = _source()
    assert "lbconsul_tag_" not in _text(source)
    good = TagMappingStatus("80:@tags", "80", "urlprefix-", True, 2, 0)
    bad = evolve(good, name="81:@tags", complete=False, problems=3, error="403")
    source.tags = TagRoutesSource(lambda: iter([good, bad]))
    for name, values in (
        ("routes", [2, 2]),
        ("problems", [0, 3]),
        ("complete", [1, 0]),
        ("list_failing", [0, 1]),
    ):
        told = _told(source, f"lbconsul_tag_{name}")
        assert told == {("80:@tags",): values[0], ("81:@tags",): values[1]}


def test_upstreams() -> None:
    """Each upstream's figures, under its mapping, its service and its id."""
    source = _source(200)
    each = source.pools["80:web", 0]["dc1/node-01/web-1"]
    labels = ("80:web", "web", each.id)
    for name, value in (
        ("connections_open", each.open),
        ("connections_total", each.total),
        ("weight", each.weight),
        ("effective_weight", each.effective_weight),
        ("received_bytes_total", each.bytes_received),
        ("sent_bytes_total", each.bytes_sent),
        ("connect_failures_total", each.connect_failures),
        ("connect_time_seconds", each.connect_time),
    ):
        told = _told(source, f"lbconsul_upstream_{name}")
        assert len(told) == 200
        assert told[labels] == value
    standings = _told(source, "lbconsul_upstream_standing")
    assert len(standings) == 200
    assert set(standings.values()) == {1}


def test_requests_to_upstreams() -> None:
    """Requests count by class, and there are quantiles of the latest times."""
    source = _source(200)
    assert "upstream_requests_total" not in _text(source)
    source.speak_http()
    labels = ("80:web", "web", "dc1/node-01/web-1")
    told = _told(source, "lbconsul_upstream_requests_total")
    assert told[*labels, "2xx"] == 100
    assert told[*labels, "5xx"] == 2
    assert (*labels, "4xx") not in told
    assert _told(source, "lbconsul_upstream_first_byte_p50_seconds")[labels] == 0.002
    assert _told(source, "lbconsul_upstream_first_byte_p99_seconds")[labels] == 0.05
    assert {each[0] for each in told} == {"80:web"}
    del source.pools["80:web", 0]["dc1/node-01/web-1"]
    assert (*labels, "2xx") not in _told(source, "lbconsul_upstream_requests_total")


def test_nothing_of_a_request_is_a_label() -> None:
    """Neither hosts nor paths make series: clients could make any number of them."""
    source = _source()
    assert "lbconsul_request" not in _text(source)
    source.speak_http()
    text = _text(source)
    assert 'lbconsul_requests_total{class="2xx",mapping="80:web"' in text
    assert "basket" not in text
    assert "www.example.com" not in text


def test_who_is_gone() -> None:
    """The series of an upstream that left are gone, too."""
    source = _source(200)
    del source.pools["80:web", 0]["dc1/node-01/web-1"]
    assert "dc1/node-01/web-1" not in _text(source)


def test_times_that_are_not_known() -> None:
    """A time that was never measured has no sample."""
    source = _source(0, "empty")
    source.add("80:web", 0, evolve(upstream(1), connect_time=None), upstream(2))
    assert len(_told(source, "lbconsul_upstream_connect_time_seconds")) == 1
    source = _source(0, "empty")
    assert "lbconsul_upstream_" not in _text(source)


def test_one_in_two_pools() -> None:
    """An upstream that two pools of a mapping have is one series, not two."""
    source = _source(0, "empty")
    mapping, *_ = source.mapping_list
    pools = (PoolStatus("web", True), PoolStatus("web,tag=a", False))
    source.mapping_list = [evolve(mapping, pools=pools)]
    for number in range(2):
        source.add("80:web", number, upstream(1))
    assert len(_told(source, "lbconsul_upstream_connections_open")) == 1
    assert _text(source).count("lbconsul_upstream_weight{") == 1


def test_a_fallback() -> None:
    """The upstreams of a fallback are under their own service."""
    source = _source(0, "empty")
    mapping, *_ = source.mapping_list
    pool = PoolStatus("sorry", False, fallback=True, service="sorry")
    source.mapping_list = [evolve(mapping, pools=(pool,))]
    source.add("80:web", 0, upstream(1, "sorry"))
    [labels] = _told(source, "lbconsul_upstream_connections_open")
    assert labels == ("80:web", "sorry", "dc1/node-01/sorry-1")


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(max_size=5))
def test_any_name(name: str, more: str) -> None:
    """Whatever a name holds, it is read as it was."""
    source = _source(0, "empty")
    mapping, *_ = source.mapping_list
    source.mapping_list = [evolve(mapping, name=name + '"\\\n' + more)]
    source.pools.clear()
    source.add(source.mapping_list[0].name, 0, upstream(1))
    [labels] = _told(source, "lbconsul_upstream_connections_open")
    assert labels[0] == name + '"\\\n' + more


def test_over_http() -> None:
    """The answer has Prometheus' content type."""
    said = Site().ask("GET", "/metrics")
    assert said.headers["Content-Type"] == CONTENT_TYPE
    assert "lbconsul_build_info{" in said.text


def test_own_checks() -> None:
    """Each upstream's own check has samples, a gateway without checks has none."""
    source = _source(20)
    assert "check" not in _text(source).replace("# HELP", "")
    source.check_instances()
    text = _text(source)
    labels = 'mapping="80:web",service="web",upstream="dc1/node-01/web-1"'
    for line in (
        f"lbconsul_upstream_check_passing{{{labels}}} 1.0",
        f"lbconsul_upstream_check_duration_seconds{{{labels}}} 0.002",
        f"lbconsul_upstream_check_failures_total{{{labels}}} 1.0",
        "lbconsul_checks 3.0",
        "lbconsul_checks_failing 0.0",
        "lbconsul_checks_late_seconds 0.0",
    ):
        assert line in text.splitlines()
