"""What is shown of the connections of one upstream."""

import pytest

from lbconsul.process.clock import WallClock
from lbconsul.stats.traffic import MappingTraffic
from tests.gateway.test_status import A, StatusStage
from tests.support.instances import an_instance


def test_of_several_processes() -> None:
    """The times and failures of an upstream are those of all processes."""
    one, other = MappingTraffic(), MappingTraffic()
    for each, seconds in ((one, 0.004), (other, 0.4)):
        each.stats.connected(A, seconds)
        each.stats.failed(A, 940.0 + seconds, f"after {seconds}")
    stage = StatusStage()
    stage.answer(an_instance("a"))
    stage.data_plane.told = MappingTraffic.sum([one, other])
    shown = stage.upstream()
    assert (shown.total, shown.connect_failures) == (2, 2)
    assert shown.connect_p50 == pytest.approx(0.005)
    assert shown.connect_p99 == pytest.approx(0.495)
    assert (shown.last_error, shown.last_error_at) == ("after 0.4", 940.4)
    assert shown.failures_per_minute == pytest.approx(0.7)


def test_first_byte() -> None:
    """The time to the first byte is of connections, or in HTTP mode of requests."""
    stage = StatusStage()
    stage.answer(an_instance("a"))
    stats = stage.data_plane.told.stats
    account = stats.connected(A, 0.004)
    account.first_bytes[0] += 1
    assert stage.upstream().first_byte_p50 == pytest.approx(0.0005)
    stats.use_http().exchanged(A, 200, 0.09, 0.1, 1, 1)
    shown = stage.upstream()
    assert shown.first_byte_p50 == pytest.approx(0.075)
    assert shown.http is not None
    assert shown.http.first_byte_p50 == shown.first_byte_p50


def test_failed_requests() -> None:
    """In HTTP mode requests that an upstream failed count beside failed connects."""
    stage = StatusStage()
    stage.answer(an_instance("a"))
    stats = stage.data_plane.told.stats
    stats.failed(A, 980.0, "Connection refused")
    stats.use_http().failed(A, 990.0, "the upstream answered 500")
    shown = stage.upstream()
    assert shown.last_error == "the upstream answered 500"
    assert shown.failures_per_minute == 2.0
    assert stats.accounts[A].failing.count == 1  # as it was


def test_clock() -> None:
    """Moments are by the clock of the processes that noted them."""
    assert WallClock(lambda: 5.0, lambda: 1005.0).moment == 5.0
