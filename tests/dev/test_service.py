"""The dev catalog as a service."""

import errno
import os
from typing import Any

from treq.testing import StubTreq
from twisted.application.service import IService
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lbconsul.dev.service import DevCatalog
from lbconsul.errors import CannotListen


class BusyReactor(MemoryReactorClock):
    """A reactor on which one more port cannot be had."""

    def __init__(self, error: int, after: int = 0) -> None:
        super().__init__()
        self.error, self.after = error, after

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> Any:
        if len(self.tcpServers) < self.after:
            return super().listenTCP(port, factory, backlog, interface)
        reason = OSError(self.error, os.strerror(self.error))
        raise CannotListenError(interface, port, reason)


class DevCatalogTests(SynchronousTestCase):
    def catalog(self, reactor: MemoryReactorClock) -> DevCatalog:
        return DevCatalog(reactor, "127.0.0.1", 8500, ["web", "db", "web"])

    def test_it_is_a_service(self) -> None:
        """
        The dev catalog is started and stopped as any service is.
        """
        verifyObject(IService, self.catalog(MemoryReactorClock()))

    def test_ports(self) -> None:
        """
        The catalog listens on its own port and, for each service, on three of any
        number, all on this machine; being bound before it starts is enough.
        """
        reactor = MemoryReactorClock()
        catalog = self.catalog(reactor)
        catalog.bind()
        catalog.bind()
        catalog.privilegedStartService()
        catalog.startService()
        self.assertEqual([server[0] for server in reactor.tcpServers], [8500] + [0] * 6)
        self.assertEqual({server[3] for server in reactor.tcpServers}, {"127.0.0.1"})
        self.assertEqual(catalog.port, 8500)

    def test_samples_are_registered(self) -> None:
        """
        Each service has three healthy instances from the beginning.
        """
        reactor = MemoryReactorClock()
        catalog = self.catalog(reactor)
        catalog.privilegedStartService()
        factory: Any = reactor.tcpServers[0][1]
        treq: Any = StubTreq(factory.wrappedFactory.resource)
        asked = treq.get("http://dev/v1/health/service/db?passing")
        listed = self.successResultOf(treq.json_content(self.successResultOf(asked)))
        ids = [one["Service"]["ID"] for one in listed]
        self.assertEqual(ids, ["db-1", "db-2", "db-3"])

    def test_stopping(self) -> None:
        """A stop leaves nothing to the reactor."""
        reactor = MemoryReactorClock()
        catalog = self.catalog(reactor)
        catalog.privilegedStartService()
        catalog.startService()
        self.successResultOf(catalog.stopService())
        self.assertEqual(reactor.getDelayedCalls(), [])
        self.assertFalse(catalog.running)

    def test_a_port_that_is_taken(self) -> None:
        """
        A port that is taken is said in one line, with what would be right.
        """
        catalog = self.catalog(BusyReactor(errno.EADDRINUSE))
        with self.assertRaises(CannotListen) as caught:
            catalog.privilegedStartService()
        self.assertEqual(
            str(caught.exception),
            "cannot listen on 127.0.0.1:8500 for the --dev catalog: Address already"
            " in use (is a Consul running here? then leave --dev out, or say"
            " --consul 127.0.0.1:8501)",
        )

    def test_a_port_that_is_not_allowed(self) -> None:
        """
        Another reason is said as it is, and an IPv6 address in brackets.
        """
        reactor = BusyReactor(errno.EACCES)
        with self.assertRaises(CannotListen) as caught:
            DevCatalog(reactor, "::1", 80, ["web"]).bind()
        self.assertEqual(
            str(caught.exception),
            "cannot listen on [::1]:80 for the --dev catalog: Permission denied",
        )

    def test_a_sample_that_cannot_listen(self) -> None:
        """
        When one port cannot be had, the others are given back.
        """
        reactor = BusyReactor(errno.EMFILE, after=2)
        catalog = self.catalog(reactor)
        with self.assertRaises(CannotListen) as caught:
            catalog.bind()
        self.assertIn("Too many open files", str(caught.exception))
        self.assertFalse(any(server.is_bound() for server in catalog))
