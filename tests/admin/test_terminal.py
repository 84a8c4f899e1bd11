"""The status as lines for a terminal."""

import itertools
import json
import re
from typing import Any

import pytest
from attrs import evolve

from lbconsul.admin.check_status import CheckStatus
from lbconsul.admin.short_text import clean
from lbconsul.admin.status_json import status
from lbconsul.admin.status_model import (
    DrainedStatus,
    RegistrationStatus,
    SkippedStatus,
    SplitStatus,
)
from lbconsul.admin.terminal import Terminal
from tests.support.fake_source import (
    STATES,
    FakeSource,
    certificate,
    fake_source,
    upstream,
)


def _source(upstreams: int = 12, state: str = "ok") -> FakeSource:
    return fake_source(lambda: 1_760_000_000.0, upstreams, state)


def _lines(source: FakeSource, *, coloured: bool = False) -> list[str]:
    said: Any = json.loads(b"".join(status(source)))
    return list(Terminal(coloured).lines(said))


def test_what_is_shown() -> None:
    """The gateway, its watches, its mappings, and a row for each upstream."""
    lines = _lines(_source())
    assert lines[0] == (
        "lbconsul 0.1.0 serving for 1 d 2 h, 60 open, 15000 accepted, reactor lag 4 ms"
    )
    assert lines[1] == "workers: 2 of 2 serve"
    assert lines[2] == "consul  web,dc=dc1: watching, 1.5 s old"
    at = lines.index("") + 1
    assert lines[at].startswith("80:web  leastconn, listens on 0.0.0.0:80: ")
    assert lines[at + 1].split() == [
        "STANDING", "INSTANCE", "ADDRESS", "OPEN", "TOTAL", "WEIGHT", "IN", "OUT",
        "FAILED", "CONNECT", "SINCE", "REASON",
    ]  # fmt: skip
    first = lines[at + 2]
    assert first.startswith("  + serving  web-0@node-00  10.0.0.0:8080 ")
    assert first.endswith("passing")
    assert "  api,dc=dc2 (not used now)" in lines


def test_drained_and_gone() -> None:
    """What is drained by hand, and stands in no table, is named while it is little."""
    source = _source()
    source.drained_list = [
        DrainedStatus(f"dc1/n/{number}", "dc1", "n", str(number), number == 0)
        for number in range(8)
    ]
    [line] = [each for each in _lines(source) if each.startswith("drained")]
    assert line.startswith("drained by hand, not in Consul: dc1/n/1, dc1/n/2, ")
    assert line.endswith("dc1/n/5 and 2 more")


def test_columns() -> None:
    """Each column begins, or ends, at one place."""
    source = _source(40)
    source.alter("80:web", 0, "dc1/node-03/web-3", address="10.0.0.3:1", open=1234567)
    lines = _lines(source)
    head = next(each for each in lines if "STANDING" in each)
    rows = lines[lines.index(head) + 1 :]
    rows = rows[: rows.index("")]
    at, end = head.index("ADDRESS"), head.index("OPEN") + len("OPEN")
    assert {row[at - 1] for row in rows} == {" "}
    assert all(row[at:].startswith("10.0.0.") for row in rows)
    assert all(row[end - 1].isdigit() and row[end] == " " for row in rows)


@pytest.mark.parametrize("is_http", [False, True])
def test_narrow(is_http: bool) -> None:
    """Tables fit the terminal: columns that matter less are left out first."""
    source = _source(40)
    if is_http:
        source.speak_http()
    said: Any = json.loads(b"".join(status(source)))
    shown = [
        [each for each in Terminal(width=width).lines(said) if each[:4] in _TABLE]
        for width in (72, 80, 100, 120, 160, 240)
    ]
    for width, lines in zip((72, 80, 100, 120, 160, 240), shown, strict=True):
        assert len(lines) > 40
        assert all(len(each) <= width for each in lines)
    heads = [lines[0].split() for lines in shown]
    for narrow, wide in itertools.pairwise(heads):
        assert narrow == [each for each in wide if each in narrow]
    assert {"STANDING", "INSTANCE", "OPEN", "REASON"} <= set(heads[0])
    assert "CONNECT" not in heads[1]
    assert "CONNECT" in heads[-1]
    assert shown[-1] == [each for each in _lines(source) if each[:4] in _TABLE]


#: How the lines of a table begin.
_TABLE = {"  ST", *(f"  {mark} " for mark in "+-x?~")}


def test_trouble() -> None:
    """What is wrong is said in words."""
    away = "\n".join(_lines(_source(3, "consul-away")))
    assert "web,dc=dc1: backing off, 12 m 34 s old, failing for " in away
    assert "Connection refused" in away
    starting = _lines(_source(3, "starting"))
    assert "not ready: 80:web: Consul has not answered yet" in starting
    assert "consul  web,dc=dc1: waiting, no answer yet" in starting
    assert "  no upstreams" in starting
    assert any("does not listen on" in each for each in starting)


