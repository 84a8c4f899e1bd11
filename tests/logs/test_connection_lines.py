"""Lines of connections: the same as the log would make of an event."""

import json
from select import PIPE_BUF
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, capturedLogs

from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Mapping
from lbconsul.logs.connection_lines import OF_REQUESTS, SOURCE, ConnectionLines
from lbconsul.logs.format import LineFormat, as_json, as_text
from lbconsul.proxy.access_log import ConnectionLog
from lbconsul.stats.termination import Termination
from tests.support.instances import an_upstream

#: A moment of the wall clock, of which a binary fraction is exact.
NOW = 1_790_000_000.625


class Lines:
    """What is written, at `NOW`."""

    def __init__(
        self, is_json: bool, worker: int = 0, form: LineFormat | None = None
    ) -> None:
        self.written: list[bytes] = []
        self.now = NOW
        self.lines = ConnectionLines(
            form or LineFormat(is_json), self.written.append, worker, lambda: self.now
        )


def fields(**others: Any) -> dict[str, Any]:
    """What is known of a connection."""
    return {
        "message": "m",
        "client": "192.0.2.1:4000",
        "mapping": "80:web",
        "upstream": "a@n 192.0.2.2:80",
        "received": 1,
        "sent": 2,
        "seconds": 0.5,
        "retries": 0,
        "termination": "--",
        "facts": {},
    } | others


def event_of(known: dict[str, Any]) -> LogEvent:
    """The event that says the same."""
    known = fields() | known
    return {
        "log_format": "{line}",
        "log_level": None,
        "log_namespace": SOURCE,
        "log_time": NOW,
        "line": known.pop("message"),
        **{name: known[name] for name in known if name != "facts"},
        **known["facts"],
    }


WORDS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)


@given(
    st.fixed_dictionaries(
        {
            "message": WORDS.map(lambda word: f"{word} in=1"),
            "client": WORDS,
            "mapping": WORDS,
            "upstream": WORDS,
            "received": st.integers(0, 1 << 60),
            "sent": st.integers(0, 1 << 60),
            "seconds": st.floats(0, 1e7),
            "retries": st.integers(0, 99),
            "termination": st.sampled_from(["--", "SC", "KH"]),
            "facts": st.dictionaries(st.sampled_from(["via", "sni"]), WORDS),
        }
    )
)
def test_json(known: dict[str, Any]) -> None:
    """A line of JSON is what the log's format makes of the connection's event."""
    lines = Lines(is_json=True)
    lines.lines.write(**known)
    [line] = lines.written
    assert line.decode() == as_json(event_of(known))


def test_text() -> None:
    """A line of text is that of the connection's event."""
    with capturedLogs() as events:
        log = ConnectionLog(Clock(), Mapping("web", TCPListen("0.0.0.0", 80)))
        log.tell(("192.0.2.1", 4000), 0.0, an_upstream(), 1, 2, 0, Termination.DONE)
    lines = Lines(is_json=False)
    writing = ConnectionLog(
        Clock(), Mapping("web", TCPListen("0.0.0.0", 80)), writer=lines.lines
    )
    with capturedLogs() as others:
        writing.tell(("192.0.2.1", 4000), 0.0, an_upstream(), 1, 2, 0, Termination.DONE)
    assert others == []
    assert lines.written == [as_text({**events[0], "log_time": NOW}).encode()]


@pytest.mark.parametrize("is_json", [True, False])
def test_time_goes_on(is_json: bool) -> None:
    """Each line has the time at which it is written."""
    lines = Lines(is_json)
    for later in (0.0, 0.25, 0.5, 100.0):
        lines.now = NOW + later
        lines.lines.write(**fields())
    times = [line[:30] for line in lines.written]
    if is_json:
        expected = ["20.625Z", "20.875Z", "21.125Z", "00.625Z"]
        assert [json.loads(each)["time"][-7:] for each in lines.written] == expected
    else:
        assert times[0] == times[1] < times[2] < times[3]


def test_of_a_worker() -> None:
    """In JSON a worker's lines have its number; the gateway passes them on as is."""
    worker, gateway = Lines(is_json=True, worker=2), Lines(is_json=True)
    worker.lines.write(**fields())
    worker.lines.write(**fields(client="unix"))
    assert [json.loads(each)["worker"] for each in worker.written] == [2, 2]
    gateway.lines.pass_on(b"".join(worker.written))
    assert gateway.written == worker.written


def test_not_encodable() -> None:
    """A name that UTF-8 cannot encode is escaped."""
    lines = Lines(is_json=False)
    lines.lines.write(**fields(message="a\udc80b"))
    assert lines.written[0].endswith(b"a\\udc80b\n")


#: What is known of a request, as far as it matters here.
REQUEST = {"client": "192.0.2.1", "status": 200, "reused": True, "seconds": 0.5}


@given(WORDS, WORDS)
def test_requests_in_json(message: str, target: str) -> None:
    """The same is true of a request's line, with whatever fields it has."""
    lines, fields = Lines(is_json=True), {**REQUEST, "target": target}
    lines.lines.write_request(f"{message} x", fields)
    event = {"log_namespace": OF_REQUESTS, "log_time": NOW, "log_format": "{line}"}
    expected = as_json({**event, "line": f"{message} x", **fields})
    assert [each.decode() for each in lines.written] == [expected]


def test_requests_in_text() -> None:
    """In text as well, in each second."""
    lines = Lines(is_json=False)
    event = {
        "log_namespace": OF_REQUESTS,
        "log_format": "m",
        "log_level": LogLevel.info,
    }
    expected = []
    for later in (0.0, 0.25, 100.0):
        lines.now = NOW + later
        lines.lines.write_request("m", {})
        lines.lines.write(**fields())
        expected.append({**event, "log_time": lines.now})
    written = [each.decode() for each in lines.written[::2]]
    assert written == [as_text(each) for each in expected]


def test_priorities() -> None:
    """With priorities the lines are those of the events as well."""
    event = event_of({}) | {"log_level": LogLevel.info}
    request = {
        "log_namespace": OF_REQUESTS,
        "log_time": NOW,
        "log_level": LogLevel.info,
        "log_format": "{line}",
        "line": "m",
        **REQUEST,
    }
    for form in (LineFormat(False, True), LineFormat(True, True, "@cee: ")):
        lines = Lines(form.is_json, form=form)
        lines.lines.write(**fields())
        lines.lines.write_request("m", REQUEST)
        assert lines.written == [form(event), form(request)]


def test_requests_of_a_worker() -> None:
    """In JSON the line of a worker's request has its number as well."""
    lines = Lines(is_json=True, worker=2)
    lines.lines.write_request("m", REQUEST)
    assert json.loads(lines.written[0])["worker"] == 2


def test_lines_of_requests_together() -> None:
    """Lines of requests are written together, as many as a pipe takes at once."""
    one, all_ = Lines(is_json=False), Lines(is_json=False)
    messages = [f"{number} {'x' * 100}" for number in range(100)] + ["caf\xe9"]
    for each in messages:
        one.lines.write_request(each, {})
    all_.lines.write_requests(messages)
    assert b"".join(all_.written) == b"".join(one.written)
    assert len(one.written) == 101
    assert len(all_.written) < 10
    assert max(map(len, all_.written)) <= PIPE_BUF
