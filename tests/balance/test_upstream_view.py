"""What code of an operator's own sees of an upstream."""

from lbconsul.balance.upstream_view import UpstreamView
from tests.support.instances import an_upstream


def test_view() -> None:
    """It has what Consul says of the instance, and the load."""
    upstream = an_upstream("web/1", weight=3, connections=2)
    upstream.ramp(0.5)
    view: UpstreamView = upstream
    assert (view.id, view.service_id) == ("dc1/node-1/web%2F1", "web/1")
    assert (view.datacenter, view.node, view.tags) == ("dc1", "node-1", ())
    assert (view.address, view.port) == ("192.0.2.1", 8080)
    assert (view.weight, view.connections) == (1.5, 2)
    assert view.load_score() == 2.0
