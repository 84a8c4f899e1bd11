"""The dev catalog as a service, with sample web servers registered in it."""

import errno
from collections.abc import Sequence

from attrs import define, field
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.logger import Logger

from lbconsul.dev.agent import ADDRESS, NODE, Agent
from lbconsul.dev.api import Api
from lbconsul.dev.catalog import Catalog
from lbconsul.dev.records import Service
from lbconsul.dev.web_server import Sample, WebServer
from lbconsul.errors import CannotListen

#: How many web servers each service starts with: enough to see balancing, and to still
#: see it with one stopped.
SAMPLES = 3


@define(eq=False)
class DevCatalog(MultiService):
    """An in-process Consul with three sample web servers for each service."""

    _log = Logger()

    _reactor: IReactorTCP
    _host: str
    _port: int
    _names: Sequence[str] = field(alias="services")
    _agent: Agent = field(init=False, factory=lambda: Agent(Catalog()))
    _api: Api = field(init=False)
    _web: WebServer = field(init=False)

    def __attrs_post_init__(self) -> None:
        super().__init__()
        self._api = Api(IReactorTime(self._reactor), agent=self._agent)
        self._web = WebServer(
            self._reactor, self._host, self._port, self._api, "dev catalog"
        )
        self._web.setServiceParent(self)

    @property
    def port(self) -> int:
        """The catalog's port: the real one once it is bound."""
        return self._web.port

    @property
    def address(self) -> str:
        """The IP address that the catalog listens on."""
        return "127.0.0.1" if self._host == "localhost" else self._host

    def bind(self) -> None:
        """Open all ports that are not open; CannotListen if one cannot be opened."""
        if self._web.is_bound():
            return
        try:
            self._web.bind()
            for name in dict.fromkeys(self._names):
                for number in range(1, SAMPLES + 1):
                    self._add_sample(name, f"{name}-{number}")
        except CannotListenError as error:
            self.close()
            raise CannotListen(_excuse(error)) from error

    def close(self) -> None:
        """Close what `bind` opened, even if the service never started."""
        for server in self.services:
            Deferred.fromCoroutine(server.unbind())

    def privilegedStartService(self) -> None:
        self.bind()
        super().privilegedStartService()

    def startService(self) -> None:
        super().startService()
        self._log.info(
            "dev catalog on {host}:{port}, with {samples} sample web servers for each"
            " of {services}",
            host=self._host,
            port=self.port,
            samples=SAMPLES,
            services=", ".join(dict.fromkeys(self._names)),
        )

    def stopService(self) -> Deferred[object]:
        self._api.stop()
        stopped: Deferred[object] = super().stopService()
        return stopped

    def _add_sample(self, service: str, name: str) -> None:
        sample = Sample(name)
        server = WebServer(self._reactor, ADDRESS, 0, sample, name)
        server.setServiceParent(self)
        server.bind()
        sample.port = server.port
        registered = Service(NODE.name, name, service, port=server.port)
        self._agent.register_service(registered, (), replace=False, now=0.0)


def _excuse(error: CannotListenError) -> str:
    """The error text: what is wrong, where, and what would be right."""
    where = f"[{error.interface}]" if ":" in error.interface else error.interface
    reason = error.socketError.strerror or str(error.socketError)
    hint = ""
    if error.socketError.errno == errno.EADDRINUSE:
        other = f"{where}:{error.port + 1}"
        hint = (
            " (is a Consul running here? then leave --dev out,"
            f" or say --consul {other})"
        )
    place = f"{where}:{error.port}"
    return f"cannot listen on {place} for the --dev catalog: {reason}{hint}"
