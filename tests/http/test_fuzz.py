"""Messages made up at random are read as llhttp reads them, or a rule says why not.

These are always the same ones; `make fuzz` looks for others.
"""

from collections.abc import Iterator

import pytest

from tests.http import fuzz
from tests.http.disagreements import compare
from tests.http.fuzz import Found, check
from tests.http.through_proxy import ThroughProxy


def test_parser() -> None:
    """Our parser and llhttp agree, whatever the pieces, and about what is passed on."""
    for seed in range(2000):
        check(seed)


@pytest.fixture(scope="module")
def through() -> Iterator[ThroughProxy]:
    """A gateway with llhttp behind it."""
    with ThroughProxy() as through:
        yield through


def test_gateway(through: ThroughProxy) -> None:
    """A server gets the requests that were meant, and a client the response."""
    for seed in range(2000, 2200):
        check(seed, through)


def test_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that is read without end is found, and named by its seed."""
    monkeypatch.setattr(fuzz, "LONGEST", 0.1)

    def compare_without_end(raw: bytes, *, is_request: bool) -> None:
        while True:
            pass

    monkeypatch.setattr(fuzz, "compare", compare_without_end)
    with pytest.raises(Found, match=r"^seed 7: .* it takes longer than 0\.1 s$"):
        check(7)


def test_a_long_word() -> None:
    """A rule looks at a long word once, not at all the ways to cut it."""
    raw = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: %b: 3\r\n\r\n" % (b"a" * 5000)
    assert compare(raw) == "its Connection is not valid"
