"""Client of a running gateway's admin listener, for use from another process."""

import json
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from http.client import (
    BadStatusLine,
    HTTPConnection,
    HTTPException,
    HTTPResponse,
)
from threading import Timer
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from attrs import field, frozen

from lbconsul.admin.event_messages import LONGEST, Message, messages
from lbconsul.admin.status_model import FORMAT
from lbconsul.errors import LBConsulError

_DEFAULT_HOST = "127.0.0.1"

#: Timeouts of one read and of the whole answer, in seconds; and the longest answer, in
#: bytes: with 10,000 upstreams it has some 5 MB.
_PATIENCE = 10.0
_PATIENCE_FOR_ALL = 60.0
_MOST = 128 * 1024 * 1024

#: Errors that pass: the gateway starts, ends, or has too many readers.
_LATER = frozenset({502, 503, 504})

#: How long a stream of events may be silent, in seconds: it has a heartbeat.
_SILENCE = 60.0


#: How a record of TLS begins that says what is wrong, where HTTP was expected.
_ALERT = "\x15\x03"

_WANTS_MORE = "it ended the connection: perhaps it wants a certificate, --admin-cert"

#: Reasons of OpenSSL that need another word.
_NO_TLS = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS: give the address without https://"
    " and --admin-ca",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a client's certificate: give"
    " --admin-cert",
}


class CannotAsk(LBConsulError):
    """The gateway's status, or what else was asked for, could not be read."""


class Refused(CannotAsk):
    """The gateway answered with an error that does not pass by itself."""


class Connector(Protocol):
    """Makes connections over TLS, and verifies the server."""

    def connection(self, host: str, port: int, timeout: float) -> HTTPConnection:
        """A connection that is not connected yet."""


