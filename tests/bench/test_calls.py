"""The number of Python functions that a connection calls."""

import pytest

from tests.support.python_calls import calls_per_connection, calls_per_request


def test_the_count_is_exact() -> None:
    """A second run gives the same number, and a log line costs some calls."""
    without, with_log = (
        calls_per_connection(logs=logs, connections=32) for logs in (False, True)
    )
    assert calls_per_connection(logs=False, connections=32) == without
    assert 0 < without < with_log


@pytest.mark.parametrize("mode", ["tcp", "http"])
def test_a_request_on_a_kept_connection_is_counted_alone(mode: str) -> None:
    """A request's figure is the same in each run, and excludes the connection's."""
    counted = calls_per_request(logs=True, requests=32, mode=mode)
    assert calls_per_request(logs=True, requests=96, mode=mode) == counted > 0
