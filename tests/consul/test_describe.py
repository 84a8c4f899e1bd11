"""Errors of asking Consul, in words."""

import pytest
from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseFailed

from lbconsul.consul.describe import in_words


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("wrong", b"x" * 10**6), f"('wrong', b'{'x' * 288}"),
        (OSError("no way"), "no way"),
        (ValueError(), "ValueError"),
        (ValueError("one\n  line [Failure instance: Traceback"), "one line"),
        (ResponseFailed([Failure(OSError("a")), Failure(OSError("b"))]), "a, b"),
        (RequestTransmissionFailed([Failure(ValueError())]), "ValueError"),
    ],
)
def test_errors(error: Exception, words: str) -> None:
    """An error is one line, whatever Twisted wrapped it in."""
    assert in_words(error) == words
