"""The new gateway fetches the running gateway's listening sockets before it starts.

Calls block, within a deadline: no reactor runs yet.
"""

import os
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from attrs import Factory, define

from lbconsul.net.fd_passing import receive_with_descriptors
from lbconsul.takeover.inherited import InheritedSockets
from lbconsul.takeover.protocol import (
    MAX_LINE,
    MOST_SOCKETS,
    ProtocolError,
    Refused,
    read_offer,
    read_state,
    write_request,
)
from lbconsul.takeover.rendezvous import check_place, peer, trusted_users, wrong

#: How long to wait for the sockets in seconds, including the turns of other clients.
WITHIN = 30.0

#: The delay before another attempt, in seconds.
_PAUSE = 0.05


class _AskAgain(Exception):
    """The connection ended before the answer was complete; a successor may listen
    by now.
    """


def take(
    path: str,
    program: str = "lbconsul",
    *,
    also: Iterable[int] = (),
    within: float = WITHIN,
) -> InheritedSockets | None:
    """Fetch the sockets of the gateway that listens at `path`; None if none listens.

    That gateway goes on until the new gateway reports that it accepts.  `also` are
    users from whom sockets are taken, beside this process's user and root.

    :raises CannotTakeOver: `path` cannot be used, or the process there does not hand
        over.
    """
    check_place(path)
    trusted = trusted_users(also)
    deadline = time.monotonic() + within
    while True:
        try:
            return _ask(path, program, trusted, deadline)
        except (_AskAgain, BlockingIOError, ConnectionError):
            threading.Event().wait(_PAUSE)
        except TimeoutError:
            pass
        except (ProtocolError, OSError) as error:
            what = getattr(error, "strerror", None) or error
            raise wrong(
                path, f"the running gateway sent an invalid offer: {what}"
            ) from None
        except Refused as error:
            raise wrong(path, f"the running gateway refuses: {error}") from None
        if time.monotonic() >= deadline:
            why = f"the running gateway hands nothing over within {within:g} s"
            raise wrong(path, why)


def _ask(
    path: str, program: str, trusted: frozenset[int], deadline: float
) -> InheritedSockets | None:
    sock = socket.socket(socket.AF_UNIX)
    try:
        if not _connect(sock, path):
            sock.close()
            return None
        user = peer(sock)[1]
        if user not in trusted:
            raise wrong(
                path,
                f"the process there runs as user {user}, which is neither this user"
                " nor root",
            )
        sock.settimeout(max(0.001, deadline - time.monotonic()))
        with suppress(ConnectionError):  # a refusal may have been sent already
            sock.sendall(write_request(program))
        answer = _Answer(sock, deadline)
        sockets = answer.read()
        return InheritedSockets(path, sockets, sock, state=answer.state())
    except BaseException:
        sock.close()
        raise


def _connect(sock: socket.socket, path: str) -> bool:
    """Connect; return whether a process listens at `path`."""
    sock.setblocking(False)
    try:
        sock.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except BlockingIOError:  # the listen queue is full
        raise
    except OSError as error:
        raise wrong(path, f"cannot be connected to: {error.strerror}") from None
    return True


@define
class _Answer:
    """The running gateway's line, and the descriptors that come with it."""

    _sock: socket.socket
    _deadline: float
    _line: bytearray = Factory(bytearray)
    _descriptors: list[int] = Factory(list)

    def read(self) -> dict[str, int]:
        """The descriptors by listening address; on any error all are closed again."""
        try:
            while not self._line.endswith(b"\n"):
                self._more()
            addresses = read_offer(bytes(self._line))
            if len(addresses) != len(self._descriptors):
                raise ProtocolError(
                    f"{len(addresses)} sockets are named, {len(self._descriptors)}"
                    " passed"
                )
            for each in self._descriptors:
                _check_socket(each)
        except BaseException:
            for each in self._descriptors:
                os.close(each)
            raise
        return dict(zip(addresses, self._descriptors, strict=True))

    def state(self) -> dict[str, Any]:
        """The running gateway's state, once all is read."""
        return read_state(bytes(self._line))

    def _more(self) -> None:
        self._sock.settimeout(max(0.001, self._deadline - time.monotonic()))
        data, descriptors = receive_with_descriptors(self._sock, 65536)
        self._descriptors += descriptors
        if not data:
            raise _AskAgain
        self._line += data
        end = self._line.find(b"\n") + 1
        too_long = len(self._line) > MAX_LINE or 0 < end < len(self._line)
        if too_long or len(self._descriptors) > MOST_SOCKETS:
            raise ProtocolError("too many bytes or descriptors")


def _check_socket(descriptor: int) -> None:
    """Raise an error unless the descriptor is a listening socket."""
    listens = 0
    with suppress(OSError):
        sock = socket.socket(fileno=descriptor)
        try:
            listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        finally:
            sock.detach()
    if not listens:
        raise ProtocolError("a passed descriptor is not a listening socket")