def test_used_in_need() -> None:
    """A pool whose own checks all fail, and a route that is closed, are told of."""
    source = _source(12)
    source.check_instances()
    failing = CheckStatus(check="GET /no", state="failing", since=0.0)
    for name in source.pools["80:web", 0]:
        source.alter("80:web", 0, name, check=failing, standing="serving")
    why = "closed, requests get 503: weight=x must be a number"
    first, second, last = source.mapping_list
    closed = evolve(last, name="80:/bad=-", service="", empty=why, pools=())
    source.mapping_list = [first, second, closed]
    lines = _lines(source, coloured=True)
    assert any("own checks of all 8 instances fail" in each for each in lines)
    assert sum("\x1b[33m! serving" in each for each in lines) == 8
    assert any(f"\x1b[31m{why}\x1b[0m, listens on" in each for each in lines)


@pytest.mark.parametrize("state", STATES)
def test_colours(state: str) -> None:
    """Colours are nothing but colours: without them it is the same."""
    source = _source(60, state)
    coloured, plain = _lines(source, coloured=True), _lines(source)
    assert [re.sub(r"\x1b\[\d+m", "", each) for each in coloured] == plain
    assert not any("\x1b" in each for each in plain)
    assert any("\x1b[3" in each for each in coloured)


def test_requests() -> None:
    """A mapping in HTTP mode shows its requests, and the last that went wrong."""
    source = _source()
    source.speak_http()
    lines = _lines(source)
    at = lines.index("") + 2
    assert lines[at] == (
        "  requests: 1000 2xx, 7 4xx, 2 5xx; 3 active, 12 idle connections, 4 retries,"
        " p50 3.1 ms, p99 42 ms"
    )
    assert lines[at + 1] == (
        "  0 ms ago: 502 SH GET www.example.com/basket dc1/node-01/web-1"
        " for 192.0.2.7:4711"
    )
    assert lines[at + 2] == (
        "  0 ms ago: no answer SC GET www.example.com/cart without an upstream"
        " for 192.0.2.7:4711"
    )
    assert lines[at + 3].split()[9:] == [
        "CONNECT", "REQUESTS", "5XX", "P50", "P99", "SINCE", "REASON",
    ]  # fmt: skip
    assert " 102    2  2 ms  50 ms " in lines[at + 4]
    assert sum("REQUESTS" in each for each in lines) == 1


def test_clients_that_come_again() -> None:
    """With sticky it says how many do, once there are any."""
    source = _source()
    source.speak_http()
    mapping, *others = source.mapping_list
    assert mapping.http is not None
    assert not any("cookies:" in each for each in _lines(source))
    http = evolve(mapping.http, sticky_kept=5, sticky_new=2, sticky_moved=1)
    source.mapping_list = [evolve(mapping, http=http), *others]
    [line] = [each for each in _lines(source) if "cookies:" in each]
    assert line == "  cookies: 5 requests came again, 2 new, 1 replaced"


def test_no_requests_so_far() -> None:
    """Before the first request there are no times to show."""
    source = _source(1)
    source.speak_http()
    mapping, *others = source.mapping_list
    assert mapping.http is not None
    http = evolve(mapping.http, requests={}, first_byte_p50=None, first_byte_p99=None)
    source.mapping_list = [evolve(mapping, http=http, unhappy=()), *others]
    for key, members in source.pools.items():
        for each in members.values():
            if each.http is not None:
                nothing = evolve(each.http, first_byte_p50=None, first_byte_p99=None)
                source.alter(*key, each.id, http=nothing)
    [line] = [each for each in _lines(source) if "requests:" in each]
    assert line == ("  requests: none so far; 3 active, 12 idle connections, 4 retries")


def test_earlier_version() -> None:
    """The status of a gateway without HTTP mode is shown as well."""
    said: Any = json.loads(b"".join(status(_source())))
    for mapping in said["mappings"]:
        for name in ("http", "unhappy", "request_time", "request_first_byte_time"):
            del mapping[name]
    assert list(Terminal().lines(said)) == _lines(_source())


def test_queued() -> None:
    """Queued clients are shown, where there are any."""
    source = _source()
    first, *others = source.mapping_list
    source.mapping_list = [evolve(first, queued=7), *others]
    assert sum(", 7 queued, " in each for each in _lines(source)) == 1


def test_skipped() -> None:
    """Instances that are not connected to are named, the first of them."""
    source = _source(0, "empty")
    watch, *others = source.watch_list
    skipped = tuple(SkippedStatus(f"w-{n}@a 1.2.3.4:0", "why\x1b") for n in range(5))
    source.watch_list = [evolve(watch, skipped=5, skipped_instances=skipped), *others]
    lines = [each for each in _lines(source) if "skipped" in each]
    assert lines[0] == "  skipped w-0@a 1.2.3.4:0: why\ufffd"
    assert lines[3:] == ["  skipped 2 more"]


