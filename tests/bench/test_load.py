"""What wrk says is read, and none of its errors is lost."""

import re
from pathlib import Path

import pytest

from bench import load

GOOD = """Running 1s test @ http://127.0.0.1:20000/small
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.98ms  311.41us  10.02ms   86.91%
    Req/Sec    32.50k     2.13k   35.51k    70.00%
  32551 requests in 1.01s, 10.50MB read
Requests/sec:  32228.13
Transfer/sec:     10.39MB
"""

BAD = """  12 requests in 2.00m, 1.20GB read
  Socket errors: connect 0, read 7, write 0, timeout 2
  Non-2xx or 3xx responses: 5
"""


def test_a_load_without_errors() -> None:
    """Requests, seconds and bytes are read, in their units."""
    done = load.parse(GOOD)
    assert done == load.Load(32551, 1.01, 10.5 * (1 << 20))
    assert done.rate == pytest.approx(32229, abs=1)


def test_errors_are_kept() -> None:
    """Broken connections and wrong answers are reported in wrk's words; none counts."""
    done = load.parse(BAD)
    assert done.requests == 12 - 5
    assert done.duration == 120
    assert done.bytes == 1.2 * (1 << 30)
    assert done.errors == (
        "Socket errors: connect 0, read 7, write 0, timeout 2;"
        " Non-2xx or 3xx responses: 5"
    )


def test_what_is_no_summary_is_refused() -> None:
    """A wrk that could not begin does not count as one without requests."""
    with pytest.raises(ValueError, match="unable to connect"):
        load.parse("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_a_body_that_takes_long_is_no_error() -> None:
    """wrk gets a longer timeout than its two seconds."""
    line = load.command(20000, "100m", 4, 2.4, ["-H", "X: y"])
    assert line[0] == "wrk"
    assert line[-1] == "http://127.0.0.1:20000/100m"
    assert {"-c4", "-d2s", "--timeout=60s", "-H", "X: y"} <= set(line)


def test_tls_is_asked_for_by_name() -> None:
    """An origin can be named, so that a client of TLS has a server name to send."""
    line = load.command(443, "small", 1, 1, origin="https://localhost")
    assert line[-1] == "https://localhost:443/small"


def test_a_header_in_front_of_a_request(tmp_path: Path) -> None:
    """Each byte of a binary header is written as Lua reads it."""
    script = tmp_path / "header.lua"
    assert load.behind_header(script, b"\r\0Q\xff") == ["-s", str(script)]
    quoted = re.search(r'header = "(.*)"', script.read_text())
    assert quoted
    assert quoted[1] == r"\013\000\081\255"
