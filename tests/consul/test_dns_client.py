"""Names that are asked of several servers, in several domains."""

from collections.abc import Callable
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.consul.dns_client import (
    OTHER_FAMILY,
    SILENT,
    SILENT_FOR,
    DNSClient,
    has_route,
)
from lbconsul.consul.dns_messages import NoSuchName, ServerFailed
from lbconsul.consul.resolv_conf import ResolvConf

Outcome = list[str] | Exception


@define(eq=False)
class FakeServer:
    """A server whose every answer the test gives."""

    clock: Clock
    #: What was asked, in order, and what is under way.
    asked: list[tuple[str, int]] = Factory(list)
    pending: dict[tuple[str, int], "Deferred[list[str]]"] = Factory(dict)
    #: What is answered at once.
    known: dict[tuple[str, int], Outcome] = Factory(dict)
    silent: int = 0
    silent_since: float = 0.0

    def ask(
        self, name: str, kind: int, timeout: float, *, use_tcp: bool = False
    ) -> "Deferred[list[str]]":
        """Called by the client."""
        self.asked.append((name, kind))
        answer: Deferred[list[str]] = Deferred()
        answer.addTimeout(timeout, self.clock, self.late)
        self.pending[name, kind] = answer
        if (name, kind) in self.known:
            self.answer(name, kind, self.known[name, kind])
        return answer

    def late(self, result: object, timeout: float) -> list[str]:
        """The server did not answer in time."""
        self.silent += 1
        self.silent_since = self.clock.seconds()
        raise TimeoutError

    def answer(self, name: str, kind: int, outcome: Outcome) -> None:
        """The outcome of a query."""
        answer = self.pending.pop((name, kind))
        if isinstance(outcome, Exception):
            answer.errback(outcome)
        else:
            answer.callback(outcome)


