"""What hooks are given, and what they answer."""

import pytest

from lbconsul import Client, Prefer
from tests.support.instances import an_identity, an_upstream


def test_preferred_upstream() -> None:
    """An upstream is preferred by itself, or by its id in the status."""
    upstream = an_upstream("web/1")
    for chosen in (upstream, upstream.id):
        assert Prefer(chosen).identity == an_identity("web/1")
    with pytest.raises(ValueError, match="'web-1' must be DATACENTER/NODE/SERVICE-ID"):
        Prefer("web-1")


def test_clients_differ() -> None:
    """Two connections of one address are two clients; a test can make one."""
    one, other = Client(address="192.0.2.1"), Client(address="192.0.2.1")
    assert len({one, other}) == 2
    assert one.upstreams == ()
