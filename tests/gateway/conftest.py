"""Fixtures of several tests of gateways."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.loopback import refusing
from tests.support.running_proxy import ReactorThread


@pytest.fixture
def held() -> Iterator[ExitStack]:
    """Closes at the end of a test what it put into it."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def running() -> Iterator[ReactorThread]:
    """A reactor."""
    with ReactorThread() as reactor:
        yield reactor


@pytest.fixture
def no_consul() -> Iterator[str]:
    """Where Consul is not: what the registry knows is what the test fills in."""
    with refusing() as port:
        yield f"127.0.0.1:{port}"
