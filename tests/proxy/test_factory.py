"""The factory that serves an endpoint's clients."""

from contextlib import ExitStack

from twisted.internet.interfaces import IProtocolFactory
from zope.interface.verify import verifyObject

from lbconsul.proxy.detach import SocketDetacher
from lbconsul.proxy.factory import ProxyFactory
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
