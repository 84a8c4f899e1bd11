"""Host names to addresses, by the hosts file and DNS."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
from attrs import Factory, define
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lbconsul.consul.host_lookup import look_up
from lbconsul.consul.resolv_conf import ResolvConf
from lbconsul.consul.resolver import AT_ONCE, IN_ALL, LONGEST, SOON, HostResolver
from tests.support.descriptors import descriptors
from tests.support.in_reactor import run
from tests.support.name_server import DEAD, NameServer, Reply

T = TypeVar("T")

#: What the host of these tests has.
HOSTS = "127.0.0.1 localhost\n10.1.1.1 db.example db\n10.1.1.2 db\n"


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """A directory with the two files."""
    (tmp_path / "resolv.conf").write_text(
        "nameserver 127.0.0.1\nsearch corp.example\noptions timeout:1 attempts:1\n"
    )
    (tmp_path / "hosts").write_text(HOSTS)
    return tmp_path


def resolving(
    etc: Path, zone: dict[str, Reply], scene: Callable[[HostResolver], Awaitable[T]]
) -> T:
    """What comes of a scene with a resolver, and a server for this zone."""

    async def scenario(reactor: Any) -> T:
        resolver = HostResolver(
            reactor, etc / "resolv.conf", etc / "hosts", names.port, lambda _: True
        )
        return await scene(resolver)

    with NameServer(zone) as names:
        return run(scenario)


def found(etc: Path, zone: dict[str, Reply], *hosts: str) -> list[list[str]]:
    """The addresses of each."""

    async def scene(resolver: HostResolver) -> list[list[str]]:
        return await gatherResults([resolver.addresses(each) for each in hosts])

    return resolving(etc, zone, scene)


def test_names_in_dns(etc: Path) -> None:
    """Names are found as they stand, and in the search domains."""
    zone = {
        "web.corp.example": Reply(["10.0.0.1"]),
        "web.example": Reply(["10.0.0.2", "2001:db8::2"]),
        "my_consul.corp.example": Reply(["10.0.0.3"]),
        "xn--bcher-kva.example": Reply(["10.0.0.4"]),
    }
    hosts = ["web", "WEB.example", "web.example.", "my_consul", "bücher.example"]
    assert found(etc, zone, *hosts, "web.", "nobody") == [
        ["10.0.0.1"],
        ["2001:db8::2", "10.0.0.2"],
        ["2001:db8::2", "10.0.0.2"],
        ["10.0.0.3"],
        ["10.0.0.4"],
        [],
        [],
    ]


def test_without_dns(etc: Path) -> None:
    """
    IP addresses, the hosts file, localhost, and what is no name need no DNS server.
    """
    hosts = ["10.0.0.9", "::1", "fe80::1%lo", "DB", "db.example.", "localhost"]
    hosts += ["x.localhost", "nobody.invalid", "a..b", "x" * 64, "a\nb"]

    async def scene(resolver: HostResolver) -> list[list[str]]:
        return [await resolver.addresses(each) for each in hosts]

    (etc / "resolv.conf").write_text("nameserver 192.0.2.1")
    assert resolving(etc, {}, scene) == [
        ["10.0.0.9"],
        ["::1"],
        ["fe80::1%lo"],
        ["10.1.1.1", "10.1.1.2"],
        ["10.1.1.1"],
        ["127.0.0.1"],
        ["::1", "127.0.0.1"],
        *([[]] * 4),
    ]


def test_what_a_receiver_is_told(etc: Path) -> None:
    """As any resolver of Twisted's it tells addresses of the kinds that are wanted."""
    zone = {"web.example": Reply(["10.0.0.2", "2001:db8::2"])}

    async def scene(resolver: HostResolver) -> list[list[str]]:
        verifyObject(IHostnameResolver, resolver)
        return [await look_up(resolver, "web.example")]

    assert resolving(etc, zone, scene) == [["2001:db8::2", "10.0.0.2"]]

    async def only_four(resolver: HostResolver) -> list[object]:
        told: list[object] = []
        done: Deferred[None] = Deferred()

        class Receiver:
            def resolutionBegan(self, resolution: Any) -> None:
                told.append(resolution.name)

            addressResolved = told.append

            def resolutionComplete(self) -> None:
                done.callback(None)

        receiver: Any = Receiver()
        resolver.resolveHostName(receiver, "web.example", 80, [IPv4Address], "UDP")
        await done
        return told

    expected = ["web.example", IPv4Address("UDP", "10.0.0.2", 80)]
    assert resolving(etc, zone, only_four) == expected
    assert IPv6Address is not None


