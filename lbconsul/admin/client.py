"""Client of a running gateway's admin listener, for use from another process."""

import json
import socket
from collections.abc import Iterable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from threading import Timer
from typing import Any
from urllib.parse import urlencode

from attrs import frozen

from lbconsul.admin.status_model import FORMAT
from lbconsul.errors import LBConsulError

_DEFAULT_HOST = "127.0.0.1"

#: Timeouts of one read and of the whole answer, in seconds; and the longest answer, in
#: bytes: with 10,000 upstreams it has some 5 MB.
_PATIENCE = 10.0
_PATIENCE_FOR_ALL = 60.0
_MOST = 128 * 1024 * 1024


class CannotAsk(LBConsulError):
    """The gateway's status, or what else was asked for, could not be read."""


@frozen
class Admin:
    """An admin listener, as ``[HOST:]PORT`` or ``unix:/PATH``, and the token for it."""

    address: str
    token: str = ""

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
        code, body = self._ask(f"/why?{urlencode(asked)}")
        try:
            document = json.loads(body)
            if code == 200:
                return dict(document)
            why = document["error"]
        except (ValueError, KeyError, TypeError, RecursionError):
            why = f"the answer is not lbconsul's (HTTP {code})"
        raise CannotAsk(f"{self.address}: {why}")

    def _ask(self, path: str) -> tuple[int, bytes]:
        """The status and the body of an answer.

        :raises CannotAsk: there is none.
        """
        try:
            return self._get(path)
        except (OSError, HTTPException, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise CannotAsk(f"no answer at {self.address}: {why}") from None

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = self._connection()
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        connection.connect()
        # The socket's timeout starts again with each byte, so the total needs its own.
        timer = Timer(_PATIENCE_FOR_ALL, _hang_up, (connection.sock,))
        timer.daemon = True
        timer.start()
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            body = response.read(_MOST + 1)
        finally:
            timer.cancel()
            connection.close()
        if len(body) > _MOST:
            raise ValueError(f"the answer is longer than {_MOST} bytes")
        return response.status, body

    def _connection(self) -> HTTPConnection:
        if self.address.startswith("unix:"):
            return _UnixConnection(self.address.removeprefix("unix:"))
        host, _, port = self.address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]") or _DEFAULT_HOST
        if not port.isascii() or not port.isdecimal():
            raise CannotAsk(f"{self.address}: must be [HOST:]PORT or unix:/PATH")
        return HTTPConnection(host, int(port), timeout=_PATIENCE)


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_PATIENCE)
        self.sock.connect(self._path)


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
