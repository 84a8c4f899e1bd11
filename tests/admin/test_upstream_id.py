"""How an instance is named where one is ordered about."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.admin.upstream_id import from_path, upstream_id


def test_an_id() -> None:
    """An upstream's id is readable, and safe in a path."""
    assert upstream_id("dc1", "node-1", "web-1") == "dc1/node-1/web-1"
    assert upstream_id("", "fixed", "[::1]:80") == "/fixed/%5B%3A%3A1%5D%3A80"
    assert upstream_id("dc1", "n", "a/b c?d#e%") == "dc1/n/a%2Fb%20c%3Fd%23e%25"


@given(st.text(), st.text(), st.text())
def test_round_trip(datacenter: str, node: str, service_id: str) -> None:
    """Whatever names are registered, each upstream's id in a path is unique."""
    found = upstream_id(datacenter, node, service_id)
    assert from_path(found.split("/")) == found
    # As encodeURIComponent, which is the one for names that are ``..``, too.
    assert from_path([quote(found, safe="!'()*~")]) == found


@pytest.mark.parametrize(
    ("segments", "wanted"),
    [
        (["dc1", "node", "web%2f1"], "dc1/node/web%2F1"),
        (["dc1", "node", "%77eb"], "dc1/node/web"),
        (["dc1%2Fnode%2F.."], "dc1/node/.."),
        (["dc1%2Fnode%2Fa%252Fb"], "dc1/node/a%2Fb"),
    ],
)
def test_other_spellings(segments: list[str], wanted: str) -> None:
    """Clients differ in what they encode, and how: it is the same id."""
    assert from_path(segments) == wanted


@pytest.mark.parametrize(
    "segments", [[], ["dc1"], ["dc1", "n"], ["a", "b", "c", "d"], ["a", "b", "%FF"]]
)
def test_no_ids(segments: list[str]) -> None:
    """A path without three parts, or not UTF-8, is no id."""
    assert from_path(segments) is None
