"""The web servers to balance over."""

from typing import Any

from treq.testing import StubTreq
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.dev.samples import Sample


class SampleTests(SynchronousTestCase):
    def test_who_answers(self) -> None:
        """
        Each answer says who gave it and how many there were.
        """
        treq: Any = StubTreq(Sample("web-1", 9000))
        said = []
        for path in ("/", "/any/where"):
            response = self.successResultOf(treq.get(f"http://sample{path}"))
            said.append(self.successResultOf(treq.text_content(response)))
        self.assertEqual(
            said,
            [
                "web-1 on port 9000 has answered 1 time\n",
                "web-1 on port 9000 has answered 2 times\n",
            ],
        )
        self.assertEqual(response.headers.getRawHeaders("X-Served-By"), ["web-1"])
