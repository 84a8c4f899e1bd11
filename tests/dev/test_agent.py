"""The agent's care for what the catalog has of it."""

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.dev.agent import Agent, CheckSpec
from lbconsul.dev.catalog import Catalog
from lbconsul.dev.records import Check, Service

NODE = "dev"
WEB = Service(NODE, "web-1", "web")
ANSWERS = CheckSpec(Check(NODE, "answers", "answers", service_id="web-1"), ttl=10)


class AgentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.catalog = Catalog()
        self.agent = Agent(self.catalog)
        self.agent.join()

    def statuses(self) -> dict[str, str]:
        _, (instance,) = self.catalog.instances("web")
        return {row.value.id: row.value.status for row in instance.checks}

    def test_a_ttl_ends(self) -> None:
        """A TTL check without an update in time turns critical, once."""
        self.agent.register_service(WEB, [ANSWERS], replace=False, now=100)
        self.agent.update_check("answers", "passing", "", now=100)
        self.assertEqual(self.agent.next_expiry(), 110)
        self.agent.expire(109)
        self.assertEqual(self.statuses()["answers"], "passing")
        self.agent.expire(110)
        self.assertEqual(self.statuses()["answers"], "critical")
        self.assertIsNone(self.agent.next_expiry())

    def test_critical_for_too_long(self) -> None:
        """A service that may be critical for a minute is gone in the round after it,
        unless it passes meanwhile."""
        spec = evolve(ANSWERS, removed_after=60)
        self.agent.register_service(WEB, [spec], replace=False, now=100)
        self.agent.update_check("answers", "passing", "", now=105)
        self.agent.expire(115)
        self.assertEqual(self.agent.next_expiry(), 180)
        self.agent.expire(179)
        self.assertEqual(self.statuses()["answers"], "critical")
        self.agent.expire(180)
        self.assertEqual(self.agent.services, {})
        self.assertIsNone(self.agent.next_expiry())

    def test_removed_behind_its_back(self) -> None:
        """
        An agent whose node was taken out of the catalog enters again with its
        next command, with all that is registered with it.
        """
        self.agent.register_service(WEB, [ANSWERS], replace=False, now=100)
        self.catalog.drop_node(NODE)
        self.agent.maintain_service("web-1", enable=True, reason="")
        expected = {"serfHealth", "answers", "_service_maintenance:web-1"}
        self.assertEqual(set(self.statuses()), expected)

    def test_a_service_removed_behind_its_back(self) -> None:
        """
        A service that was taken out of the catalog is there again as soon as
        one of its checks has something to say.
        """
        self.agent.register_service(WEB, [ANSWERS], replace=False, now=100)
        self.catalog.drop_service(NODE, "web-1")
        self.agent.update_check("answers", "passing", "", now=105)
        self.assertEqual(self.statuses()["answers"], "passing")
