"""The number of Python functions that a connection calls."""

from tests.support.python_calls import calls_per_connection


def test_the_count_is_exact() -> None:
    """A second run gives the same number, and a log line costs some calls."""
    without, with_log = (
        calls_per_connection(logs=logs, connections=32) for logs in (False, True)
    )
    assert calls_per_connection(logs=False, connections=32) == without
    assert 0 < without < with_log