class DNSClientTests(SynchronousTestCase):
    """Two servers, unless a test says otherwise; each name is looked up once."""

    conf = ResolvConf(("192.0.2.1", "192.0.2.2"))

    def setUp(self) -> None:
        self.clock = Clock()
        self.no_route: set[str] = set()
        self.client = DNSClient(
            self.clock, has_route=lambda address: address not in self.no_route
        )
        self.servers = {host: FakeServer(self.clock) for host in self.conf.servers}
        self.client._servers = dict[str, Any](self.servers)
        self.one, self.other = self.servers.values()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def find(self, name: str, **conf: Any) -> "Deferred[list[str]]":
        """Look a name up; `conf` are other fields of resolv.conf."""
        settings: dict[str, Any] = {"servers": self.conf.servers, **conf}
        found = self.client.find(name, ResolvConf(**settings))
        return Deferred.fromCoroutine(found)

    def answer(self, name: str, four: Outcome, six: Outcome) -> None:
        """The first server answers both questions for a name."""
        self.one.answer(name, dns.A, four)
        self.one.answer(name, dns.AAAA, six)

    def test_both_families(self) -> None:
        """Both are asked for at once, and IPv6 comes first."""
        found = self.find("web")
        self.answer("web", ["10.0.0.1"], ["2001:db8::1"])
        self.assertEqual(self.successResultOf(found), ["2001:db8::1", "10.0.0.1"])
        self.assertEqual(self.other.asked, [])

    def test_without_a_route(self) -> None:
        """Where there is no IPv6, its addresses are tried last."""
        self.no_route.add("2001:db8::1")
        found = self.find("web")
        self.answer("web", ["10.0.0.1"], ["2001:db8::1"])
        self.assertEqual(self.successResultOf(found), ["10.0.0.1", "2001:db8::1"])

    def test_one_family_fails(self) -> None:
        """A failure of one family is no failure of the look-up."""
        found = self.find("web", attempts=1)
        self.answer("web", ServerFailed(), ["2001:db8::1"])
        self.other.answer("web", dns.A, ServerFailed())
        self.assertEqual(self.successResultOf(found), ["2001:db8::1"])

    def test_one_family_is_late(self) -> None:
        """A late family is not waited for long, once the other one has an address."""
        found = self.find("web")
        self.one.answer("web", dns.A, ["10.0.0.1"])
        self.clock.advance(OTHER_FAMILY - 0.1)
        self.assertNoResult(found)
        self.clock.advance(0.2)
        self.assertEqual(self.successResultOf(found), ["10.0.0.1"])

    def test_one_family_is_of_no_use(self) -> None:
        """An address without a route is no reason not to wait for the others."""
        self.no_route.add("2001:db8::1")
        found = self.find("web")
        self.one.answer("web", dns.AAAA, ["2001:db8::1"])
        self.clock.advance(2 * OTHER_FAMILY)
        self.one.answer("web", dns.A, ["10.0.0.1"])
        self.assertEqual(self.successResultOf(found), ["10.0.0.1", "2001:db8::1"])

    def test_a_family_that_is_late_keeps_what_it_had(self) -> None:
        """A family that could not be asked keeps its addresses."""
        for late in (False, True, False):
            found = self.find("web")
            self.one.answer("web", dns.AAAA, ["2001:db8::1"])
            if late:
                self.clock.advance(2 * OTHER_FAMILY)
            else:
                self.one.answer("web", dns.A, ["10.0.0.1"])
            self.assertEqual(self.successResultOf(found), ["2001:db8::1", "10.0.0.1"])
        found = self.find("web")
        self.answer("web", [], ["2001:db8::1"])
        self.assertEqual(self.successResultOf(found), ["2001:db8::1"])

    def test_no_such_name(self) -> None:
        """A name that is none has no address; its other family is not waited for."""
        found = self.find("web")
        self.one.answer("web", dns.A, NoSuchName())
        self.clock.advance(2 * OTHER_FAMILY)
        self.assertEqual(self.successResultOf(found), [])
        self.assertIs(self.client.has_found("web"), False)

    def test_no_such_name_of_one_family(self) -> None:
        """Some servers say so of names that just have no IPv6 address (RFC 4074)."""
        found = self.find("web")
        self.answer("web", ["10.0.0.1"], NoSuchName())
        self.assertEqual(self.successResultOf(found), ["10.0.0.1"])

    def test_without_aaaa(self) -> None:
        """IPv6 is not asked for if it is not wanted."""
        found = self.find("web", no_aaaa=True)
        self.one.answer("web", dns.A, ["10.0.0.1"])
        self.assertEqual(self.successResultOf(found), ["10.0.0.1"])
        self.assertEqual(self.one.asked, [("web", dns.A)])

    def test_search_domains(self) -> None:
        """A name is searched until a domain has an address for it."""
        outcomes: dict[str, Outcome] = {
            "none.example": NoSuchName(),
            "empty.example": [],
            "fails.example": ServerFailed(),
            "good.example": ["10.0.0.1"],
        }
        self.one.known = {
            (f"web.{domain}", kind): outcome
            for domain, outcome in outcomes.items()
            for kind in (dns.A, dns.AAAA)
        }
        self.other.known = self.one.known
        domains = ("none.example", "empty.example", "fails.example", "good.example")
        found = self.find("web", search=(*domains, "more.example"))
        self.assertEqual(self.successResultOf(found), ["10.0.0.1"])
        self.assertNotIn(("web.more.example", dns.A), self.one.asked)

    def test_search_domains_that_all_fail(self) -> None:
        """A failed look-up is another error than a name that does not exist."""
        self.one.known = {
            ("web.a", dns.A): ServerFailed(),
            ("web.a", dns.AAAA): ServerFailed(),
            ("web", dns.A): NoSuchName(),
            ("web", dns.AAAA): NoSuchName(),
        }
        self.other.known = self.one.known
        self.failureResultOf(self.find("web", search=("a",)), ServerFailed)

    def test_a_domain_that_does_not_answer(self) -> None:
        """
        A search domain that fails ends the search: a name of another domain would be a
        different host.
        """
        found = self.find("web", search=("a", "b"), attempts=1, timeout=2)
        self.clock.pump([2.0, 2.0])
        self.failureResultOf(found, TimeoutError)
        self.assertNotIn(("web.b", dns.A), self.one.asked)

    def test_a_server_that_fails(self) -> None:
        """
        After a failure the next server is asked at once, and the failed one not again.
        """
        found = self.find("web", no_aaaa=True)
        self.one.answer("web", dns.A, ServerFailed())
        self.clock.advance(5.0)
        self.clock.advance(5.0)
        self.failureResultOf(found, TimeoutError)
        self.assertEqual((len(self.one.asked), len(self.other.asked)), (1, 2))

    def test_silent_servers(self) -> None:
        """Each is asked as often as is said, and has as long as is said."""
        found = self.find("web", no_aaaa=True, timeout=2, attempts=3)
        for number in range(6):
            self.assertEqual(len(self.one.asked + self.other.asked), number + 1)
            self.clock.advance(2.0)
        self.failureResultOf(found, TimeoutError)
        self.assertIs(self.client.has_found("web"), False)

    def test_a_silent_server_goes_last(self) -> None:
        """A server that was silent several times is asked last for a while."""
        self.other.known = {(name, dns.A): ["10.0.0.1"] for name in "abcdef"}
        for name in "abc"[:SILENT]:
            found = self.find(name, no_aaaa=True)
            self.clock.advance(5.0)
            self.assertEqual(self.successResultOf(found), ["10.0.0.1"])
        self.successResultOf(self.find("d", no_aaaa=True))
        self.assertNotIn(("d", dns.A), self.one.asked)
        self.clock.advance(SILENT_FOR)
        found = self.find("e", no_aaaa=True)
        self.one.answer("e", dns.A, ["10.0.0.2"])
        self.assertEqual(self.successResultOf(found), ["10.0.0.2"])

    def test_servers_take_turns(self) -> None:
        """If it is said that they do."""
        for server in (self.one, self.other):
            server.known = {(name, dns.A): ["10.0.0.1"] for name in "abcd"}
        for name in "abcd":
            self.successResultOf(self.find(name, no_aaaa=True, rotate=True))
        self.assertEqual((len(self.one.asked), len(self.other.asked)), (2, 2))

    def test_other_servers(self) -> None:
        """Servers that resolv.conf names no longer are forgotten."""
        found = self.find("web", servers=("192.0.2.2",), no_aaaa=True)
        self.other.answer("web", dns.A, ["10.0.0.1"])
        self.assertEqual(self.successResultOf(found), ["10.0.0.1"])
        self.assertEqual(list(self.client._servers), ["192.0.2.2"])

    def test_given_up(self) -> None:
        """A cancelled look-up leaves nothing behind."""
        for given_up in (self.find("web"), self.find("mail")):
            self.one.known["mail", dns.A] = ["10.0.0.1"]
            given_up.addErrback(lambda _: None)
            given_up.cancel()

    def test_what_is_remembered_is_bounded(self) -> None:
        """Of very many names the oldest are forgotten."""
        self.patch(*_bound(2))
        for name in "abc":
            self.one.known[name, dns.A] = ["10.0.0.1"]
            self.successResultOf(self.find(name, no_aaaa=True))
        known = [self.client.has_found(name) for name in "abc"]
        self.assertEqual(known, [None, True, True])


def _bound(most: int) -> tuple[Any, str, int]:
    from lbconsul.consul import dns_client

    return dns_client, "_MOST_REMEMBERED", most


def test_routes() -> None:
    """There is one to this host, and none to where nothing can be sent."""
    routes: Callable[[str], bool] = has_route
    assert routes("127.0.0.1")
    assert not routes("fe80::1")
