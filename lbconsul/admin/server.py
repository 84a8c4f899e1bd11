"""The admin listener as a Twisted service: serves a source's status and orders."""

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lbconsul.admin.auth import Authorizer, Secret
from lbconsul.admin.event_log import EventLog
from lbconsul.admin.event_stream import Stream
from lbconsul.admin.http_server import AdminFactory
from lbconsul.admin.requests import Requests
from lbconsul.admin.routes import Routes
from lbconsul.admin.status_model import StatusSource
from lbconsul.config.listen import TCPListen, UnixListen
from lbconsul.errors import CannotListen
from lbconsul.net.acceptor import Acceptor
from lbconsul.net.listening_socket import listen_on
from lbconsul.net.unix_socket import FileIdentity, file_identity, remove_file

if TYPE_CHECKING:
    from lbconsul.admin.tls_connections import TLSFactory
    from lbconsul.tls.server import TLSServer

#: How often a patient listener retries to bind its address, in seconds.
LOOK_AGAIN = 0.1

#: How long accepting pauses when no descriptor is left, in seconds.
PAUSE = 0.1

_BACKLOG = 64

#: The mode of a UNIX socket's file: any user who can open it can read the status.
_UNIX_MODE = 0o600


@define(eq=False, repr=False)
class AdminServer(Service):
    """The admin listener; the gateway can run without it.

    `reactor` provides `IReactorSocket`, `IReactorFDSet` and `IReactorTime`.
    `is_needed` says whether a failure to listen is an error or only a warning.
    With `is_patient` it is neither: the bind is retried until the predecessor in a
    takeover has closed the address.
    """

    _log = Logger()
    _reactor: Any
    listen: TCPListen | UnixListen
    _source: StatusSource
    _events: EventLog
    _token: Secret | None = None
    _open_read: bool = False
    _read_token: Secret | None = None
    is_needed: bool = True
    is_patient: bool = False
    #: Rate limit of the log: whether a line of this kind may be written.
    _allow: Callable[[str], bool] = lambda kind: True
    _factory: AdminFactory = field(init=False)
    #: None without TLS.
    _tls: "TLSFactory | None" = field(init=False, default=None)
    _sock: socket.socket | None = None
    #: The file of a UNIX socket.
    _file: FileIdentity | None = None
    _acceptor: Acceptor | None = None
    _call: Any = None
    _stream: Stream = Factory(
        lambda self: Stream(self._reactor, self._source, self._events), takes_self=True
    )

    def __attrs_post_init__(self) -> None:
        authorizer = Authorizer(
            self.listen, self._token, self._open_read, self._read_token
        )
        requests = Requests(self._allow)
        routes = Routes(self._reactor, self._source, authorizer, self._stream, requests)
        self._factory = AdminFactory(self._reactor, routes.answer, self._allow)

    @property
    def is_bound(self) -> bool:
        """Whether its socket is open."""
        return self._sock is not None

    @property
    def has_address(self) -> bool:
        """Whether the listener has its address, or is going to bind it."""
        return self.is_bound or self.is_needed or self.is_patient

    @property
    def address(self) -> str:
        """The listening address: a URL, or ``unix:/PATH``."""
        if isinstance(self.listen, UnixListen):
            return str(self.listen)
        return f"{'http' if self._tls is None else 'https'}://{self.listen}/"

    def use_tls(self, server: "TLSServer") -> None:
        """Serve clients that come from now on with TLS, and with this."""
        if self._tls is None:
            # Imported here: OpenSSL takes memory that other gateways do without.
            from lbconsul.admin.tls_connections import TLSFactory

            self._tls = TLSFactory(self._factory, server)
        self._tls.server = server

    def bind(self) -> None:
        """Open the socket now, before the start, unless it is open.

        :raises CannotListen: the address cannot be bound, and the listener is needed.
        """
        if self._sock is not None:
            return
        try:
            self._sock = listen_on(self.listen, _UNIX_MODE, _BACKLOG)
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
            self._acceptor = Acceptor(
                self._reactor, "admin", self._sock, self._accepted, self._starved, PAUSE
            )
            self._acceptor.start()
            self._log.info("status, metrics and a page: {at}", at=self.address)
        elif self.is_patient:
            self._call = self._reactor.callLater(LOOK_AGAIN, self._look_again)

    def _accepted(self, sock: socket.socket) -> None:
        factory = self._factory if self._tls is None else self._tls
        self._reactor.adoptStreamConnection(sock.fileno(), sock.family, factory)

    def _starved(self, error: OSError) -> None:
        self._factory.make_room()

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
        """Close the socket, and remove the file of a UNIX socket."""
        sock, self._sock = self._sock, None
        if sock is not None:
            if isinstance(self.listen, UnixListen):
                remove_file(self.listen.path, self._file)
            sock.close()
