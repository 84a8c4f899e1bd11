"""How many Python functions a connection calls: a bound, so that they do not grow."""

import pytest

from tests.support.python_calls import calls_per_connection

#: The calls of a connection that nothing hinders.  They may become fewer; a feature
#: that is not in use must not make them more.
MOST = {"log off": 30, "log on": 34}


@pytest.mark.parametrize("log", MOST)
def test_calls_of_a_connection(log: str) -> None:
    """A connection with one request and one answer costs no more calls than it did."""
    calls = calls_per_connection(logs=log == "log on", connections=64)
    assert calls <= MOST[log]
