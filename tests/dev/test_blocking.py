"""Queries that wait."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.dev.blocking import BlockedQuery, Sleepers, wanted_index, wanted_wait
from lbconsul.dev.http import ConsulRequest, HTTPError


def asking(**args: str) -> ConsulRequest:
    return ConsulRequest("web", {key: [said] for key, said in args.items()}, b"")


class WantedTests(SynchronousTestCase):
    def test_how_long(self) -> None:
        """
        A query waits as long as it says, ten minutes at most, and five where
        it says nothing or nothing sensible.
        """
        said = {"5s": 5, "1h": 600, "0": 300, "-1s": 300, "": 300}
        for wait, seconds in said.items():
            self.assertEqual(wanted_wait(asking(wait=wait)), seconds)
        self.assertEqual(wanted_wait(asking()), 300)

    def test_how_new(self) -> None:
        """
        An index is a number that Go can hold, and nothing is 0.
        """
        self.assertEqual(wanted_index(asking(index="17")), 17)
        self.assertEqual(wanted_index(asking(index="")), 0)
        for nonsense in ("x", "-1", "1.0", "²", str(2**64)):
            self.assertRaises(HTTPError, wanted_index, asking(index=nonsense))


class SleepersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sleepers = Sleepers(self.clock, lambda: 0.5)
        self.happened: list[str] = []
        self.due = False

    def sleeper(self) -> BlockedQuery:
        return BlockedQuery(
            is_due=lambda: self.due,
            answer=lambda: self.happened.append("answered"),
            hang_up=lambda: self.happened.append("hung up"),
        )

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_wait_runs_out(self) -> None:
        """
        A blocked query without a change is answered when the wait is over, or up to a
        sixteenth later by chance.
        """
        self.sleepers.add(self.sleeper(), 32)
        self.clock.advance(32.9)
        self.assertEqual(self.happened, [])
        self.clock.advance(0.1)
        self.assertEqual(self.happened, ["answered"])

    def test_a_change(self) -> None:
        """
        A change wakes only those that it concerns, and only once.
        """
        self.sleepers.add(self.sleeper(), 32)
        self.sleepers.wake()
        self.assertEqual(self.happened, [])
        self.due = True
        self.sleepers.wake()
        self.sleepers.wake()
        self.assertEqual(self.happened, ["answered"])

    def test_the_end(self) -> None:
        """When the catalog ends, blocked queries get no answer."""
        self.sleepers.add(self.sleeper(), 32)
        self.sleepers.hang_up()
        self.assertEqual(self.happened, ["hung up"])

    def test_who_leaves(self) -> None:
        """A client that leaves is forgotten, and may be forgotten again."""
        sleeper = self.sleeper()
        self.sleepers.add(sleeper, 32)
        self.sleepers.forget(sleeper)
        self.sleepers.forget(sleeper)
        self.due = True
        self.sleepers.wake()
        self.assertEqual(self.happened, [])
