"""The request of a check over HTTP, and what its answer says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.checks.http_probe import MOST_BYTES, Verdict, host_of, judge, request
from lbconsul.config.check import Probe
from lbconsul.config.check_values import probe

USUAL = Probe("/health")


def test_request() -> None:
    """It names the host, says that nothing follows, and has no body."""
    head = request(USUAL, "10.0.0.1:8080").decode()
    line, *fields = head.removesuffix("\r\n\r\n").split("\r\n")
    assert line == "GET /health HTTP/1.1"
    assert {"Host: 10.0.0.1:8080", "Connection: close"} < set(fields)
    other = probe("/;method=HEAD;host=api.internal")
    assert other is not None
    head = request(other, "10.0.0.1:8080").decode()
    assert head.startswith("HEAD / HTTP/1.1\r\nHost: api.internal\r\n")


@pytest.mark.parametrize(
    ("host", "port", "is_tls", "shown"),
    [
        ("10.0.0.1", 8080, False, "10.0.0.1:8080"),
        ("10.0.0.1", 80, False, "10.0.0.1"),
        ("web.internal", 443, True, "web.internal"),
        ("fd00::1", 81, False, "[fd00::1]:81"),
        ("fe80::1%eth0", 80, False, "[fe80::1]"),
        ("/run/web.sock", 0, False, "localhost"),
    ],
)
def test_host(host: str, port: int, is_tls: bool, shown: str) -> None:
    """As a browser would say it."""
    assert host_of(host, port, is_tls=is_tls) == shown


@pytest.mark.parametrize(
    ("status", "passes"), [(200, True), (399, True), (400, False), (503, False)]
)
def test_status(status: int, passes: bool) -> None:
    """Without ranges of its own a check passes from 200 to 399."""
    answer = b"HTTP/1.1 %d What\r\nContent-Length: 0\r\n\r\n" % status
    assert judge(USUAL, answer) == Verdict(passes, str(status))


def test_own_ranges() -> None:
    """A check passes in any of its ranges."""
    own = probe("/;status=200-204|401")
    assert own is not None
    for status, passes in ((204, True), (205, False), (401, True)):
        found = judge(own, b"HTTP/1.1 %d X\r\n\r\n" % status)
        assert found == Verdict(passes, str(status))


def test_interim_responses_do_not_count() -> None:
    """The answer is what follows them."""
    interim = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    assert judge(USUAL, interim) is None
    assert judge(USUAL, interim + b"HTTP/1.1 500 X\r\n\r\n") == Verdict(False, "500")


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 200 OK\r\n" + b"x-again: and again\r\n" * (MOST_BYTES // 20 + 1),
        b"HTTP/1.1 103 E\r\n\r\n" * 5000,
    ],
)
def test_what_is_no_answer(data: bytes) -> None:
    """Other protocols, broken lines and endless heads fail at once."""
    verdict = judge(USUAL, data)
    assert verdict is not None
    assert not verdict.passed


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """Whatever comes, there is a verdict or a wait, and no error."""
    verdict = judge(USUAL, b"HTTP/1.1 " + data)
    assert verdict is None or verdict.text.isprintable()
