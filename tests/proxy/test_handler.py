"""What becomes of an accepted socket."""

from lbconsul.proxy.handler import handle
from tests.support import loopback
from tests.support.tended_proxy import TendedProxy


def test_session(proxy: TendedProxy) -> None:
    """A client that the mapping admits gets a session, which ends with it."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve()
    client = proxy.connect(mapped, "c1")
    assert server.heard() == ["c1"]
    assert (mapped.accepted, mapped.stats.accepted, mapped.open) == (1, 1, 1)
    proxy.leave(client)
    assert (mapped.accepted, mapped.open) == (1, 0)


def test_a_denied_client_has_no_session(proxy: TendedProxy) -> None:
    """A client that the mapping denies has no session: it is counted and closed."""
    proxy.register(proxy.server("a").instance())
    mapped = proxy.serve(deny=("192.0.2.0/24",))
    ours, client = loopback.tcp_pair()
    with client:
        handle(mapped, ours, ("192.0.2.1", 4000))
        assert loopback.was_reset(client)
    assert (mapped.accepted, mapped.stats.accepted, mapped.open) == (1, 1, 0)
    assert proxy.endings == {"('192.0.2.1', 4000)": "PR"}
