"""What a mapping selects."""

import pytest

from lbconsul.balance.selection import Question, Rules, Selection


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (Question("web"), "web"),
        (Question("web", "dc2"), "web,dc=dc2"),
        (Question("web", filter="a == b"), "web,filter=a == b"),
        (Question("web", "dc2", "a == b", "n1"), "web,dc=dc2,filter=a == b,near=n1"),
    ],
)
def test_a_question_shows_itself(question: Question, text: str) -> None:
    """A question shows itself as the options that make it up."""
    assert str(question) == text


def test_equal_selections_are_one() -> None:
    """Mappings that select the same share what is known of it."""
    one = Selection(Question("web"), Rules("v2"), "p2c")
    other = Selection(Question("web"), Rules("v2"), "p2c")
    assert {one: "pool"}[other] == "pool"
    assert one != Selection(Question("web"), Rules("v1"), "p2c")
    assert one != Selection(Question("web"), Rules("v2"))


@pytest.mark.parametrize(
    ("service", "fixed"), [("web", False), ("192.0.2.1:80", True), ("[::1]:80", True)]
)
def test_an_address_is_nothing_to_ask(service: str, fixed: bool) -> None:
    """A service that is an address is used as it stands."""
    assert Question(service).fixed is fixed
