"""The admin listener as a service: it shows a source, and hands orders to it."""

import socket
from collections.abc import Callable
from typing import Any

from attrs import Factory, define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lbconsul.admin.acceptor import Acceptor
from lbconsul.admin.auth import Authorizer, Secret
from lbconsul.admin.event_log import EventLog
from lbconsul.admin.event_stream import Stream
from lbconsul.admin.http_server import AdminFactory
from lbconsul.admin.requests import Requests
from lbconsul.admin.routes import Routes
from lbconsul.admin.socket import open_socket
from lbconsul.admin.status_model import Source
from lbconsul.config.model import TCPListen, UnixListen
from lbconsul.errors import CannotListen
from lbconsul.net.unix_socket import FileIdentity, file_identity, remove_file

#: How often a patient one looks whether its address is free, in seconds.
LOOK_AGAIN = 1.0


@define(eq=False, repr=False)
class AdminServer(Service):
    """Listens, be it in vain.

    `reactor` is any with `IReactorSocket`, `IReactorFDSet` and `IReactorTime`.
    `is_needed` says whether not to be able to listen is an error or only a warning.
    With `is_patient` it is neither: the address is tried again and again, since another
    gateway, whose place we take, is about to leave it.
    """

    _log = Logger()
    _reactor: Any
    listen: TCPListen | UnixListen
    _source: Source
    _events: EventLog
    _token: Secret | None = None
    _open_read: bool = False
    is_needed: bool = True
    is_patient: bool = False
    #: Whether one more line of a kind may be written to the log.
    _lets: Callable[[str], bool] = lambda kind: True
    _factory: AdminFactory = field(init=False)
    _sock: socket.socket | None = None
    #: The file of a UNIX one.
    _file: FileIdentity | None = None
    _acceptor: Acceptor | None = None
    _call: Any = None
    _stream: Stream = Factory(
        lambda self: Stream(self._reactor, self._source, self._events), takes_self=True
    )

    def __attrs_post_init__(self) -> None:
        guard = Authorizer(self.listen, self._token, self._open_read)
        requests = Requests(self._lets)
        routes = Routes(self._reactor, self._source, guard, self._stream, requests)
        self._factory = AdminFactory(self._reactor, routes.answer, self._lets)

    @property
    def is_bound(self) -> bool:
        """Whether it has its address."""
        return self._sock is not None

    @property
    def has_address(self) -> bool:
        """Whether its address is its own, or is going to be."""
        return self.is_bound or self.is_needed or self.is_patient

    @property
    def address(self) -> str:
        """Where it listens: what a browser can be given, if it is TCP."""
        if isinstance(self.listen, UnixListen):
            return str(self.listen)
        return f"http://{self.listen}/"

    def bind(self) -> None:
        """Open the socket now, before the start, unless it is open.

        :raises CannotListen: it is not to be had, and it is needed.
        """
        if self._sock is not None:
            return
        try:
            self._sock = open_socket(self.listen)
            if isinstance(self.listen, UnixListen):
                self._file = file_identity(self.listen.path)
        except OSError as error:
            why = f"cannot listen on {self.listen} for --admin: {error.strerror}"
            if self.is_needed and not self.is_patient:
                raise CannotListen(why) from None
            if not self.is_patient:
                self._log.warn(
                    "{why}; there is no status, no metrics and no page. --admin"
                    " [ADDRESS:]PORT has them elsewhere",
                    why=why,
                )

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        self.bind()

    def startService(self) -> None:
        super().startService()
        if self._sock is None and (self.is_needed or self.is_patient):
            self.bind()
        self._serve()

    def _serve(self) -> None:
        if self._sock is not None:
            self._acceptor = Acceptor(self._reactor, self._sock, self._factory)
            self._acceptor.start()
            self._log.info("status, metrics and a page: {at}", at=self.address)
        elif self.is_patient:
            self._call = self._reactor.callLater(LOOK_AGAIN, self._look_again)

    def _look_again(self) -> None:
        self._call = None
        self.bind()
        self._serve()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is not None:
            acceptor.stop()
        self.close()
        if acceptor is not None:
            await self._factory.cut_all()

    def close(self) -> None:
        """Give the socket back."""
        sock, self._sock = self._sock, None
        if sock is not None:
            if isinstance(self.listen, UnixListen):
                remove_file(self.listen.path, self._file)
            sock.close()
