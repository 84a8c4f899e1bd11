"""What a master and its workers say to each other."""

import pytest

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Mapping
from lbconsul.workers.messages import (
    ANSWER,
    REPORT,
    Assignment,
    CatalogChunk,
    Command,
    Count,
    Drain,
    Eject,
    Report,
    Serve,
    SetDrained,
    Setup,
    Stop,
    SyncComplete,
    read_answer,
    read_command,
    read_report,
    write_answer,
    write_command,
    write_report,
)
from tests.support.instances import an_identity, an_instance

WEB = Mapping("web", TCPListen("::1", 80))
A = an_instance("a", tags=["v1"], reason="because")


@pytest.mark.parametrize(
    "order",
    [
        Setup(1, 3),
        Serve((Assignment(WEB, 5),), False, (WEB,)),
        CatalogChunk(
            ServiceQuery("web"),
            ((A, 3), (A, None)),
            (an_identity("b"),),
            True,
            7,
            False,
        ),
        CatalogChunk(ServiceQuery("web"), whole=True, gone=True),
        SyncComplete(),
        Drain(),
        Stop(),
        SetDrained({an_identity("a"): 7}),
        Eject(an_identity("a"), 3),
    ],
)
def test_orders(order: Command) -> None:
    """An order arrives as it was given."""
    assert read_command(write_command(order)) == order


def test_reports() -> None:
    """A report arrives as it was made, and its first byte says what it is."""
    full, faults = (("max-connections", "80:web"),), (("pkg:Own", "slow", 3),)
    report = Report(7, Count(3, 2), 4, True, full, faults)
    assert report.faults_by_kind == {("pkg:Own", "slow"): 3}
    data = write_report(report)
    assert data[:1] == REPORT
    assert read_report(data[1:]) == report


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"{}", b'{"count": 1, "version": 1, "leases": 2}',
        b'{"count": {"accepted": 0, "open": 0}, "version": "1", "leases": 2}',
        b'{"count": {"accepted": 0, "open": 0}, "version": 1, "leases": null}',
        b'{"count": {"accepted": 0, "open": 0}, "version": true, "leases": 0}',
        b'{"count": {"accepted": 0, "open": 0}, "version": 1, "leases": -1}',
        b'{"count": {"accepted": 0, "open": 0}, "version": 1, "leases": 1}',
        b'{"count": {"accepted": 0, "open": 0}, "version": 1, "leases": 1, "serves": 1,'
        b' "full": [["a"]]}',
        b'{"count": {"accepted": 0, "open": 0}, "version": 1, "leases": 1, "serves": 1,'
        b' "full": [["a", 1]]}',
        b'{"count": {"accepted": 0, "open": 0}, "version": 1, "leases": 1, "serves": 1,'
        b' "full": [], "faults": [["a", "b", "c"]]}',
        b'{"count": {"accepted": 1.5, "open": 1}, "version": 1, "leases": 1}',
        b'{"count": {"accepted": 1, "open": []}, "version": 1, "leases": 1}',
    ],
)  # fmt: skip
def test_no_report(data: bytes) -> None:
    """Invalid bytes are no report."""
    with pytest.raises(ValueError):
        read_report(data)


def test_answers() -> None:
    """An answer arrives as it was given, with the number of the order."""
    data = write_answer(7, "it is ejected")
    assert data[:1] == ANSWER
    assert read_answer(data[1:]) == (7, "it is ejected")


@pytest.mark.parametrize(
    "data", [b"", b"{", b"5", b"[]", b"[1]", b'["1", ""]', b"[1, 2]", b'[1, "", 2]']
)
def test_no_answer(data: bytes) -> None:
    """An invalid answer is a ValueError, whatever it is."""
    with pytest.raises(ValueError):
        read_answer(data)
