"""Messages made up at random are read as llhttp reads them, or a rule says why not.

These are always the same ones; `make fuzz` looks for others.
"""

from collections.abc import Iterator

import pytest

from tests.http.fuzz import check
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
