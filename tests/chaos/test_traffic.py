"""What is made of a load's outcome."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from chaos.report import Report
from chaos.traffic import Traffic, between, p99, require_faultless, slowest
from tests.support import loopback
from tests.support.load import Load, Outcome, Request
from tests.support.web_server import WebServer


def request(begun: float, over: float, trouble: str = "") -> Request:
    """One on a connection of its own."""
    return Request(begun, over, "anna", trouble, True)


def test_between() -> None:
    """A request counts by its beginning."""
    outcome = Outcome([request(1.0, 9.0), request(2.0, 3.0), request(3.0, 4.0)])
    assert between(outcome, 2.0, 3.0) == [request(2.0, 3.0)]


def test_times() -> None:
    """From the client's wish to the end; nothing takes no time."""
    outcome = Outcome([request(1.0, 1.5), request(2.0, 4.0)])
    assert slowest(outcome) == 2.0
    assert p99(outcome) == 2.0
    assert slowest(Outcome()) == p99(Outcome()) == 0.0


def test_a_failed_request_is_told_with_its_reason() -> None:
    """Each reason once."""
    report = Report("name", "")
    require_faultless(report, Outcome([request(1.0, 2.0, "failed: reset")] * 60))
    assert report.verdict == (
        "NOT MET (failed 60 (required <= 0); the same failed: reset (required yes))"
    )


def test_a_load_that_asked_nothing_proves_nothing() -> None:
    """Some requests there must have been."""
    report = Report("name", "")
    require_faultless(report, Outcome([request(1.0, 2.0)]))
    assert report.verdict == "NOT MET (requests 1 (required >= 50))"


@pytest.mark.process
def test_requests_of_all_kinds_are_counted() -> None:
    """On new and on kept connections, and with bodies, which the server gets whole."""
    report = Report("name", "")
    with (
        WebServer("anna") as server,
        Traffic(report, server.port, new=1, kept=1, body=100_000) as traffic,
    ):
        while traffic.over() < 100:
            pass
        outcome = traffic.stop()
    assert report.requests == len(outcome) >= 100
    assert outcome.servers() == {"anna": len(outcome)}
    assert sum(not each.fresh for each in outcome) > 0


@pytest.mark.process
@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (b"503 No\r\nContent-Length: 0\r\n\r\n", "failed: status 503"),
        (b"200 OK\r\nContent-Length: 9\r\n\r\nanna 0-1", "failed: Broken "),
        (b"200 OK\r\nContent-Length: 8\r\n\r\nanna 0-2", "wrong: 'anna 0-2'"),
    ],
)
def test_what_is_no_answer(answer: bytes, trouble: str) -> None:
    """Another status and a part of an answer count as failed, another body as wrong."""

    def answer_one(listening: socket.socket) -> None:
        with listening, listening.accept()[0] as client:
            client.recv(65536)
            client.sendall(b"HTTP/1.1 " + answer)

    with loopback.listening() as listening, ThreadPoolExecutor() as pool:
        pool.submit(answer_one, listening)
        with Load(listening.getsockname()[1], 1, timeout=5.0) as load:
            first, *_ = load.stop()
    assert first.trouble.startswith(trouble)
