"""The log as JSON, by itself and in a real process."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import Logger, LogLevel, capturedLogs, eventAsJSON, eventFromJSON
from twisted.python import log as legacy
from twisted.python.failure import Failure

import lbconsul
from lbconsul.logs.format import LineFormat, as_json, is_noise, local_time
from tests.support.binaries import REPOSITORY
from tests.support.gateway import TWISTD
from tests.support.http_api import ask
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE


def _event(**fields: Any) -> dict[str, Any]:
    return {
        "log_time": 1_760_000_000.25,
        "log_level": LogLevel.warn,
        "log_namespace": "lbconsul.gateway.data_plane.DataPlane",
        "log_logger": object(),
        **fields,
    }


def _row(event: dict[str, Any]) -> dict[str, Any]:
    line = as_json(event)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    row = json.loads(line)
    assert isinstance(row, dict)
    return row


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets the local time zone of this process."""

    def change(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()
        local_time.cache_clear()

    yield change
    monkeypatch.undo()
    time.tzset()
    local_time.cache_clear()


def test_a_line() -> None:
    """Each line has a time, a level, a source, a message, and the event's fields."""
    assert _row(_event(log_format="{service}: {n} joined", service="web", n=2)) == {
        "time": "2025-10-09T08:53:20.250Z",
        "level": "warn",
        "source": "lbconsul.gateway.data_plane.DataPlane",
        "message": "web: 2 joined",
        "service": "web",
        "n": 2,
    }


def test_text(zone: Callable[[str], None]) -> None:
    """A line of text is the local time, the level and the message."""
    zone("Asia/Kolkata")
    for event, line in (
        (
            _event(log_format="{service}: joined\nthere", service="web"),
            "2025-10-09T14:23:20+05:30 warn web: joined\n\tthere\n",
        ),
        (
            _event(log_format="ä", log_time=1_760_000_001.0, log_level=LogLevel.info),
            "2025-10-09T14:23:21+05:30 info ä\n",
        ),
        ({"log_format": "x"}, "1970-01-01T05:30:00+05:30 info x\n"),
    ):
        assert LineFormat()(event) == line.encode()
    zone("UTC")
    later = _event(log_format="x", log_time=1_760_000_002.0)
    assert LineFormat()(later) == b"2025-10-09T08:53:22+00:00 warn x\n"


def test_text_with_priorities() -> None:
    """For journald and syslog each line has its priority, and neither time nor level,
    which those have of their own.
    """
    form = LineFormat(has_priority=True)
    for level, number in (("debug", 7), ("info", 6), ("warn", 4), ("error", 3)):
        event = _event(log_format="a\nb", log_level=LogLevel.lookupByName(level))
        assert form(event).decode() == f"<{number}>a\n<{number}>\tb\n"
    try:
        raise ValueError("it broke")
    except ValueError:
        bug = _event(
            log_format="a bug", log_failure=Failure(), log_level=LogLevel.critical
        )
    first, *trace, last = form(bug).decode().splitlines()
    assert (first, last) == ("<2>a bug", "<2>\tbuiltins.ValueError: it broke")
    assert all(line.startswith("<2>\t") for line in trace)


def test_json_with_priorities() -> None:
    """A line of JSON has them as well; in syslog a mark that it is JSON follows."""
    event = _event(log_format="x")
    plain = LineFormat(is_json=True)(event)
    assert plain == as_json(event).encode()
    assert LineFormat(True, True)(event) == b"<4>" + plain
    assert LineFormat(True, True, "@cee: ")(event) == b"<4>@cee: " + plain


def test_no_text() -> None:
    """What has no text is no line."""
    assert [LineFormat()({}), LineFormat(has_priority=True)({})] == [b"", b""]
    assert LineFormat()(_event(log_format="\udcff")).endswith(b" warn \\udcff\n")


def test_noise() -> None:
    """Ports, factories and main loops of Twisted are noise; its warnings are not, nor
    is what others log.
    """
    with capturedLogs() as events:
        legacy.msg("AdminFactory starting on 9200")
        legacy.msg("(TCP Port 9200 Closed)")
        Logger("twisted.internet.base").info("Main loop terminated.")
    assert [is_noise(event) for event in events] == [True] * 3
    with capturedLogs() as events:
        legacy.msg("set uid/gid 1000/1000")
        legacy.err(ValueError("it broke"))
        Logger("twisted.internet.base").warn("it is slow")
        Logger("lbconsul.tap").info("web starting on 80")
    assert [is_noise(event) for event in events] == [False] * 4
    assert not is_noise({})


def test_the_line_of_a_connection() -> None:
    """A field that is the whole message is not repeated."""
    row = _row(_event(log_format="{line}", line="1.2.3.4:5 80:web", sent=7))
    assert (row["message"], row["sent"]) == ("1.2.3.4:5 80:web", 7)
    assert "line" not in row


class Colour(Enum):
    RED = "red"


@define
class Innards:
    secret: str = "s3cret"


class Named:
    def __str__(self) -> str:
        return "its name"


def test_fields() -> None:
    """JSON values are kept, other values that have a text become text; no internals."""
    row = _row(
        _event(
            log_format="x", number=1.23456789, yes=True, nothing=None,
            colour=Colour.RED, named=Named(), error=OSError(2, "gone"),
            innards=Innards(), thing=object(),
            listed=["a", Innards(), 1], counts={"a": 1, 2: Innards()}, nan=float("nan"),
            group=frozenset({"a"}), deep=[[[["a"]]]], _private=1, log_extra=2,
        )
    )  # fmt: skip
    assert {key: row[key] for key in row if key not in {"time", "level", "source"}} == {
        "message": "x", "number": 1.234568, "yes": True, "nothing": None,
        "colour": "red", "named": "its name", "error": "[Errno 2] gone",
        "listed": ["a", 1], "counts": {"a": 1}, "nan": None, "group": ["a"],
        "deep": [[[]]],
    }  # fmt: skip


def test_a_traceback() -> None:
    """A failure's traceback is a field of the one line."""
    try:
        raise ValueError("it broke")
    except ValueError:
        row = _row(_event(log_format="a bug", log_failure=Failure()))
    assert row["message"] == "a bug"
    assert "ValueError: it broke" in row["traceback"]


def test_a_failure_of_a_worker() -> None:
    """A worker's event has the same form when it has come to the master."""
    try:
        raise ValueError("it broke")
    except ValueError:
        event = _event(log_format="{who}", log_failure=Failure(), who=Named())
    del event["log_logger"]
    row = _row({**eventFromJSON(eventAsJSON(event)), "worker": 2})
    assert (row["level"], row["worker"]) == ("warn", 2)
    assert "it broke" in row["traceback"]


def test_the_legacy_log() -> None:
    """An event of twisted.python.log has the same form as others."""
    with capturedLogs() as events:
        legacy.msg("(TCP Port 80", "Closed)", number=3)
    row = _row(events[0])
    assert set(row) == {"time", "level", "source", "message", "number"}
    assert row["message"] == "(TCP Port 80 Closed)"


def test_what_is_incomplete() -> None:
    """Whatever an event lacks, it is a line."""
    assert _row({}) == {
        "time": "1970-01-01T00:00:00.000Z", "level": "info", "source": "",
        "message": "",
    }  # fmt: skip
    broken = _row(_event(log_format="{missing.field}"))
    assert "missing" in broken["message"]


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text() | st.binary(),
            lambda inner: st.lists(inner) | st.dictionaries(st.integers(), inner),
            max_leaves=5,
        ),
    )
)
def test_any_fields(fields: dict[str, Any]) -> None:
    """Whatever the fields are, it is one line of JSON."""
    _row({**fields, **_event(log_format="x")})


