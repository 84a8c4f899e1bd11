"""Which part of a split each client gets, and what if it has no instance."""

from collections import Counter

from attrs import evolve

from lbconsul.balance.instance import Instance
from lbconsul.balance.upstream import Outcome
from lbconsul.config.model import Limits, Mapping
from lbconsul.proxy.access_control import AccessControl, admitted_by
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.stats.termination import Termination
from tests.support import loopback
from tests.support.instances import an_instance
from tests.support.tended_proxy import TendedProxy


def _parts_of(whole: MappingProxy, addresses: list[object]) -> list[str]:
    """The names of the parts that clients with these addresses get."""
    assert whole.split is not None
    parts = [whole.split.of_client(each).mapping.part for each in addresses]
    return [part.name for part in parts if part is not None]


def _clients(count: int) -> list[object]:
    return [(f"192.0.{n // 256}.{n % 256}", 4000) for n in range(count)]


def _two() -> list[Instance]:
    return [an_instance("a"), an_instance("b", tags=["canary"])]


def test_shares(proxy: TendedProxy) -> None:
    """Each client counts, whatever its address."""
    proxy.register(*_two())
    rest, canary = proxy.serve_split("80:web,split=5%:tag=canary")
    assert (rest.is_usable, canary.is_usable) == (True, True)
    assert Counter(_parts_of(rest, _clients(100))) == {"": 95, "tag=canary": 5}
    assert rest.split is not None
    rest.split.reweigh([1, 1])
    assert Counter(_parts_of(rest, _clients(100))) == {"": 50, "tag=canary": 50}


def test_unusable(proxy: TendedProxy) -> None:
    """A part without an instance gets nothing; where no part has one it is the rest
    that says so.
    """
    rest, _ = proxy.serve_split("80:web,split=5%:tag=canary")
    assert set(_parts_of(rest, _clients(50))) == {""}
    proxy.register(*_two()[1:])
    assert set(_parts_of(rest, _clients(50))) == {"tag=canary"}


class TestBySource:
    """A client stays in its part, as long as that is usable."""

    def test_clients_stay(self, proxy: TendedProxy) -> None:
        """A client always gets the same part; about the share of them gets it."""
        proxy.register(*_two())
        text = "80:web,split=5%:tag=canary,split-sticky=source"
        rest, _ = proxy.serve_split(text)
        clients = _clients(4000)
        first = _parts_of(rest, clients)
        assert first == _parts_of(rest, clients)
        assert 140 < first.count("tag=canary") < 260
        more, _ = proxy.serve_split(text.replace("5%", "50%"))
        later = _parts_of(more, clients)
        assert 1800 < later.count("tag=canary") < 2200
        # None of those that have seen the canary goes back.
        kept = [after for before, after in zip(first, later, strict=True) if before]
        assert set(kept) == {"tag=canary"}

    def test_while_its_part_is_gone(self, proxy: TendedProxy) -> None:
        """Its part is chosen anew, and is the former one when that is back."""
        proxy.register(*_two())
        text = "80:web,split=50%:tag=canary,split-sticky=source"
        rest, _ = proxy.serve_split(text)
        clients = _clients(50)
        before = _parts_of(rest, clients)
        proxy.register(*_two()[:1])
        assert set(_parts_of(rest, clients)) == {""}
        proxy.register(*_two())
        assert _parts_of(rest, clients) == before

    def test_one_network_is_one_client(self, proxy: TendedProxy) -> None:
        """An IPv6 client changes its address within its network; one of a UNIX socket
        has none.
        """
        proxy.register(*_two())
        text = "80:web,split=50%:tag=canary,split-sticky=source"
        rest, canary = proxy.serve_split(text)
        network: list[object] = [(f"2001:db8::{n:x}", 4000, 0, 0) for n in range(20)]
        assert len(set(_parts_of(rest, network))) == 1
        assert Counter(_parts_of(rest, ["", ""])) == {"": 1, "tag=canary": 1}
        assert rest.split is not None
        none = [rest.split.of_source("") for _ in range(2)]
        assert set(none) == {rest, canary}