def test_certificates() -> None:
    """Certificates that end soon are told, and why newer ones are not in use."""
    source = _source(0, "empty")
    mapping, *others = source.mapping_list
    states = ("expired", -1), ("early", 90), ("expiring", 9), ("expired", -2)
    bad = tuple(certificate(state=state, days_left=days) for state, days in states)
    source.mapping_list = [
        evolve(
            mapping,
            certificates=(certificate(), *bad),
            certificates_error="no\x1b",
            passwords_error="no\x1b hash",
        ),
        *others,
    ]
    lines = [each for each in _lines(source) if re.search("certificate|password", each)]
    assert lines == [
        "  certificate expired: www.example.com /etc/web.pem",
        "  certificate not valid yet: www.example.com /etc/web.pem",
        "  certificate expires in 9 days: www.example.com /etc/web.pem",
        "  and 1 more certificates",
        "  certificates: no\ufffd",
        "  passwords: no\ufffd hash",
    ]


def test_an_unknown_standing() -> None:
    """A standing of a later version is shown as it is."""
    source = _source(0, "empty")
    source.add("80:web", 0, evolve(upstream(1), standing="odd", connect_time=None))
    assert any(each.startswith("  ! odd  ") for each in _lines(source, coloured=False))
    assert any("\x1b[31m! odd" in each for each in _lines(source, coloured=True))


def test_hostile_names() -> None:
    """Names in Consul's catalog cannot send commands to a terminal."""
    assert clean("a\x1b[2Jb\n\u202e") == "a\ufffd[2Jb\ufffd\ufffd"
    source = _source(0, "empty")
    source.add(
        "80:web", 0, evolve(upstream(1), service_id="\x1b]0;x\x07", reason="\r\n")
    )
    text = "\n".join(_lines(source))
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", text)


def test_routes() -> None:
    """A mapping without a service is shown as that, above its routes."""
    source = _source(3)
    mapping, *_ = source.mapping_list
    own = evolve(mapping, name="443:-", listen="0.0.0.0:443", service="", pools=())
    route = evolve(mapping, name="443:a.com=web", listen="0.0.0.0:443", route="a.com")
    source.mapping_list = [own, route]
    lines = [each for each in _lines(source) if each.startswith("443:")]
    assert lines[0].startswith("443:-  its routes only, listens on 0.0.0.0:443: ")
    assert lines[1].startswith("443:a.com=web  leastconn, listens on 0.0.0.0:443: ")


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("width", [60, 80])
def test_sentences_fit(state: str, width: int) -> None:
    """Sentences are broken at blanks where the terminal is narrow."""
    said: Any = json.loads(b"".join(status(_source(12, state))))
    said["gateway"]["not_ready"] = [f"80:web: {'Consul has not answered yet ' * 3}"]
    lines = list(Terminal(is_coloured=True, width=width).lines(said))
    plain = [re.sub(r"\x1b\[\d*m", "", each) for each in lines]
    assert max(map(len, plain)) <= width
    assert " ".join(" ".join(plain).split()).count("not answered yet Consul has") == 2


def test_registrations() -> None:
    """The gateway's registrations in Consul, those in trouble first; a gateway of an
    earlier version has none."""
    source = _source()
    here = RegistrationStatus(
        id="lbconsul-edge-80", service="edge", mapping="80:web", address="", port=80,
        state="passing", since=1_760_000_000.0 - 90,
    )  # fmt: skip
    taken = evolve(here, address="10.0.0.7", state="taken", reason="it is a\tdb's")
    new = evolve(here, state="waiting", since=None)
    source.gateway_status = evolve(
        source.gateway_status, registrations=(here, taken, new)
    )
    assert [each for each in _lines(source) if each.startswith("in Consul")] == [
        "in Consul as edge, 10.0.0.7 port 80: taken for 1 m 30 s: it is a\ufffddb's",
        "in Consul as edge, the agent's address port 80: waiting",
        "in Consul as edge, the agent's address port 80: passing for 1 m 30 s",
    ]
    said: Any = json.loads(b"".join(status(source)))
    del said["gateway"]["registrations"]
    assert not any(each.startswith("in Consul") for each in Terminal().lines(said))


def test_split() -> None:
    """A part of a split says how much it is to get, and how much it gets."""
    source = _source()
    mapping, *_ = source.mapping_list
    parts = [
        evolve(mapping, split=SplitStatus("80:web", "", 0.95, 0.950123)),
        evolve(mapping, split=SplitStatus("80:web", "tag=canary", 0.05)),
    ]
    source.mapping_list = parts
    told = [each for each in _lines(source) if each.startswith("  split: ")]
    assert told == [
        "  split: 95 % of 80:web wanted, 95.01 % got",
        "  split: 5 % of 80:web wanted, nothing got",
    ]
