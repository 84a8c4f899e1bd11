"""The factory that serves an endpoint's clients."""

from contextlib import ExitStack

from twisted.internet.interfaces import IProtocolFactory
from zope.interface.verify import verifyObject

from lbconsul.proxy.detach import SocketDetacher
from lbconsul.proxy.factory import ProxyFactory
from tests.support import loopback
from tests.support.tended_proxy import TendedProxy


def test_interface() -> None:
    """Any endpoint can listen for it."""
    with ExitStack() as held:
        factory = ProxyFactory(TendedProxy(held).serve())
        assert verifyObject(IProtocolFactory, factory)
        factory.doStart()
        protocol = factory.buildProtocol(None)  # type: ignore[arg-type]
        assert isinstance(protocol, SocketDetacher)
        factory.doStop()


def test_handshake() -> None:
    """Clients of an endpoint have the handshake that their mapping asks for."""
    with ExitStack() as held:
        proxy = TendedProxy(held)
        server = proxy.server("a")
        proxy.register(server.instance())
        factory = ProxyFactory(proxy.serve(wait_for_client=True))
        protocol = factory.buildProtocol(None)  # type: ignore[arg-type]
        assert isinstance(protocol, SocketDetacher)
        ours, client = loopback.tcp_pair()
        held.enter_context(client)
        protocol._connected(ours, "c1")
        proxy.reactor.settle()
        assert (factory.open, server.heard()) == (1, [])
        client.sendall(b"c1")
        proxy.reactor.settle()
        assert (factory.open, server.heard()) == (1, ["c1"])


def test_counts() -> None:
    """A program sees the options of the mapping, and how many clients it has."""
    with ExitStack() as held:
        proxy = TendedProxy(held)
        server = proxy.server("a")
        proxy.register(server.instance())
        mapped = proxy.serve()
        factory = ProxyFactory(mapped)
        client = proxy.connect(mapped, "c1")
        assert str(factory.mapping) == "web"
        assert (factory.accepted, factory.open) == (1, 1)
        proxy.leave(client)
        assert (factory.accepted, factory.open) == (1, 0)
