"""What a mapping selects."""

import pytest

from lbconsul.balance.pool_spec import Question, Rules, Selection


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (Question("web"), "web"),
        (Question("web", "dc2"), "web,dc=dc2"),
        (Question("web", filter="a == b"), "web,filter=a == b"),
        (Question("web", "dc2", "a == b", "n1"), "web,dc=dc2,filter=a == b,near=n1"),
        (Question("a b/c:80", "dc2"), '"a b/c:80",dc=dc2'),
        (Question("[::1]:80", fixed=True), "[::1]:80"),
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
