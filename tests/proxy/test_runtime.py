"""What all proxies of a process share."""

from typing import Any

from attrs import evolve

from lbconsul.balance.instance import Health
from lbconsul.balance.registry import Registry
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import (
    Drain,
    Limits,
    Mapping,
    Timeouts,
    UpstreamTLS,
)
from lbconsul.net.periodic import EVERY
from lbconsul.proxy.runtime import ProxyRuntime
from lbconsul.proxy.targets import failover_spec
from lbconsul.stats.mapping import CROWD
from tests.support.idle_connection import IdleConnection
from tests.support.proxy_observer import CountingObserver
from tests.support.recording_reactor import RecordingReactor
from tests.support.tended_proxy import TendedProxy
from tests.support.upstreams import WEB, instance

MAPPING = Mapping("web", drain=Drain(timeout=5.0))

OBSERVER = CountingObserver()


def runtime() -> ProxyRuntime:
    """One whose reactor is turned by hand."""
    return ProxyRuntime(RecordingReactor(), Registry(lambda: 0.0))


def test_factories() -> None:
    """The runtime knows all proxies and their mappings."""
    made = runtime()
    assert (made.specs, made.longest_drain) == (set(), 0.0)
    one = made.make(MAPPING, OBSERVER)
    mail = evolve(MAPPING, service="mail", drain=Drain(timeout=9.0))
    other = made.make(mail, OBSERVER)
    assert made.specs == {failover_spec(one.mapping), failover_spec(other.mapping)}
    assert made.longest_drain == 9.0
    assert one.connection_limit is other.connection_limit is made.connection_limit
    assert one.relaying.pipes is other.relaying.pipes


def test_connections_of_a_removed_proxy_count() -> None:
    """Connections accepted by a removed proxy still count."""
    made = runtime()
    one, other = made.make(MAPPING, OBSERVER), made.make(MAPPING, OBSERVER)
    one.accepted, other.accepted = 3, 4
    assert made.accepted == 7
    made.drop(one)
    assert (made.accepted, made.open) == (7, 0)
    assert made.specs == {failover_spec(MAPPING)}


def test_tended() -> None:
    """Between start and stop all that there is is tended."""
    made = runtime()
    made.make(MAPPING, OBSERVER)
    made.drop(made.make(MAPPING, OBSERVER))
    made.start()
    made.start()
    made.reactor.advance(EVERY)
    assert len(made.reactor.getDelayedCalls()) == 1
    made.stop()
    assert made.reactor.getDelayedCalls() == []


def test_known() -> None:
    """
    A mapping is known once an upstream serves it, or all its queries are answered.
    """
    made = runtime()
    assert not made.is_known(MAPPING)
    made.registry.replace(WEB.query, [])
    assert made.is_known(MAPPING)
    mapping = evolve(MAPPING, dc=("dc1", "dc2"))
    one, two = (each.query for each in failover_spec(mapping).all())
    made.registry.replace(one, [])
    assert not made.is_known(mapping)
    made.registry.replace(one, [instance("a", 80)])
    assert made.is_known(mapping)
    made.registry.replace(one, [])
    made.registry.replace(two, [])
    assert made.is_known(mapping)


def test_known_while_names_are_looked_up() -> None:
    """Known upstreams serve at once; a client waits while there is none yet."""
    made = runtime()
    registry = made.registry
    ill = evolve(instance("a", 80), health=Health("critical", "down"))
    registry.replace(WEB.query, [ill], pending=True)
    assert not made.is_known(MAPPING)
    registry.replace(WEB.query, [ill, instance("b", 80)], pending=True)
    assert made.is_known(MAPPING)
    registry.replace(WEB.query, [ill], pending=True)
    assert not made.is_known(MAPPING)
    assert made.is_pending(MAPPING)
    registry.replace(WEB.query, [ill])
    assert made.is_known(MAPPING)
    assert not made.is_pending(MAPPING)


def test_dials_of_a_new_mapping_know_whether_consul_has_answered() -> None:
    """They wait for the first answer until a mapping's connect-timeout is over."""
    made = runtime()
    dialer = made.make(MAPPING, OBSERVER).dialer
    assert dialer.patience == MAPPING.timeouts.connect
    made.registry.replace(WEB.query, [])
    assert dialer.patience == 0.0


def test_connections_count_where_they_came_in() -> None:
    """Connections count for the mapping that accepted them, whatever changes."""
    made = runtime()
    mapping = Mapping("web", TCPListen("127.0.0.1", 80))
    one, other = (
        made.make(mapping, OBSERVER),
        made.make(evolve(mapping, tag="v2"), OBSERVER),
    )
    assert one.stats is other.stats
    one.stats.accepted = 3
    made.drop(one)
    made.drop(other)
    assert made.make(mapping, OBSERVER).stats.accepted == 3
    assert made.make(Mapping("web"), OBSERVER).stats.accepted == 0