def test_files_that_change(etc: Path) -> None:
    """Both files are read again when they have changed, and may be missing."""

    async def scene(resolver: HostResolver) -> list[list[str]]:
        seen = []
        for hosts, conf in [
            ("10.3.3.3 db", "nameserver 127.0.0.1\nsearch other.example"),
            (None, None),
            ("10.4.4.4 db", "nameserver 127.0.0.1\nsearch corp.example"),
        ]:
            seen.append(await resolver.addresses("db"))
            seen.append(await resolver.addresses("web"))
            for name, text in (("hosts", hosts), ("resolv.conf", conf)):
                (etc / name).unlink(missing_ok=True)
                if text is not None:
                    (etc / name).write_text(text)
            for file in (resolver._hosts_file, resolver._conf_file):
                file._looked = None  # as after a second
        return seen

    zone = {
        "web.corp.example": Reply(["10.0.0.1"]),
        "web.other.example": Reply(["10.0.0.2"]),
        "web": Reply(["10.0.0.3"]),
        "db": Reply(["10.0.0.4"]),
    }
    assert resolving(etc, zone, scene) == [
        ["10.1.1.1", "10.1.1.2"],
        ["10.0.0.1"],
        ["10.3.3.3"],
        ["10.0.0.2"],
        ["10.0.0.4"],
        ["10.0.0.3"],
    ]


def test_a_path_that_is_no_file(etc: Path) -> None:
    """A path that is no regular file is not read."""
    for name in ("hosts", "resolv.conf"):
        (etc / name).unlink()
        os.mkfifo(etc / name)
    assert found(etc, {"web": Reply(["10.0.0.1"])}, "web", "db") == [["10.0.0.1"], []]


def test_directories(etc: Path) -> None:
    """
    Nor is a directory, as Docker makes one of a missing file to be mounted; no
    descriptor is lost for it.
    """
    for name in ("hosts", "resolv.conf"):
        (etc / name).unlink()
        (etc / name).mkdir()
    before = descriptors()
    assert found(etc, {"web": Reply(["10.0.0.1"])}, "web", "db") == [["10.0.0.1"], []]
    assert descriptors() <= before


def test_many_dead_names(etc: Path) -> None:
    """Whatever number of names is dead, a living one is found at once."""

    async def scene(resolver: HostResolver) -> list[str]:
        dead = [resolver.addresses(f"dead-{number}.example") for number in range(300)]
        good = await resolver.addresses("good.example")
        assert not any(each.called for each in dead)
        for each in dead:
            each.addErrback(lambda _: None).cancel()
        return good

    (etc / "resolv.conf").write_text("nameserver 127.0.0.1")

    zone = {f"dead-{number}.example": DEAD for number in range(300)}
    zone["good.example"] = Reply(["10.0.0.1"])
    assert resolving(etc, zone, scene) == ["10.0.0.1"]


@define(eq=False)
class FakeClient:
    """What asks the servers; the test says what comes of it."""

    asked: list[str] = Factory(list)
    pending: dict[str, "Deferred[list[str]]"] = Factory(dict)
    had: dict[str, bool] = Factory(dict)

    def has_found(self, name: str) -> bool | None:
        """Called by the resolver."""
        return self.had.get(name)

    async def find(self, name: str, conf: ResolvConf) -> list[str]:
        """Called by the resolver."""
        self.asked.append(name)
        self.pending[name] = Deferred()
        return await self.pending[name]

    def sorted(self, addresses: list[str]) -> list[str]:
        """Called by the resolver."""
        return addresses


