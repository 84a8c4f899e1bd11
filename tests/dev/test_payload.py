"""Bodies beyond what the contract asks of both catalogs."""

from twisted.trial.unittest import SynchronousTestCase

from lbconsul.dev.payload import Shape, read, seconds, several, text, unsupported
from lbconsul.dev.refused import HTTPError

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
        What Consul would do and this catalog would not is refused in a sentence
        that names it.
        """
        with self.assertRaises(HTTPError) as caught:
            read(b'{"HTTP": "http://localhost/"}', SHAPE)
        self.assertEqual(caught.exception.status, 400)
        self.assertIn("does not do HTTP", caught.exception.sentence)
