"""What an instance may get, by what Consul says of it."""

import pytest
from attrs import evolve

from lbconsul.balance.instance import STATUSES, Status
from lbconsul.balance.pool_spec import InstanceFilter, Selection, Trait
from lbconsul.balance.standing import (
    GONE,
    MANUALLY_DRAINED,
    Standing,
    Verdict,
    evaluate,
)
from tests.support.instances import an_instance

ANY = frozenset({"passing", "warning", "critical"})


def test_passing() -> None:
    """A passing instance serves, by its weight for passing."""
    verdict = evaluate(an_instance(weight=7, warning_weight=3), InstanceFilter())
    assert verdict == Verdict(Standing.SERVING, 7, "passing")


def test_warning() -> None:
    """An instance with a warning serves by its weight for that."""
    instance = an_instance(weight=7, warning_weight=3, status="warning", reason="slow")
    assert evaluate(instance, InstanceFilter()) == Verdict(Standing.SERVING, 3, "slow")


@pytest.mark.parametrize("status", ["critical", "maintenance"])
def test_unfit(status: Status) -> None:
    """An instance in a bad state drains, and the reason is its check's."""
    verdict = evaluate(an_instance(status=status, reason="on fire"), InstanceFilter())
    assert verdict == Verdict(
        Standing.DRAINING,
        1,
        "on fire",
        deliberate=status == "maintenance",
        is_critical=status == "critical",
    )


@pytest.mark.parametrize(
    ("health", "serving"),
    [
        (frozenset({"passing"}), ["passing"]),
        (frozenset({"passing", "warning"}), ["passing", "warning"]),
        (ANY, ["passing", "warning", "critical"]),
    ],
)
def test_health_option(health: frozenset[str], serving: list[Status]) -> None:
    """A mapping says which statuses get connections; maintenance never does."""
    verdicts = {
        status: evaluate(an_instance(status=status), InstanceFilter(health=health))
        for status in STATUSES
    }
    found = [
        status
        for status, verdict in verdicts.items()
        if verdict.standing is Standing.SERVING
    ]
    assert found == serving


@pytest.mark.parametrize(
    ("tag", "selected"), [("", 1), ("v2", 1), ("V2", 1), ("v1", 0)]
)
def test_tag(tag: str, selected: bool) -> None:
    """An instance without the mapping's tag is unselected, and that is deliberate."""
    verdict = evaluate(an_instance(tags=["v2", "eu"]), InstanceFilter(tag=tag))
    assert verdict.is_unselected is not bool(selected)
    if not selected:
        reason = "lost tag v1"
        assert (verdict.reason, verdict.deliberate) == (reason, True)


V2, CANARY = Trait(key="version", value="2"), Trait("canary")


@pytest.mark.parametrize(
    ("part", "names"),
    [
        (Selection(), ["both", "new", "old", "tagged"]),
        (Selection(having=(CANARY,)), ["both", "tagged"]),
        (Selection(having=(V2,)), ["both", "new"]),
        (Selection(having=(V2,), lacking=(CANARY,)), ["new"]),
        (Selection(lacking=(CANARY, V2)), ["old"]),
        (Selection(having=(Trait("CANARY"),)), ["both", "tagged"]),
        (Selection(having=(Trait("CANARY", is_exact=True),)), []),
        (Selection(having=(Trait("canary", is_exact=True),)), ["both", "tagged"]),
    ],
)
def test_selection(part: Selection, names: list[str]) -> None:
    """A pool can be a part of an answer: by tag, by metadata, or none of these."""
    found = [
        an_instance("old", meta={"version": "1"}),
        an_instance("new", meta={"team": "a", "version": "2"}),
        an_instance("tagged", tags=["canary"]),
        an_instance("both", tags=["eu", "canary"], meta={"version": "2"}),
    ]
    rules = InstanceFilter(selection=part)
    verdicts = {each.identity.service_id: evaluate(each, rules) for each in found}
    assert names == sorted(
        name for name, verdict in verdicts.items() if not verdict.is_unselected
    )


def test_left_selection() -> None:
    """An instance that comes into another part drains where it was, and says why."""
    instance = an_instance(tags=["canary"])
    rest = InstanceFilter(selection=Selection(lacking=(CANARY,)))
    verdict = evaluate(instance, rest)
    assert (verdict.reason, verdict.deliberate) == ("got tag canary", True)
    new = InstanceFilter(selection=Selection(having=(V2,)))
    assert evaluate(instance, new).reason == "lost meta version=2"


