"""What is made of a load's outcome."""

from chaos.report import Report
from chaos.traffic import between, p99, require_faultless, slowest
from tests.support.load import Outcome, Request


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
