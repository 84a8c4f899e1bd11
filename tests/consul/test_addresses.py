"""The addresses of host names, from one gateway to the next."""

import json

import pytest

from lbconsul.consul.addresses import MOST_TOLD, Addresses, from_state, to_state
from lbconsul.takeover.protocol import MAX_LINE, read_state, write_offer


def handed_over(*known: Addresses) -> Addresses:
    """What the next gateway knows."""
    line = write_offer([], {"addresses": to_state(known)})
    return from_state(read_state(line)["addresses"])


def test_all_that_is_known() -> None:
    """The addresses of each name, in their order, whichever query asked for it."""
    web = {"a.example": ("10.0.0.2", "10.0.0.1"), "b.example": ("2001:db8::1",)}
    db = {"c.example": ("10.0.0.3",)}
    assert handed_over(web, db) == web | db
    assert handed_over() == {}


def test_more_than_there_is_room_for() -> None:
    """However many there are, all else that is handed over has its room, too."""
    many = {
        "\u00fc" * 200 + str(number): ("10.0.0.1",) * 64 for number in range(10_000)
    }
    told = to_state([many])
    assert 100 < len(told) < 10_000
    assert len(json.dumps(told)) <= MOST_TOLD < MAX_LINE / 2


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        {"a": "10.0.0.1"},
        {"a": []},
        {"a": ["nonsense"]},
        {"a": ["0.0.0.0"]},
        {"a": [None]},
        {"a": [7]},
        {"a": ["10.0.0.1"] * 65},
    ],
)
def test_nonsense(said: object) -> None:
    """An invalid address in the state is ignored; the rest is used."""
    assert from_state(said) == {}
    if isinstance(said, dict):
        assert from_state(said | {"b": ["10.0.0.9"]}) == {"b": ("10.0.0.9",)}