@frozen
class Admin:
    """An admin listener, and the token for it.

    Its address is ``[HOST:]PORT`` or ``unix:/PATH``; with `tls` also
    ``https://[HOST:]PORT``.
    """

    address: str
    token: str = field(default="", repr=False)
    #: None without TLS.
    tls: Connector | None = None

    def status(self) -> dict[str, Any]:
        """The parsed document of ``/status``.

        :raises CannotAsk: a malformed address, no answer, an error, or a status of
            another format.
        """
        code, body = self._ask("/status")
        return _understood(self.address, code, body)

    def why(self, url: str, method: str, fields: Iterable[str]) -> dict[str, Any]:
        """The parsed answer of ``/why`` for a request; `fields` are ``Name: value``.

        :raises CannotAsk: a malformed address, no answer, or an error.
        """
        asked = [("url", url), ("method", method), *(("header", f) for f in fields)]
        return self._document(*self._ask(f"/why?{urlencode(asked)}"))

    def routes(self) -> dict[str, Any]:
        """The parsed document of ``/routes``.

        :raises CannotAsk: no answer, or an error.
        """
        return self._document(*self._ask("/routes"))

    def order(self, verb: str, upstream: str) -> dict[str, Any]:
        """Have an upstream drained, undrained or ejected; `upstream` is its id.

        :raises CannotAsk: it is not done, or the gateway does not answer.
        """
        path = f"/upstreams/{quote(upstream, safe='')}/{verb}"
        return self._document(*self._ask(path, "POST"))

    def drain_gateway(self) -> None:
        """Have the gateway drained: it ends when no connection is left.

        :raises CannotAsk: it is not done, or the gateway does not answer.
        """
        self._document(*self._ask("/drain", "POST"))

    def events(self, after: str = "") -> "EventStream":
        """Read what follows the event with the id `after`; if empty, the latest events.

        :raises CannotAsk: the gateway does not answer, or refuses.
        """
        known = {"Last-Event-ID": after} if after else {}
        with self._errors():
            connection = self._connection(_SILENCE)
            try:
                connection.connect()
                # The connection gives it away to an endless answer.
                sock = connection.sock
                connection.request(
                    "GET", "/events?figures=off", headers={**self._headers, **known}
                )
                response = connection.getresponse()
                if response.status != 200:
                    self._document(response.status, response.read(LONGEST))
            except BaseException:
                connection.close()
                raise
        return EventStream(self.address, sock, response)

    def _document(self, code: int, body: bytes) -> dict[str, Any]:
        """The parsed answer of something but a status.

        :raises CannotAsk: it is an error.
        """
        try:
            document = json.loads(body)
            if code in (200, 202):
                return dict(document)
            why = document["error"]
        except (ValueError, KeyError, TypeError, RecursionError):
            why = f"the answer is not lbconsul's (HTTP {code})"
        error = CannotAsk if code in _LATER else Refused
        raise error(f"{self.address}: {why}")

    def _ask(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        """The status and the body of an answer.

        :raises CannotAsk: there is none.
        """
        with self._errors():
            return self._answer(path, method)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what goes wrong into one error.

        :raises CannotAsk: something does.
        """
        try:
            yield
        except (OSError, HTTPException, ValueError) as error:
            raise CannotAsk(f"no answer at {self.address}: {_why(error)}") from None

    @property
    def _headers(self) -> dict[str, bytes]:
        token = f"Bearer {self.token}".encode("utf-8", "surrogateescape")
        return {"Authorization": token} if self.token else {}

    def _answer(self, path: str, method: str) -> tuple[int, bytes]:
        connection = self._connection()
        connection.connect()
        # The socket's timeout starts again with each byte, so the total needs its own.
        timer = Timer(_PATIENCE_FOR_ALL, _hang_up, (connection.sock,))
        timer.daemon = True
        timer.start()
        try:
            connection.request(method, path, headers=self._headers)
            response = connection.getresponse()
            body = response.read(_MOST + 1)
        finally:
            timer.cancel()
            connection.close()
        if len(body) > _MOST:
            raise ValueError(f"the answer is longer than {_MOST} bytes")
        return response.status, body

    def _connection(self, patience: float = _PATIENCE) -> HTTPConnection:
        if self.address.startswith("unix:"):
            return _UnixConnection(self.address.removeprefix("unix:"), patience)
        host, _, port = self.address.removeprefix("https://").rpartition(":")
        host = host.removeprefix("[").removesuffix("]") or _DEFAULT_HOST
        if not port.isascii() or not port.isdecimal():
            raise CannotAsk(
                f"{self.address}: must be [HOST:]PORT, https://[HOST:]PORT or"
                " unix:/PATH"
            )
        if self.tls is not None:
            return self.tls.connection(host, int(port), patience)
        return HTTPConnection(host, int(port), timeout=patience)


@frozen
class EventStream:
    """The events of a gateway, each as it happens; iterating blocks."""

    _address: str
    _sock: socket.socket
    _response: HTTPResponse

    def __iter__(self) -> Iterator[Message]:
        """Each event.

        :raises CannotAsk: the gateway ends, is silent for too long, or is none.
        """
        why = ""
        try:
            with closing(self._sock), closing(self._response):
                yield from messages(_lines(self._response))
        except (OSError, HTTPException, ValueError) as error:
            why = f": {_why(error)}"
        raise CannotAsk(f"{self._address}: the stream of events has ended{why}")

    def stop(self) -> None:
        """End it, also while another thread waits for the next event."""
        _hang_up(self._sock)


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str, patience: float) -> None:
        super().__init__("localhost", timeout=patience)
        self._path = path
        self._patience = patience

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self._patience)
        self.sock.connect(self._path)


def _why(error: Exception) -> str:
    if isinstance(error, BadStatusLine) and str(error).startswith(_ALERT):
        return "it speaks TLS: give https:// before the address, or --admin-ca"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError):
        return _WANTS_MORE
    if isinstance(error, ssl.SSLError):
        reason = str(error.reason)
        return _NO_TLS.get(reason, f"TLS: {reason.replace('_', ' ').lower()}")
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _lines(response: HTTPResponse) -> Iterator[bytes]:
    """The lines of an endless answer."""
    while line := response.readline(LONGEST + 1):
        yield line


def _hang_up(sock: socket.socket) -> None:
    with suppress(OSError):  # it may be closed already
        sock.shutdown(socket.SHUT_RDWR)


def _understood(address: str, code: int, body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
        if code == 200 and document["format"] == FORMAT:
            return dict(document)
        why = document.get("error") or _other_format(document["format"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        why = f"the answer is not a status of lbconsul (HTTP {code})"
    raise CannotAsk(f"{address}: {why}")


def _other_format(theirs: object) -> str:
    """Why a status of the format `theirs` cannot be shown.

    :raises TypeError: `theirs` is not an int.
    """
    if type(theirs) is not int:
        raise TypeError
    age = "an older" if theirs < FORMAT else "a newer"
    return (
        f"the gateway runs {age} lbconsul, whose status has format {theirs}; this"
        f" command reads format {FORMAT}: use the one that is installed with the"
        " gateway"
    )
