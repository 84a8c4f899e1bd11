"""The service manager of this process: sd_notify(3), sd_watchdog_enabled(3)."""

import os
import socket
from collections import deque
from collections.abc import Mapping as AbstractMapping

from attrs import Factory, define, field
from twisted.logger import Logger

_log = Logger()

#: The most messages that wait until the service manager reads earlier ones.
_MOST_WAITING = 16

#: What is this process's alone: a process that it starts has other sockets, and is
#: another one than the service manager started.
_OWN = frozenset({"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"})


def watchdog_interval(environ: AbstractMapping[str, str], process: int) -> float:
    """Within how many seconds the service manager expects a sign of life; 0: never."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    if environ.get("WATCHDOG_PID", str(process)) != str(process):
        return 0.0
    return int(microseconds) / 1e6 if microseconds.isdecimal() else 0.0


def inheritable(environ: AbstractMapping[str, str]) -> dict[str, str]:
    """The environment for a process that replaces this one in its service."""
    return {name: text for name, text in environ.items() if name not in _OWN}


@define(eq=False)
class NotifySocket:
    """Sends messages to the service manager, in their order and without ever waiting.

    `address` is that of ``NOTIFY_SOCKET``: a path, or an abstract name after ``@``.
    """

    address: str
    _sock: socket.socket = field(
        init=False,
        factory=lambda: socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        ),
    )
    _waiting: deque[str] = Factory(lambda: deque(maxlen=_MOST_WAITING))
    _is_failing: bool = False

    @property
    def is_clear(self) -> bool:
        """Whether no message waits."""
        return not self._waiting

    def send(self, *assignments: str) -> None:
        """Send these assignments, such as ``READY=1``, as one message."""
        self._waiting.append("\n".join(assignments))
        self.flush()

    def flush(self) -> None:
        """Send the messages that wait, as far as the service manager has room."""
        while self._waiting:
            try:
                self._sock.sendto(os.fsencode(self._waiting[0]), self._target)
            except BlockingIOError:
                return
            except OSError as error:
                self._failed(error)
            else:
                self._is_failing = False
            self._waiting.popleft()

    def close(self) -> None:
        """Close the socket, and drop what waits."""
        self._waiting.clear()
        self._sock.close()

    @property
    def _target(self) -> bytes:
        name = os.fsencode(self.address)
        return b"\0" + name[1:] if name.startswith(b"@") else name

    def _failed(self, error: OSError) -> None:
        if not self._is_failing:
            _log.warn(
                "NOTIFY_SOCKET={address}: cannot be sent to: {error}",
                address=self.address,
                error=error.strerror or error,
            )
        self._is_failing = True


def notify_socket(environ: AbstractMapping[str, str]) -> NotifySocket | None:
    """The socket of the service manager; None if it is not to be told anything."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return None
    if address.startswith(("/", "@")) and len(address) > 1:
        return NotifySocket(address)
    _log.warn(
        "NOTIFY_SOCKET={address}: neither a path nor @ and a name: the service manager"
        " is told nothing",
        address=address,
    )
    return None
