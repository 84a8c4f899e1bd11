"""What a mapping selects."""

from attrs import evolve

from lbconsul.balance.pool_spec import (
    FailoverSpec,
    InstanceFilter,
    OutlierConfig,
    Selection,
    ServiceQuery,
    ShrinkGuardConfig,
    Trait,
)
from lbconsul.config import split
from lbconsul.config.build import configure
from lbconsul.config.model import Mapping, WhenEmpty
from lbconsul.proxy.targets import failover_spec


def _route(text: str) -> FailoverSpec:
    [mapping] = configure([], [text]).mappings
    return failover_spec(mapping)


def test_all_that_is_said() -> None:
    """Each of a mapping's options that concern the catalog takes part."""
    text = "80:web,dc=a,filter=b,near=c,tag=d,health=passing,node-checks=off,policy=p2c"
    [selection] = _route(text).all()
    assert selection.query == ServiceQuery("web", "a", "b", "c")
    assert selection.rules == InstanceFilter("d", frozenset({"passing"}), False)
    assert selection.policy == "p2c"


def test_selections() -> None:
    """Rows with other parts of a service are other pools of one watch, but for when
    none is left: the fallback is another service.
    """
    canary = split.Trait("canary")
    web = Mapping("web", when_empty=WhenEmpty(fallback="old"))
    part = evolve(web, selection=split.Selection(having=(canary,)))
    rest = evolve(web, selection=split.Selection(lacking=(canary,)))
    pools = [failover_spec(each).all() for each in (web, part, rest)]
    assert {first.query for first, _ in pools} == {ServiceQuery("web")}
    assert [first.rules.selection for first, _ in pools] == [
        None,
        Selection((Trait("canary"),)),
        Selection((), (Trait("canary"),)),
    ]
    assert {fallback.rules.selection for _, fallback in pools} == {None}


def test_nothing_said() -> None:
    """Without options there is one pool of the service, with a shrink guard."""
    [selection] = failover_spec(Mapping("web")).all()
    assert (selection.query, selection.rules) == (
        ServiceQuery("web"),
        InstanceFilter(),
    )
    assert selection.caution == ShrinkGuardConfig(0.5, 30.0, critical=True)
    assert (selection.slow_start, selection.limit) == (0.0, 0)


def test_patience() -> None:
    """How much failing is borne is part of it; the longest time is the first one's."""
    options = "eject-after=5,eject-base-time=20m,eject-on-early-close=off"
    [selection] = _route(f"80:web,{options}").all()
    assert selection.patience == OutlierConfig(5, 1200.0, 1200.0, False)
    [selection] = _route("80:web,mode=http,eject-5xx=7").all()
    assert selection.patience == OutlierConfig(errors=7)
    [selection] = _route("80:web,eject-base-time=1s").all()
    assert selection.patience == OutlierConfig(3, 1.0, 300.0, True)


def test_datacenters() -> None:
    """Each datacenter has a pool of its own, in the order in which they stand."""
    route = _route("80:web,dc=a|b,failback-after=5s,tag=v2")
    assert [each.query.datacenter for each in route.selections] == ["a", "b"]
    assert {each.rules.tag for each in route.selections} == {"v2"}
    assert (route.failback_after, route.fallback) == (5.0, None)


def test_fallback() -> None:
    """A fallback is another service, with the same rules, or an address."""
    route = _route("80:web,dc=a,tag=v2,when-empty=fallback=sorry")
    assert route.fallback is not None
    assert route.fallback.query == ServiceQuery("sorry")
    assert route.fallback.rules.tag == "v2"
    assert route.all() == (*route.selections, route.fallback)


def test_an_address_as_fallback() -> None:
    """An address needs no tag and no check to be a fallback."""
    route = _route("80:web,tag=v2,health=passing,when-empty=fallback=10.0.0.9:80")
    assert route.fallback is not None
    assert route.fallback.query.fixed
    assert route.fallback.rules == InstanceFilter()


def test_what_is_closed_at_once_is_not_doubted() -> None:
    """Where critical instances are to be left at once, no new client gets there."""
    [selection] = _route("80:web,close-on-critical=on,shrink-hold=5s").all()
    assert selection.caution == ShrinkGuardConfig(0.5, 5.0, critical=False)
    [selection] = _route("80:web,shrink-guard=off").all()
    assert selection.caution.part == 0


def test_connection_limit_and_slow_start() -> None:
    """How many connections an instance may have, and how slowly it may start."""
    [selection] = _route("80:web,max-connections-per-upstream=7,slow-start=5s").all()
    assert (selection.limit, selection.slow_start) == (7, 5.0)


def test_without_a_service() -> None:
    """A mapping whose routes alone have a service has no pool."""
    [mapping] = configure([], ["443:-,mode=sni,dc=a|b"], ["443:a.com=a"]).mappings
    spec, route = map(failover_spec, mapping.rows)
    assert spec == FailoverSpec(())
    assert [each.query for each in route.all()] == [
        ServiceQuery("a", "a"),
        ServiceQuery("a", "b"),
    ]
