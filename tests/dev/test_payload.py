"""Bodies beyond what the contract asks of both catalogs."""

from twisted.trial.unittest import SynchronousTestCase

from lbconsul.dev.http import HTTPError
from lbconsul.dev.payload import (
    Shape,
    duration,
    read,
    seconds,
    several,
    text,
    unsupported,
)

SHAPE: Shape = {
    "Name": text,
    "Wait": seconds,
    "HTTP": unsupported,
    "All": several(text),
}


class ReadTests(SynchronousTestCase):
    def test_names_in_any_case(self) -> None:
        """
        Fields are found by their names in any case, and nulls are left out.
        """
        body = b' {"NAME": "x", "wait": null, "All": ["a", null]}'
        self.assertEqual(read(body, SHAPE), {"Name": "x", "All": ["a"]})

    def test_durations(self) -> None:
        """
        A duration is text with a unit, or a number of nanoseconds.
        """
        self.assertEqual(read(b'{"Wait": "2s"}', SHAPE), {"Wait": 2})
        self.assertEqual(read(b'{"Wait": 5000000000}', SHAPE), {"Wait": 5})
        with self.assertRaises(HTTPError) as caught:
            read(b'{"Wait": true}', SHAPE)
        self.assertEqual(caught.exception.status, 400)

    def test_what_the_dev_catalog_does_not_do(self) -> None:
        """
        A request that Consul would accept and this catalog does not is refused in a
        sentence that names the part.
        """
        with self.assertRaises(HTTPError) as caught:
            read(b'{"HTTP": "http://localhost/"}', SHAPE)
        self.assertEqual(caught.exception.status, 400)
        self.assertIn("does not do HTTP", caught.exception.sentence)


class DurationTests(SynchronousTestCase):
    def test_units(self) -> None:
        """
        A duration is a number with its unit, or several of them.
        """
        said = {"60s": 60, "1m30s": 90, "0.5s": 0.5, ".5s": 0.5, "2h": 7200}
        short = {"100ms": 0.1, "20us": 2e-5, "20µs": 2e-5, "5ns": 5e-9}
        signed = {"+1s": 1, "-1s": -1, "0": 0}
        for each, number in {**said, **short, **signed}.items():
            self.assertAlmostEqual(duration(each), number, places=12, msg=each)

    def test_nonsense(self) -> None:
        """
        Without a unit, with an unknown one, or with anything around it, it is
        not a duration.
        """
        for each in ("", "5", "1d", " 1s", "1s ", "s", "1s1", "1e1s", "-", "--1s"):
            with self.assertRaises(ValueError, msg=each) as caught:
                duration(each)
            self.assertEqual(str(caught.exception), f'invalid duration "{each}"')
