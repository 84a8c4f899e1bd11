"""The dev catalog over HTTP, where the contract cannot look: at its clock."""

from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IResponse

from lbconsul.dev.api import Api

HEALTH = "http://dev/v1/health/service/web"


class ApiTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.api = Api(self.clock, lambda: 0.5)
        self.treq: Any = StubTreq(self.api)

    def tearDown(self) -> None:
        self.api.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def put(self, path: str, **body: object) -> int:
        asked = self.treq.put(f"http://dev{path}", json=body)
        self.treq.flush()
        return int(self.successResultOf(asked).code)

    def register(self, **fields: object) -> None:
        said = {"Name": "web", **fields}
        self.assertEqual(self.put("/v1/agent/service/register", **said), 200)

    def see(self, query: str = "") -> Deferred[IResponse]:
        asked: Deferred[IResponse] = self.treq.get(HEALTH + query)
        self.treq.flush()
        return asked

    def index(self) -> int:
        headers = self.successResultOf(self.see()).headers
        return int(headers.getRawHeaders("X-Consul-Index")[0])

    def answer(self, asked: Deferred[IResponse]) -> list[str]:
        """The statuses of all checks but the agent's, once there is an answer."""
        self.treq.flush()
        response = self.successResultOf(asked)
        listed = self.successResultOf(self.treq.json_content(response))
        checks = [check for one in listed for check in one["Checks"]]
        return [c["Status"] for c in checks if c["CheckID"] != "serfHealth"]

    def test_the_wait_runs_out(self) -> None:
        """
        A query in vain is answered when its wait is over, and a bit more.
        """
        asked = self.see(f"?index={self.index()}&wait=16s")
        self.clock.advance(16.4)
        self.treq.flush()
        self.assertNoResult(asked)
        self.clock.advance(0.1)
        self.assertEqual(self.answer(asked), [])

    def test_a_ttl_ends(self) -> None:
        """A check turns critical when its TTL is over, and a blocked query sees it."""
        self.register(Check={"TTL": "30s", "Status": "passing"})
        asked = self.see(f"?index={self.index()}&wait=5m")
        self.clock.advance(29)
        self.assertEqual(self.put("/v1/agent/check/pass/service:web"), 200)
        self.clock.advance(29)
        self.treq.flush()
        self.assertNoResult(asked)
        self.clock.advance(1)
        self.assertEqual(self.answer(asked), ["critical"])

    def test_who_leaves_while_waiting(self) -> None:
        """
        A client that hangs up is forgotten: nothing is left to be done for it.
        """
        asked = self.see(f"?index={self.index()}")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        asked.cancel()
        self.failureResultOf(asked)
        self.treq.flush()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.register()

    def test_stopping(self) -> None:
        """A catalog that stops closes blocked queries."""
        self.register(Check={"TTL": "30s"})
        asked = self.see(f"?index={self.index()}")
        self.assertEqual(len(self.clock.getDelayedCalls()), 2)
        self.api.stop()
        self.treq.flush()
        self.failureResultOf(asked)

    def test_what_it_does_not_do(self) -> None:
        """
        A fake that does not do something says so, and names it.
        """
        wrong = {
            "/v1/health/service/web?filter=Service.Port==1": (400, "filter"),
            "/v1/catalog/nodes?filter=x": (400, "filter"),
            "/v1/agent/services?filter=x": (400, "filter"),
            "/v1/kv/some/key": (404, "/v1/kv/some/key"),
        }
        for path, (status, named) in wrong.items():
            asked = self.treq.get(f"http://dev{path}")
            self.treq.flush()
            response = self.successResultOf(asked)
            said = self.successResultOf(self.treq.text_content(response))
            self.assertEqual(response.code, status)
            self.assertIn(named, said)
            self.assertIn("dev catalog", said)

    def test_checks_of_other_kinds(self) -> None:
        """
        A check that the catalog would have to make itself is refused.
        """
        kinds: list[dict[str, object]] = [
            {"HTTP": "http://x", "Interval": "1s"},
            {"Args": ["true"]},
        ]
        for check in kinds:
            service = self.put("/v1/agent/service/register", Name="web", Check=check)
            alone = self.put("/v1/agent/check/register", Name="x", **check)
            self.assertEqual((service, alone), (400, 400))