class QueueTests(SynchronousTestCase):
    """Which names are looked up when there are many."""

    def setUp(self) -> None:
        self.clock = Clock()
        nowhere = Path("/nonexistent")
        self.resolver = HostResolver(self.clock, nowhere, nowhere)
        self.client = FakeClient()
        client: Any = self.client
        self.resolver._client = client

    def look_up(self, *names: str) -> "list[Deferred[list[str]]]":
        """Ask for these; the reactor turns until it has nothing to do at once."""
        found = [self.resolver.addresses(each) for each in names]
        self.turn()
        return found

    def turn(self) -> None:
        self.clock.pump([0.0] * 10)

    def dead(self, count: int) -> list[str]:
        """Names that are never found."""
        return [f"dead-{number}" for number in range(count)]

    def test_one_look_up_for_all(self) -> None:
        """Simultaneous look-ups of the same name share one answer."""
        one, other = self.look_up("web", "WEB")
        self.client.pending["web"].callback(["10.0.0.1"])
        self.assertEqual(self.successResultOf(one), ["10.0.0.1"])
        self.assertEqual(self.successResultOf(other), ["10.0.0.1"])
        self.assertEqual(self.client.asked, ["web"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_not_too_many_at_once(self) -> None:
        """
        Only so many look-ups begin within a moment; dead names hold others up no
        longer.
        """
        self.look_up(*self.dead(AT_ONCE), "good")
        self.assertNotIn("good", self.client.asked)
        self.clock.advance(SOON)
        self.turn()
        self.assertIn("good", self.client.asked)

    def test_not_too_many_in_all(self) -> None:
        """
        Only so many look-ups are pending; the others wait until one of them is over.
        """
        self.look_up(*self.dead(IN_ALL), "good")
        for _ in range(IN_ALL // AT_ONCE + 2):
            self.clock.advance(SOON)
            self.turn()
        self.assertEqual(len(self.client.asked), IN_ALL)
        self.client.pending["dead-7"].errback(TimeoutError())
        self.turn()
        self.assertEqual(self.client.asked[-1], "good")

    def test_who_goes_first(self) -> None:
        """Names that were found before; those that were not go last."""
        self.client.had = {"lost": False, "known": True}
        self.look_up(*self.dead(AT_ONCE))
        self.look_up("lost", "new", "known")
        self.clock.advance(SOON)
        self.turn()
        self.assertEqual(self.client.asked[AT_ONCE:], ["known", "new", "lost"])

    def test_a_look_up_is_bounded(self) -> None:
        """Whatever resolv.conf says, after a while a name cannot be resolved."""
        [found] = self.look_up("web")
        self.clock.advance(LONGEST)
        self.assertEqual(self.successResultOf(found), [])

    def test_nobody_waits_any_more(self) -> None:
        """A cancelled look-up is not begun, or ended."""
        one, other = self.look_up("web", "web")
        one.addErrback(lambda _: None).cancel()
        pending = self.client.pending["web"]
        self.assertFalse(pending.called)
        other.addErrback(lambda _: None).cancel()
        self.assertTrue(pending.called)
        queued = self.resolver.addresses("mail")
        queued.addErrback(lambda _: None).cancel()
        self.turn()
        self.assertEqual(self.client.asked, ["web"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_resolution_that_is_given_up(self) -> None:
        """By Twisted's interface, a caller may cancel its look-up."""
        found = look_up(self.resolver, "web").addErrback(lambda _: None)
        self.turn()
        found.cancel()
        self.assertTrue(self.client.pending["web"].called)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_who_hears_of_it_gives_up_another(self) -> None:
        """A callback may cancel another look-up."""
        one, other = self.look_up("web", "web")
        other.addErrback(lambda _: None)
        one.addCallback(lambda _: other.cancel())
        self.client.pending["web"].callback([])
        self.assertTrue(other.called)

    def test_a_bug(self) -> None:
        """A mistake of ours is in the log, and the name is not found."""
        [found] = self.look_up("web")
        self.client.pending["web"].errback(KeyError("a bug"))
        self.assertEqual(self.successResultOf(found), [])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_a_hosts_file_of_thousands_of_lines(self) -> None:
        """A large hosts file is read once, and not again for each name."""
        path = Path(self.enterContext(TemporaryDirectory())) / "hosts"
        lines = [f"10.0.{n // 250}.{n % 250} host-{n}" for n in range(5000)]
        path.write_text("\n".join(lines))
        resolver = HostResolver(self.clock, Path("/nonexistent"), path)
        file = resolver._hosts_file
        read: list[None] = []
        parse = file._parse

        def counted(text: str) -> Any:
            read.append(None)
            return parse(text)

        file._parse = counted
        for n in range(5000):
            known = self.successResultOf(resolver.addresses(f"host-{n}"))
            assert known == [f"10.0.{n // 250}.{n % 250}"]
        self.assertEqual(len(read), 1)