@pytest.mark.process
def test_a_real_process(tmp_path: Path) -> None:
    """
    Under twistd every line of the log is JSON, the first as well as the last, and a
    connection's has its figures as fields.
    """
    port, consul = free_ports(2)
    words = (
        "--dev", f"--consul=127.0.0.1:{consul}", "--log-format=json", "--workers=2",
        "--admin=off", f"--map=127.0.0.1:{port}:web",
    )  # fmt: skip
    log = tmp_path / "log"
    process = subprocess.Popen(
        [*TWISTD, "--nodaemon", "--pidfile=", f"--logfile={log}", "lbconsul", *words],
        env={"PYTHONPATH": str(REPOSITORY), "CONSUL_HTTP_TOKEN": "t0psecret"},
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
    )
    try:
        _wait_for(log, '"message":"balancing')
        _wait_for_answer(port)
        process.send_signal(signal.SIGUSR1)
        _wait_for_answer(port)
        _wait_for(log, '"client"')
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    rotated = (tmp_path / "log.1").read_text()
    text = rotated + log.read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    assert rows[0]["lbconsul"] == lbconsul.__version__
    assert "--log-format=json" in rows[1]["options"].split()
    assert rows[-1]["message"].startswith("stopped: ")
    assert all(
        re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["time"])
        for row in rows
    )
    [connection, *_] = [row for row in rows if "client" in row]
    assert connection["source"] == "lbconsul.proxy.access_log.ConnectionLog"
    assert connection["mapping"] == f"127.0.0.1:{port}:web"
    assert connection["termination"] == "--"
    assert connection["sent"] > 0
    assert connection["worker"] in (1, 2)
    assert "t0psecret" not in text


def _wait_for(log: Path, text: str) -> None:
    end = time.monotonic() + 30
    while not log.exists() or text not in log.read_text():
        assert time.monotonic() < end, log.exists() and log.read_text()
        time.sleep(0.05)


def _wait_for_answer(port: int) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            assert ask(port, "GET", "/")[0] == 200
            return
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.1)
