"""Counting for one process that balances alone."""

import gc
import weakref

from lbconsul.balance.counter import LocalCounter
from tests.support.instances import an_identity


def test_one_load_each() -> None:
    """Each instance has one load, the same for every caller."""
    counter = LocalCounter()
    load = counter.load(an_identity("a"))
    assert counter.load(an_identity("a")) is load
    assert counter.load(an_identity("b")) is not load


def test_open_connections() -> None:
    """What is open is the sum over all instances."""
    counter = LocalCounter()
    loads = [counter.load(an_identity(name)) for name in "ab"]
    loads[0].add(2)
    loads[1].add(1)
    counter.sync()
    assert counter.open_connections() == 3


def test_forgotten() -> None:
    """An unreferenced load is freed."""
    counter = LocalCounter()
    load = counter.load(an_identity("a"))
    load.add(1)
    gone = weakref.ref(load)
    gc.disable()
    try:
        del load
        assert gone() is None
    finally:
        gc.enable()
    assert counter.open_connections() == 0
