"""Counting for one process that balances alone."""

import gc
import weakref

from lbconsul.balance.counter import OwnTally
from tests.support.instances import an_identity


def test_one_load_each() -> None:
    """Whoever asks for an instance's load gets the same one, and others another."""
    tally = OwnTally()
    load = tally.load(an_identity("a"))
    assert tally.load(an_identity("a")) is load
    assert tally.load(an_identity("b")) is not load


def test_open_connections() -> None:
    """What is open is the sum over all instances."""
    tally = OwnTally()
    loads = [tally.load(an_identity(name)) for name in "ab"]
    loads[0].add(2)
    loads[1].add(1)
    tally.catch_up()
    assert tally.open_connections() == 3


def test_forgotten() -> None:
    """A load that nobody holds is gone."""
    tally = OwnTally()
    load = tally.load(an_identity("a"))
    load.add(1)
    gone = weakref.ref(load)
    gc.disable()
    try:
        del load
        assert gone() is None
    finally:
        gc.enable()
    assert tally.open_connections() == 0
