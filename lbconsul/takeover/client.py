"""The new gateway asks the old one for its listening sockets, before it starts.

All this waits for the other one, within a deadline: no reactor runs yet.
"""

import array
import os
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from attrs import Factory, define

from lbconsul.takeover.inherited import InheritedSockets
from lbconsul.takeover.protocol import (
    MAX_LINE,
    MOST_SOCKETS,
    ProtocolError,
    Refused,
    read_offer,
    read_state,
    write_question,
)
from lbconsul.takeover.rendezvous import check_place, peer, trusted_users, wrong

#: How long to wait for the sockets, in seconds, be it that others are first.
WITHIN = 30.0

#: How long to wait before we ask again, in seconds.
_PAUSE = 0.05

#: The most descriptors that the kernel passes with one message (SCM_MAX_FD).
_MOST_AT_ONCE = 253

#: What to tell the kernel of descriptors that come: no program that we start is
#: to have them.
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class _AskAgain(Exception):
    """It ended the conversation before we had all: another one may be there by now."""


def take(
    path: str,
    program: str = "lbconsul",
    *,
    also: Iterable[int] = (),
    within: float = WITHIN,
) -> InheritedSockets | None:
    """The sockets of the gateway that listens at `path`; None if none does.

    That one goes on until it is told that we accept.  `also` are users, beside
    ourselves and root, from whom we take sockets.

    :raises CannotTakeOver: somebody is there from whom they cannot be had; or
        nobody could be there.
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
            raise wrong(path, f"the gateway there is not understood: {what}") from None
        except Refused as error:
            raise wrong(path, f"the gateway there refuses: {error}") from None
        if time.monotonic() >= deadline:
            told = f"the gateway there hands nothing over within {within:g} s"
            raise wrong(path, told)


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
            raise wrong(path, f"it belongs to somebody else (user {user})")
        sock.settimeout(max(0.001, deadline - time.monotonic()))
        with suppress(ConnectionError):  # it may have said why not already
            sock.sendall(write_question(program))
        answer = _Answer(sock, deadline)
        sockets = answer.read()
        return InheritedSockets(path, sockets, sock, state=answer.state())
    except BaseException:
        sock.close()
        raise


def _connect(sock: socket.socket, path: str) -> bool:
    """Whether somebody is there."""
    sock.setblocking(False)
    try:
        sock.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except BlockingIOError:  # too many are before us
        raise
    except OSError as error:
        raise wrong(path, f"cannot be connected to: {error.strerror}") from None
    return True


@define
class _Answer:
    """The line that the old one says, and the descriptors that come with it."""

    _sock: socket.socket
    _deadline: float
    _line: bytearray = Factory(bytearray)
    _descriptors: list[int] = Factory(list)

    def read(self) -> dict[str, int]:
        """The descriptors by listening address; closed again if anything is wrong."""
        try:
            while not self._line.endswith(b"\n"):
                self._more()
            addresses = read_offer(bytes(self._line))
            if len(addresses) != len(self._descriptors):
                raise ProtocolError(
                    f"it names {len(addresses)} sockets and passes"
                    f" {len(self._descriptors)}"
                )
            for each in self._descriptors:
                _check_socket(each)
        except BaseException:
            for each in self._descriptors:
                os.close(each)
            raise
        return dict(zip(addresses, self._descriptors, strict=True))

    def state(self) -> dict[str, Any]:
        """What the old one says of itself, once all is read."""
        return read_state(bytes(self._line))

    def _more(self) -> None:
        self._sock.settimeout(max(0.001, self._deadline - time.monotonic()))
        room = socket.CMSG_SPACE(_MOST_AT_ONCE * 4)
        data, extra, flags, _ = self._sock.recvmsg(65536, room, _CLOSE_ON_EXEC)
        for level, kind, content in extra:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._passed(content)
        if flags & socket.MSG_CTRUNC:
            raise ProtocolError(
                "there are too few descriptors for its sockets (ulimit -n)"
            )
        if not data:
            raise _AskAgain
        self._line += data
        end = self._line.find(b"\n") + 1
        too_long = len(self._line) > MAX_LINE or 0 < end < len(self._line)
        if too_long or len(self._descriptors) > MOST_SOCKETS:
            raise ProtocolError("it says too much")

    def _passed(self, content: bytes) -> None:
        passed = array.array("i")
        passed.frombytes(content[: len(content) - len(content) % passed.itemsize])
        self._descriptors.extend(passed)
        for each in passed:
            os.set_inheritable(each, False)


def _check_socket(descriptor: int) -> None:
    """See that it is a socket that listens."""
    listens = 0
    with suppress(OSError):
        sock = socket.socket(fileno=descriptor)
        try:
            listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        finally:
            sock.detach()
    if not listens:
        raise ProtocolError("it passes what is no listening socket")
