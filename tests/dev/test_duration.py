"""Go's durations."""

from twisted.trial.unittest import SynchronousTestCase

from lbconsul.dev.duration import duration


class DurationTests(SynchronousTestCase):
    def test_units(self) -> None:
        """
        A duration is a number with its unit, or several of them.
        """
        said = {"60s": 60, "1m30s": 90, "0.5s": 0.5, ".5s": 0.5, "2h": 7200}
        short = {"100ms": 0.1, "20us": 2e-5, "20µs": 2e-5, "5ns": 5e-9}
        signed = {"+1s": 1, "-1s": -1, "0": 0}
        for text, seconds in {**said, **short, **signed}.items():
            self.assertAlmostEqual(duration(text), seconds, places=12, msg=text)

    def test_nonsense(self) -> None:
        """
        Without a unit, with an unknown one, or with anything around it, it is
        not a duration.
        """
        for text in ("", "5", "1d", " 1s", "1s ", "s", "1s1", "1e1s", "-", "--1s"):
            with self.assertRaises(ValueError, msg=text) as caught:
                duration(text)
            self.assertEqual(str(caught.exception), f'invalid duration "{text}"')