def test_node_checks() -> None:
    """A node's failing check counts, unless the mapping leaves node checks out."""
    instance = an_instance(node_status="critical", node_reason="disk full")
    counted = evaluate(instance, InstanceFilter())
    drains = Verdict(Standing.DRAINING, 1, "disk full", is_critical=True)
    assert counted == drains
    left_out = evaluate(instance, InstanceFilter(node_checks=False))
    assert left_out == Verdict(Standing.SERVING, 1, "passing")


@pytest.mark.parametrize("weight", [0, -1])
def test_weight_0(weight: int) -> None:
    """An instance of no weight drains, and that is the reason."""
    verdict = evaluate(an_instance(weight=weight), InstanceFilter())
    assert verdict == Verdict(Standing.DRAINING, 0, "weight 0", deliberate=True)


def test_own_weight() -> None:
    """``lbconsul-weight`` replaces the weights of the registration."""
    instance = an_instance(weight=7, warning_weight=3, own_weight=20, status="warning")
    verdict = evaluate(instance, InstanceFilter())
    assert verdict == Verdict(Standing.SERVING, 20, "warning")


def test_own_weight_0() -> None:
    """``lbconsul-weight=0`` takes an instance out without touching its checks."""
    verdict = evaluate(an_instance(weight=7, own_weight=0), InstanceFilter())
    assert verdict == Verdict(Standing.DRAINING, 0, "weight 0", deliberate=True)


def test_words_of_those_who_are_out() -> None:
    """
    Neither a gone nor a manually drained instance gets new connections; only the latter
    is deliberate.
    """
    assert (GONE.standing, MANUALLY_DRAINED.standing) == (
        Standing.DRAINING,
        Standing.DRAINING,
    )
    assert (GONE.is_gone, GONE.deliberate) == (True, False)
    assert (MANUALLY_DRAINED.is_gone, MANUALLY_DRAINED.deliberate) == (False, True)
    assert MANUALLY_DRAINED.reason == "drained by hand"


def test_skipped() -> None:
    """
    An instance that must not be connected to gets nothing, whatever its checks say.
    """
    verdict = evaluate(
        evolve(an_instance(), skipped="it is us"), InstanceFilter(health=ANY)
    )
    assert verdict == Verdict(Standing.DRAINING, 0, "it is us", deliberate=True)


@pytest.mark.parametrize(
    ("address", "serves"),
    [
        ("10.1.2.3", True),
        ("fd00::7", True),
        ("fd00::7%eth0", True),
        ("11.0.0.1", False),
        ("fe80::1", False),
    ],
)
def test_upstream_allow(address: str, serves: bool) -> None:
    """
    With networks named, an instance elsewhere gets nothing, and the reason says why.
    """
    rules = InstanceFilter(upstream_allow=("10.0.0.0/8", "fd00::/16"))
    verdict = evaluate(an_instance(host=address), rules)
    assert verdict is not None
    if serves:
        assert verdict.standing is Standing.SERVING
    else:
        why = f"{address} is in no network of upstream-allow"
        assert verdict == Verdict(Standing.DRAINING, 0, why, deliberate=True)
    assert evaluate(an_instance(host=address), InstanceFilter()) == Verdict(
        Standing.SERVING, 1, "passing"
    )


@pytest.mark.parametrize(
    ("path", "serves"),
    [
        ("/run/web/a.sock", True),
        ("/run/web", True),
        ("/run/web2/a.sock", False),
        ("/run/docker.sock", False),
    ],
)
def test_upstream_allow_of_a_unix_socket(path: str, serves: bool) -> None:
    """With networks named, a UNIX socket must be named too, or its directory."""
    socket = evolve(an_instance(host=path), port=0)
    verdict = evaluate(
        socket, InstanceFilter(upstream_allow=("10.0.0.0/8", "unix:/run/web"))
    )
    assert (verdict.standing is Standing.SERVING) == serves
    if not serves:
        assert verdict.reason == f"{path} is in no path of upstream-allow"


def test_upstream_allow_of_a_name() -> None:
    """All addresses of a name must be allowed, since any of them may be tried."""
    named = evolve(an_instance(host="10.1.2.3"), alternates=("192.0.2.9",))
    verdict = evaluate(named, InstanceFilter(upstream_allow=("10.0.0.0/8",)))
    assert verdict is not None
    assert verdict.reason == "192.0.2.9 is in no network of upstream-allow"


def test_an_address_that_a_part_leaves_out() -> None:
    """An instance at an address that its part leaves out is not in it, and says so."""
    instance = an_instance()
    rules = InstanceFilter(selection=Selection(not_at=(instance.place,)))
    verdict = evaluate(instance, rules)
    assert verdict.is_unselected
    assert verdict.reason == f"is at {instance.place}"
