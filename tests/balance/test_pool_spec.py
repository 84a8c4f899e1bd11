"""What a mapping selects."""

import pytest

from lbconsul.balance.pool_spec import InstanceFilter, PoolSpec, ServiceQuery


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (ServiceQuery("web"), "web"),
        (ServiceQuery("web", "dc2"), "web,dc=dc2"),
        (ServiceQuery("web", filter="a == b"), "web,filter=a == b"),
        (
            ServiceQuery("web", "dc2", "a == b", "n1"),
            "web,dc=dc2,filter=a == b,near=n1",
        ),
        (ServiceQuery("a b/c:80", "dc2"), '"a b/c:80",dc=dc2'),
        (ServiceQuery("[::1]:80", fixed=True), "[::1]:80"),
    ],
)
def test_a_query_shows_itself(query: ServiceQuery, text: str) -> None:
    """A question shows itself as the options that make it up."""
    assert str(query) == text


def test_equal_selections_are_one() -> None:
    """Mappings that select the same share what is known of it."""
    one = PoolSpec(ServiceQuery("web"), InstanceFilter("v2"), "p2c")
    other = PoolSpec(ServiceQuery("web"), InstanceFilter("v2"), "p2c")
    assert {one: "pool"}[other] == "pool"
    assert one != PoolSpec(ServiceQuery("web"), InstanceFilter("v1"), "p2c")
    assert one != PoolSpec(ServiceQuery("web"), InstanceFilter("v2"))
