"""The running gateway hands its listening sockets to its successor."""

import socket
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from attrs import Factory, define
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory as ProtocolFactory
from twisted.logger import Logger

from lbconsul.net.acceptor import Acceptor
from lbconsul.net.unix_socket import FileIdentity, file_identity, remove_file
from lbconsul.takeover.inherited import InheritedSockets
from lbconsul.takeover.rendezvous import listen_at, peer, trusted_users
from lbconsul.takeover.session import State, TakeoverSession

#: How many clients may wait for their turn; further ones are closed and retry.
MOST_WAITING = 16

#: How long accepting pauses when no descriptor is left, in seconds.
PAUSE = 1.0


@define(eq=False, repr=False)
class TakeoverServer(Service):
    """Waits at `path` for a successor; serves one client at a time.

    `offer` gives the current listening sockets by address.  `taken` is called once a
    successor accepts: it then owns the sockets, with their files, and the path.
    `predecessor` is the gateway that this one itself takes over from.
    """

    _log = Logger()
    _reactor: Any
    path: str
    _offer: Callable[[], dict[str, socket.socket]]
    _taken: Callable[[], None]
    _predecessor: InheritedSockets | None = None
    #: Gives the state for the successor.
    _tell: Callable[[], Mapping[str, object]] = dict
    #: The socket that listens at `path`, and its file.
    _sock: socket.socket | None = None
    _file: FileIdentity | None = None
    _acceptor: Acceptor | None = None
    #: The sessions of waiting clients; the first one is active.
    _sessions: deque[TakeoverSession] = Factory(deque)
    _over: bool = False

    @property
    def is_shared(self) -> bool:
        """Whether another gateway has the sockets too, or soon will."""
        shared = (State.OFFERED, State.GIVEN)
        return any(each.state in shared for each in self._sessions)

    def accepting(self) -> Deferred[bool]:
        """Called when this gateway accepts: ask the predecessor to drain, then replace
        it.

        Fires with whether this gateway has replaced it; False if the predecessor timed
        out before and goes on.
        """
        if self._predecessor is None:
            self._open()
            done: Deferred[bool] = Deferred()
            done.callback(True)
            return done
        return self._predecessor.accepting(self._reactor).addCallback(self._replaced)

    def stopService(self) -> None:
        super().stopService()
        self._close(clear=not self.is_shared)
        if self._predecessor is not None:
            self._predecessor.close()

    def _replaced(self, replaced: bool) -> bool:
        if replaced and self.running:
            self._open()
        if self._predecessor is not None:
            # The predecessor closes its socket when it reads this, so the new one must
            # be open before.
            self._predecessor.close()
            self._predecessor = None
        return replaced

    def _open(self) -> None:
        try:
            self._sock = listen_at(self.path)
        except OSError as error:
            self._log.error(
                "--takeover {path}: cannot listen: {error}; no takeover is possible",
                path=self.path,
                error=error.strerror or error,
            )
            return
        self._file = file_identity(self.path)
        self._acceptor = Acceptor(
            self._reactor, "takeover", self._sock, self._came, self._starved, PAUSE
        )
        self._acceptor.start()

    def _close(self, *, clear: bool) -> None:
        """End; with `clear` remove the file, unless another gateway owns it."""
        self._over = True
        sock, self._sock = self._sock, None
        if sock is not None and self._acceptor is not None:
            self._acceptor.stop()
            if clear:
                remove_file(self.path, self._file)
            sock.close()
        for session in tuple(self._sessions):
            session.abort()

    def _starved(self, error: OSError) -> None:
        self._log.warn(
            "--takeover {path}: accept failed: {error}; tried again soon",
            path=self.path,
            error=error.strerror,
        )

    def _came(self, sock: socket.socket) -> None:
        """Called with the connection of a new client."""
        process, user = peer(sock)
        session = TakeoverSession(
            self._reactor, process, self._offer, self._ended, self._tell
        )
        factory = ProtocolFactory.forProtocol(lambda: session)
        factory.noisy = False
        self._reactor.adoptStreamConnection(sock.fileno(), socket.AF_UNIX, factory)
        if user not in trusted_users():
            session.refuse(f"user {user} is neither this gateway's nor root")
        elif len(self._sessions) > MOST_WAITING:
            session.abort()
        else:
            self._sessions.append(session)
            if len(self._sessions) == 1:
                session.begin()

    def _ended(self, session: TakeoverSession, given: bool) -> None:
        is_current = bool(self._sessions) and self._sessions[0] is session
        if session in self._sessions:
            self._sessions.remove(session)
        if self._over:
            return
        if given:
            self._close(clear=False)
            self._log.info(
                "--takeover {path}: another gateway has taken over", path=self.path
            )
            self._taken()
        elif is_current and self._sessions:
            self._sessions[0].begin()
