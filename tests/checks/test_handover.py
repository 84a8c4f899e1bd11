"""The states of checks in a takeover."""

import json
from typing import Any

import pytest

from lbconsul.balance.own_checks import CheckKey
from lbconsul.checks.handover import LONGEST, MOST, Inherited, to_state
from lbconsul.config.build import configure
from lbconsul.config.check_spec import CheckSpec
from tests.support.instances import an_instance


def key(name: str = "web-1", check: object = "GET /") -> CheckKey:
    """The key of a check of an instance."""
    return CheckKey.of(check, an_instance(name))


def handed_over(*known: tuple[CheckKey, str]) -> Inherited:
    """What a successor gets."""
    return Inherited.of(json.loads(json.dumps(to_state(known))))


def test_states_arrive() -> None:
    """Each once, with its reason; of what is new nothing is known."""
    inherited = handed_over((key("a"), "own check: 503"), (key("b"), ""))
    assert inherited.pop(key("a")) == "own check: 503"
    assert inherited.pop(key("a")) is None
    assert inherited.pop(key("b", "connect")) is None
    assert inherited.pop(key("b")) == ""
    assert inherited.pop(key("b")) is None


def test_equal_checks_have_the_same_name_in_both_gateways() -> None:
    """What a check is called follows from its options alone."""

    def checked(text: str) -> CheckKey:
        (mapping,) = configure(mappings=[text]).mappings
        return key("a", CheckSpec.of(mapping))

    inherited = handed_over((checked("80:web,check=/"), "why"))
    assert inherited.pop(checked("81:web,check=/,check-rise=7")) is None
    assert inherited.pop(checked("81:web,check=/,check-init=down")) == "why"


def test_what_is_handed_over_is_bounded() -> None:
    """Failing ones come first; names beyond all measure are left out."""
    many = [(key(f"web-{number}"), "") for number in range(MOST)]
    endless = key("x" * (LONGEST + 1)), "why"
    inherited = handed_over(*many, (key("bad"), "why"), endless)
    assert inherited.pop(key("bad")) == "why"
    assert inherited.pop(endless[0]) is None
    assert inherited.pop(key(f"web-{MOST - 1}")) is None


@pytest.mark.parametrize(
    "state",
    [
        None, 7, {"checks": []}, {"checks": {"x": None}},
        {"checks": {"x": [None, [1]]}},
        {"checks": {"x": [["dc1", "n", "s", "h", "80", ""]]}},
    ],
)  # fmt: skip
def test_state_of_another_form_is_ignored(state: Any) -> None:
    """A predecessor of another version may say anything."""
    assert Inherited.of(state).pop(key()) is None
