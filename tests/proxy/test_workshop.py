"""What all factories of a process share."""

from attrs import evolve

from lbconsul.balance.registry import Registry
from lbconsul.config.model import Mapping
from lbconsul.proxy.selecting import route_of
from lbconsul.proxy.upkeep import EVERY
from lbconsul.proxy.workshop import Workshop
from tests.support.recording_reactor import RecordingReactor
from tests.support.upstreams import WEB, instance

MAPPING = Mapping("web", drain_timeout=5.0)


def workshop() -> Workshop:
    """One whose reactor is turned by hand."""
    return Workshop(RecordingReactor(), Registry(lambda: 0.0))


def test_factories() -> None:
    """It knows all factories that there are, and what they serve."""
    made = workshop()
    assert (made.routes, made.longest_drain) == (set(), 0.0)
    one = made.make(MAPPING)
    other = made.make(evolve(MAPPING, service="mail", drain_timeout=9.0))
    assert made.routes == {route_of(one.mapping), route_of(other.mapping)}
    assert made.longest_drain == 9.0
    assert one.room is other.room is made.room
    assert one.pipes is other.pipes


def test_gone() -> None:
    """What a factory accepted counts also when it is gone."""
    made = workshop()
    one, other = made.make(MAPPING), made.make(MAPPING)
    one.accepted, other.accepted = 3, 4
    assert made.accepted == 7
    made.drop(one)
    assert (made.accepted, made.open) == (7, 0)
    assert made.routes == {route_of(MAPPING)}


def test_tended() -> None:
    """Between start and stop all that there is is tended."""
    made = workshop()
    made.make(MAPPING)
    made.drop(made.make(MAPPING))
    made.start()
    made.start()
    made.reactor.advance(EVERY)
    assert len(made.reactor.getDelayedCalls()) == 1
    made.stop()
    assert made.reactor.getDelayedCalls() == []


def test_known() -> None:
    """Known is a mapping when somebody serves it, or it is sure that nobody does."""
    made = workshop()
    assert not made.is_known(MAPPING)
    made.registry.replace(WEB.question, [])
    assert made.is_known(MAPPING)
    mapping = evolve(MAPPING, dc=("dc1", "dc2"))
    one, two = (each.question for each in route_of(mapping).all())
    made.registry.replace(one, [])
    assert not made.is_known(mapping)
    made.registry.replace(one, [instance("a", 80)])
    assert made.is_known(mapping)
    made.registry.replace(one, [])
    made.registry.replace(two, [])
    assert made.is_known(mapping)
