"""Tests for tests.autobahn.wstest."""

import pytest

from tests.autobahn.wstest import Missing, find_python


def test_no_python() -> None:
    """Where there is no Python 2.7 it says what is missing, and what to do."""
    with pytest.raises(Missing, match=r"\$PYTHON2 \(none-such\) is none$"):
        find_python({"PYTHON2": "none-such"})
