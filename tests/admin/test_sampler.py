"""Sampling the status, as long as there are readers."""

import json
from typing import Any

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.admin.sampler import INTERVAL, Sampler
from lbconsul.admin.turns import Turns
from tests.support.fake_source import fake_source


class SlowClock(Clock):
    """A clock on which each look takes a millisecond."""

    def seconds(self) -> float:
        self.rightNow += 0.001
        return self.rightNow

    turns = 0

    def callLater(self, *arguments: Any, **named: Any) -> Any:
        self.turns += 1
        return super().callLater(*arguments, **named)


class TickerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.source: Any = fake_source(self.clock.seconds, 40)
        self.ticks = 0
        self.sampler = Sampler(self.clock, self.source, self._ticked, Turns(self.clock))

    def _ticked(self) -> None:
        self.ticks += 1

    def _delta(self) -> list[Any]:
        return [json.loads(each) for each in self.sampler.last.delta]

    def test_ticking(self) -> None:
        """
        The first look is all there is to know; later ones tell what is new.
        """
        self.assertFalse(self.sampler.last.is_known)
        self.sampler.start()
        self.sampler.start()
        self.clock.advance(0)
        self.assertEqual((self.ticks, self.sampler.last.number), (1, 1))
        self.assertTrue(self.sampler.last.is_known)
        self.assertEqual(self._delta(), [])
        self.assertEqual(self.sampler.last.other_since, 1)
        self.source.gateway_status = evolve(self.source.gateway_status, open=7)
        self.clock.advance(INTERVAL)
        self.assertEqual((self.ticks, self.sampler.last.number), (2, 2))
        self.assertEqual(self._delta()[0]["gateway"]["open"], 7)
        self.assertEqual(self.sampler.last.other_since, 1)
        self.source.mapping_list = self.source.mapping_list[1:]
        self.clock.advance(INTERVAL)
        self.assertEqual(self.sampler.last.other_since, 3)
        self.sampler.stop()

    def test_stopping(self) -> None:
        """Without readers nothing is sampled, and nothing kept."""
        self.sampler.stop()
        self.sampler.start()
        self.clock.advance(0)
        self.sampler.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(self.sampler.last.is_known)
        self.sampler.start()
        self.clock.advance(0)
        self.assertEqual(self.sampler.last.number, 2)
        self.sampler.stop()

    def test_giving_way(self) -> None:
        """
        A look at much is taken in many turns, and takes a small part of the time.
        """
        clock = SlowClock()
        source = fake_source(lambda: 0.0, 1000)
        sampler = Sampler(clock, source, self._ticked, Turns(clock))
        sampler.start()
        while not self.ticks:
            clock.advance(0.02)
        self.assertEqual(self.ticks, 1)
        self.assertGreater(clock.turns, 10)
        [call] = clock.getDelayedCalls()
        # Some hundred steps of a millisecond each, of which there may be 5 %.
        self.assertGreater(call.getTime() - clock.rightNow, 1.0)
        sampler.stop()

    def test_a_source_that_fails(self) -> None:
        """
        A bug in what is looked at does not end it.
        """
        mappings = self.source.mapping_list
        self.source.mapping_list = None
        self.sampler.start()
        self.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.source.mapping_list = mappings
        self.clock.advance(INTERVAL)
        self.assertTrue(self.sampler.last.is_known)
        self.sampler.stop()
