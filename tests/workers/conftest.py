"""Fixtures of several tests of workers."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from lbconsul.config.model import Mapping
from tests.support.running_proxy import ReactorThread
from tests.support.running_workers import RunningWorkers


@pytest.fixture
def held() -> Iterator[ExitStack]:
    """Closes at the end of a test what it put into it."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def start(held: ExitStack) -> Any:
    """Starts workers, which end with the test."""
    running = held.enter_context(ReactorThread())

    def begin(count: int, *mappings: Mapping) -> RunningWorkers:
        started = RunningWorkers(running, count, *mappings)
        held.callback(started.stop)
        started.start()
        return started

    return begin
