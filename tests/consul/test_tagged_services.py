"""Which services have tags that are routes."""

import json
from typing import Any

import pytest

from lbconsul.consul.client import Reply
from lbconsul.consul.tagged_services import Services, reading
from lbconsul.errors import UnusableAnswer
from lbconsul.steps import finish


def read(document: Any, *, filtered: bool = False) -> Services:
    """The services of an answer with routes."""
    body = json.dumps(document).encode()
    return finish(reading(Reply(body, filtered=filtered), ["urlprefix-", "r-"]))


def test_services() -> None:
    """Those with a tag that begins with a prefix, which may have blanks before it,
    each with all of its tags.
    """
    found = read(
        {
            "consul": [],
            "a": ["v1", "urlprefix-/a"],
            "b": [" r-/b"],
            "c": ["my-urlprefix-/c"],
            "d": None,
        }
    )
    assert found == {"a": {"v1", "urlprefix-/a"}, "b": {" r-/b"}}


@pytest.mark.parametrize(
    ("document", "filtered", "why"),
    [
        ({}, False, "there is no service at all"),
        ({"a": []}, True, "ACLs hide services"),
        ({"a": "urlprefix-/a"}, False, "not a list"),
        ({"a": [1]}, False, "not a text"),
        ([], False, "instead of an object"),
    ],
)
def test_unusable(document: Any, filtered: bool, why: str) -> None:
    """An answer that cannot be right, or hides services, changes nothing."""
    with pytest.raises(UnusableAnswer, match=why):
        read(document, filtered=filtered)