def test_figures_of_lent_ones() -> None:
    """Mappings whose clients an embedder accepts are not mixed up."""
    made = runtime()
    web, mail = (
        made.make(Mapping("web"), OBSERVER),
        made.make(Mapping("mail"), OBSERVER),
    )
    web.stats.accepted = 3
    assert mail.stats.accepted == 0
    assert made.traffic(Mapping("mail")).stats is mail.stats


def test_tidings(proxy: TendedProxy) -> None:
    """The traffic has open connections, queued clients, and ejected upstreams."""
    made = ProxyRuntime(proxy.reactor, proxy.registry)
    made._poller = proxy.reactor
    listen = TCPListen("127.0.0.1", 80)
    mapping = Mapping("web", listen, limits=Limits(connections_per_upstream=1))
    proxies = [
        made.make(mapping, OBSERVER),
        made.make(evolve(mapping, timeouts=Timeouts(idle=7.0)), OBSERVER),
    ]
    assert made.traffic(mapping).used == set()
    one, other = proxy.server("a"), proxy.server("b")
    proxy.register(one.instance(), other.instance())
    assert proxy.registry.eject(other.instance().identity) == ""
    client = proxy.connect(proxies[0], "c1")
    proxy.connect(proxies[1], "c2")
    proxy.reactor.settle()
    told = made.traffic(mapping)
    assert (told.queued, told.stats.accepted) == (1, 2)
    [(key, (ejection, since))] = told.ejected.items()
    assert key == (0, other.instance().identity)
    assert ejection.reason == "by hand"
    assert since == proxy.reactor.seconds()
    assert told.used == {0}
    proxy.leave(client)
    proxy.pass_time(0.1)
    assert made.traffic(mapping).queued == 0
    made.close_connections()
    proxy.reactor.settle()


def test_who_is_gone() -> None:
    """Where instances come and go, what they came to is not kept for ever."""
    made = runtime()
    figures = made.make(MAPPING, OBSERVER).stats
    for number in range(CROWD + 1):
        figures.failed(instance(str(number), 80).identity, 1.0, "")
    made.registry.replace(WEB.query, [instance("7", 80)])
    made.start()
    made.reactor.advance(EVERY)
    assert list(figures.accounts) == [instance("7", 80).identity]
    made.stop()


def test_requests_under_way() -> None:
    """Requests under way and idle connections of all a mapping's proxies are told."""
    made = runtime()
    mapping = Mapping("web", TCPListen("127.0.0.1", 80), mode="http")
    one, other = made.make(mapping, OBSERVER), made.make(mapping, OBSERVER)
    assert one.http is not None
    assert other.http is not None
    assert not made.has_news(mapping)
    one.http.active, other.http.active = 1, 2
    assert made.has_news(mapping)
    one.http.active, other.http.active = 0, 0
    one.http.idle.count = 3
    assert made.has_news(mapping)
    other.http.active = 2
    traffic = made.traffic(mapping)
    assert (traffic.active_requests, traffic.idle_connections) == (2, 3)
    assert traffic.stats.http is not None


def test_idle_connections() -> None:
    """Routes share idle connections if they speak TLS to upstreams alike."""
    made = runtime()
    mapping = Mapping("web", TCPListen("127.0.0.1", 80), mode="http")
    over_tls = evolve(mapping, upstream_tls=UpstreamTLS(is_on=True))
    one, other, unlike, pinned = [
        made.make(each, OBSERVER).http
        for each in (
            mapping,
            evolve(mapping, listen=TCPListen("127.0.0.1", 81)),
            over_tls,
            evolve(over_tls, upstream_tls=UpstreamTLS(is_on=True, ca="own.pem")),
        )
    ]
    made.registry.replace(WEB.query, [instance("7", 80)])
    [upstream] = made.registry.pool(failover_spec(mapping).selections[0]).upstreams()
    assert one and other and unlike and pinned
    kept: Any = IdleConnection(upstream, upstream.instance, keeper=unlike.idle)
    unlike.idle.put(kept, 1.0)
    for each in (one, other, pinned):
        assert each.idle.take(upstream, 1.0) is None
    kept = IdleConnection(upstream, upstream.instance, keeper=one.idle)
    one.idle.put(kept, 1.0)
    assert other.idle.take(upstream, 1.0) is kept


def test_other_modes_have_no_requests() -> None:
    """A mapping that is not in HTTP mode has nothing of requests."""
    made = runtime()
    made.make(MAPPING, OBSERVER)
    traffic = made.traffic(MAPPING)
    assert (traffic.active_requests, traffic.idle_connections) == (0, 0)
    assert traffic.stats.http is None
    assert not made.has_news(MAPPING)
