"""Why a pool has no usable upstream: the text for the operator."""

from typing import Any

import pytest
from attrs import evolve

from lbconsul.balance.emptiness import why_empty
from lbconsul.balance.pool_spec import InstanceFilter, Selection, Trait
from tests.support.instances import an_identity, an_instance

PASSING = InstanceFilter(health=frozenset({"passing"}))


def test_one_is_usable() -> None:
    """Where one instance may serve, there is no reason."""
    ill = an_instance("a", status="critical")
    assert why_empty([ill, an_instance("b")], InstanceFilter()) == ""


def test_nothing_is_registered() -> None:
    """Of an empty answer the question may be wrong, which others know more about."""
    assert why_empty([], InstanceFilter(tag="v2")) == ""


def test_not_to_be_connected_to() -> None:
    """
    Instances that are the gateway itself, or outside upstream-allow, are named as such.
    """
    own = evolve(an_instance("a"), skipped="it is this gateway")
    elsewhere = an_instance("b", host="192.0.2.9")
    rules = InstanceFilter(upstream_allow=("10.0.0.0/8",))
    assert why_empty([own], InstanceFilter()).endswith(
        "none usable: 1 this gateway itself"
    )
    assert why_empty([elsewhere], rules).endswith("1 outside upstream-allow")


@pytest.mark.parametrize(
    ("statuses", "rules", "why"),
    [
        (["critical"], InstanceFilter(), "1 instance, none usable: 1 critical"),
        (
            ["maintenance", "critical", "maintenance"],
            InstanceFilter(),
            "3 instances, none usable: 2 in maintenance and 1 critical",
        ),
        (
            ["warning", "warning"],
            PASSING,
            "2 instances, none usable: 2 warning; health=passing",
        ),
    ],
)
def test_health(statuses: list[Any], rules: InstanceFilter, why: str) -> None:
    """The text counts instances by state, and names the option that excludes them."""
    found = [
        an_instance(str(number), status=each) for number, each in enumerate(statuses)
    ]
    assert why_empty(found, rules).startswith(why)


def test_the_node_is_ill() -> None:
    """A check of the node counts, unless the mapping leaves those out."""
    found = [an_instance(node_status="critical")]
    assert "1 critical" in why_empty(found, InstanceFilter())
    assert why_empty(found, InstanceFilter(node_checks=False)) == ""


def test_weight() -> None:
    """Weight 0 keeps an instance from serving."""
    found = [an_instance(own_weight=0)]
    assert "1 of weight 0" in why_empty(found, InstanceFilter())
    assert "1 of weight 0" in why_empty(found, InstanceFilter(node_checks=False))


def test_drained_by_hand() -> None:
    """A drain by an operator is named as such."""
    drained = {an_identity("a")}
    assert "1 drained by hand" in why_empty(
        [an_instance("a")], InstanceFilter(), drained
    )


@pytest.mark.parametrize(
    ("tags", "have"),
    [
        ([["v1"], ["v3", "v1"], []], "3 instances, none has tag v2; tags: v1, v3"),
        ([[]], "1 instance, none has tag v2; they have no tags"),
        ([list("gfedcba")], "tags: a, b, c, d, e and 2 more"),
    ],
)
def test_tag(tags: list[list[str]], have: str) -> None:
    """If no instance has the tag, the text lists the tags that exist."""
    found = [an_instance(str(number), tags=each) for number, each in enumerate(tags)]
    assert have in why_empty(found, InstanceFilter(tag="v2"))


def test_selection() -> None:
    """If no instance is in the part, the text says what would be."""
    canary, v2 = Trait("canary"), Trait(key="version", value="2")
    rules = InstanceFilter("eu", selection=Selection((v2,), (canary,)))
    eu, us = an_instance("a", tags=["eu", "canary"]), an_instance("b", tags=["us"])
    assert why_empty([eu, us], rules) == (
        "2 instances, none has meta version=2 and is without tag canary"
    )
    assert "none has tag eu" in why_empty([us], rules)


def test_left_out() -> None:
    """Skipped registrations are listed with the reason."""
    skipped = ["a@n 192.0.2.1:0: its kind is connect-proxy"]
    assert why_empty([], InstanceFilter(), skipped=skipped) == (
        "1 instance, none usable: a@n 192.0.2.1:0: its kind is connect-proxy"
    )


def test_what_anybody_may_have_registered() -> None:
    """Tags cannot break the line or make it endless."""
    why = why_empty([an_instance(tags=["a\nb", "x" * 5000])], InstanceFilter(tag="v2"))
    assert "a?b" in why
    assert len(why) < 200


def test_own_check_fails() -> None:
    """What Consul lets serve, and the gateway's own check does not, is named so."""
    why = why_empty(
        [an_instance("a"), an_instance("b", status="critical")],
        InstanceFilter(),
        failing={an_identity("a")},
    )
    assert why.endswith("none usable: 1 failing the own check and 1 critical")