def test_a_canary_that_refuses(proxy: TendedProxy) -> None:
    """No client of a canary fails that refuses: they go to the rest, and after three
    of them the canary is ejected, though it has one instance; then it is probed.
    """
    web = proxy.server("a")
    gone = proxy.refusing("b")
    proxy.register(web.instance(), _with_tag(gone))
    rest, canary = proxy.serve_split("80:web,split=50%:tag=canary")
    for number in range(20):
        proxy.connect(rest, f"c{number}")
    assert len(web.heard()) == 20
    assert not _takes(canary)
    assert canary.stats.accepted == 3
    assert rest.stats.accepted == 17
    assert rest.accepted == 20
    [upstream] = canary._failover.pools[0].upstreams()
    proxy.pass_time(15.0, 1.0)
    assert _takes(canary)  # a probe is due
    lease = canary._failover.lease()
    assert (lease.upstream, lease.probing) == (upstream, True)
    assert not _takes(canary)
    lease.showed(Outcome.SUCCESS)
    assert _takes(canary)
    lease.end()


def _takes(part: MappingProxy) -> bool:
    return part.is_usable


def _with_tag(instance: Instance) -> Instance:
    return evolve(instance, tags=("canary",))


def test_limits_of_clients(proxy: TendedProxy) -> None:
    """A client's connections to all parts count together, and only while they last."""
    server = proxy.server("a")
    other = proxy.server("b")
    proxy.register(server.instance(), _with_tag(other.instance()))
    text = "80:web,split=50%:tag=canary,max-connections-per-client=2"
    rest, canary = proxy.serve_split(text)
    assert rest.access_control is not None
    clients = []
    for number in range(3):
        ours, client = loopback.tcp_pair()
        clients.append(client)
        proxy.accept(rest, ours, ("192.0.2.1", number))
    assert (rest.stats.accepted, canary.stats.accepted) == (2, 1)
    assert (len(rest.sessions), len(canary.sessions)) == (1, 1)
    for each in clients:
        proxy.leave(each)
    assert (len(rest.sessions), len(canary.sessions)) == (0, 0)
    assert rest.access_control.refuse(("192.0.2.1", 9)) is None


def test_after_a_handshake(proxy: TendedProxy) -> None:
    """A client that has had a handshake is of a part then, and is counted there; what
    admitted it counts it as long as it is connected.
    """
    server, other = proxy.server("a"), proxy.server("b")
    proxy.register(server.instance(), _with_tag(other.instance()))
    text = "80:web,split=50%:tag=canary,wait-for-client=on"
    rest, canary = proxy.serve_split(f"{text},max-connections-per-client=2")
    assert rest.access_control is not None
    clients = []
    for number in range(3):
        ours, client = loopback.tcp_pair()
        client.sendall(b"c%d" % number)
        clients.append(client)
        proxy.accept(rest, ours, ("192.0.2.1", number))
    heard = server.heard(), other.heard()
    assert sorted(map(len, heard)) == [1, 1]
    # The third one was refused by the whole.
    assert (rest.stats.accepted, canary.stats.accepted) == (2, 1)
    assert (len(rest.sessions), len(canary.sessions)) == (1, 1)
    for each in clients:
        proxy.leave(each)
    assert rest.access_control.refuse(("192.0.2.1", 9)) is None


def test_routes(proxy: TendedProxy) -> None:
    """The clients of a route are counted by the mapping, the route, and the part."""
    whole = AccessControl.of(Mapping("web", limits=Limits(connections_per_client=2)))
    route = AccessControl.of(Mapping("web", limits=Limits(connections_per_client=1)))
    assert admitted_by([None]) is None
    assert admitted_by([whole, None]) is whole
    both = admitted_by([whole, route])
    assert whole is not None
    assert route is not None
    assert both is not None
    peer = ("192.0.2.1", 1)
    assert whole.refuse(peer) is route.refuse(peer) is None
    assert route.refuse(peer) is Termination.CLIENT_LIMIT
    both.release(peer)
    assert route.refuse(peer) is None
