"""Codes in words."""

import pytest

from lbconsul.proxy.answer_reasons import REASONS
from lbconsul.stats.causes import cause_of
from lbconsul.stats.termination import Termination


@pytest.mark.parametrize(
    "code", [*(each.code for each in Termination), *sorted(REASONS)]
)
def test_each_has_words(code: str) -> None:
    """Each way in which a connection or a request can end has words."""
    assert " " in cause_of(code)


def test_of_an_answer() -> None:
    """A request that an upstream answered in due form went wrong by its status."""
    assert cause_of("--", 503) == "the upstream answered 503"
    assert cause_of("SC", 503) == cause_of("SC")
    assert cause_of("?!") == "?!"
