"""A proxy that a test turns by hand, for the tests that want one."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.tended_proxy import Server, TendedProxy


@pytest.fixture
def proxy() -> Iterator[TendedProxy]:
    """One without mappings; what it leaves behind fails the test."""
    with ExitStack() as held:
        yield TendedProxy(held)


@pytest.fixture
def pair(proxy: TendedProxy) -> tuple[Server, Server]:
    """Two instances of its service web, a and b."""
    one, other = proxy.server("a"), proxy.server("b")
    proxy.register(one.instance(), other.instance())
    return one, other
