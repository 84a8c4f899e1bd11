"""What a watch sees, in words."""

import pytest
from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseFailed

from lbconsul.balance.registry import Change
from lbconsul.consul.words import describe, in_words
from tests.support.instances import an_instance, instances


def test_changes() -> None:
    """Instances have their names while they are few; a reason is told with them."""
    [a, b] = instances("a", "b")
    c = an_instance("c", reason="it is full")
    assert describe(Change()) == "nothing new"
    assert describe(Change((a,), (b,), (c,))) == (
        f"1 joined ({a}), 1 left ({b}), 1 altered ({c}, it is full)"
    )
    many = tuple(instances(*"abcdef"))
    assert describe(Change(many)) == "6 joined"
    assert describe(Change((), many[:5])).startswith("5 left (")


def test_long_changes() -> None:
    """However long the names are that somebody registered, a change is one line."""
    long = tuple(instances(*("x" * 255 + each for each in "abcde")))
    assert len(describe(Change(long, long, long))) < 9000


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
