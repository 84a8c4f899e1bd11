"""The old gateway hands its listening sockets to the next one."""

import socket
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from attrs import Factory, define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory as ProtocolFactory
from twisted.logger import Logger

from lbconsul.takeover.door import Door
from lbconsul.takeover.inherited import InheritedSockets
from lbconsul.takeover.rendezvous import peer, trusted_users
from lbconsul.takeover.session import State, TakeoverSession

#: How many may wait for their turn; others are sent away, and come again.
MOST_WAITING = 16


@define(eq=False, repr=False)
class TakeoverServer(Service):
    """Waits at `path` for a successor, which is one at a time.

    `offer` are the sockets that are listened on at that moment, by listening
    address.  `taken` is called once a successor accepts in our place: it has the
    sockets, with their files, and the path.  `predecessor` is whom we take over
    from ourselves.
    """

    _log = Logger()
    _reactor: Any
    path: str
    _offer: Callable[[], dict[str, socket.socket]]
    _taken: Callable[[], None]
    _predecessor: InheritedSockets | None = None
    #: Gives what the successor should know of us.
    _tell: Callable[[], Mapping[str, object]] = dict
    _door: Door = field(init=False)
    #: Those who would take over; the first one is heard.
    _talks: deque[TakeoverSession] = Factory(deque)
    _over: bool = False

    def __attrs_post_init__(self) -> None:
        self._door = Door(self._reactor, self.path, self._came)

    @property
    def is_shared(self) -> bool:
        """Whether another gateway has the sockets too, or soon will."""
        shared = (State.OFFERED, State.GIVEN)
        return any(each.state in shared for each in self._talks)

    def accepting(self) -> Deferred[bool]:
        """The gateway accepts: let the predecessor retire, and take its place.

        It fires with whether we are the gateway now.  If not, the predecessor has
        lost its patience before, and goes on.
        """
        if self._predecessor is None:
            self._open()
            done: Deferred[bool] = Deferred()
            done.callback(True)
            return done
        return self._predecessor.accepting(self._reactor).addCallback(self._heard)

    def stopService(self) -> None:
        super().stopService()
        self._close(clear=not self.is_shared)
        if self._predecessor is not None:
            self._predecessor.close()

    def _heard(self, heard: bool) -> bool:
        if heard and self.running:
            self._open()
        if self._predecessor is not None:
            # It leaves its door when it hears this, so ours had to be open before.
            self._predecessor.close()
            self._predecessor = None
        return heard

    def _open(self) -> None:
        try:
            self._door.open()
        except OSError as error:
            self._log.error(
                "--takeover {path}: {error}: nobody will be able to take over",
                path=self.path,
                error=error.strerror or error,
            )

    def _close(self, *, clear: bool) -> None:
        self._over = True
        self._door.close(clear=clear)
        for talk in tuple(self._talks):
            talk.abort()

    def _came(self, sock: socket.socket) -> None:
        """Somebody is at the door."""
        process, user = peer(sock)
        talk = TakeoverSession(
            self._reactor, process, self._offer, self._ended, self._tell
        )
        factory = ProtocolFactory.forProtocol(lambda: talk)
        factory.noisy = False
        self._reactor.adoptStreamConnection(sock.fileno(), socket.AF_UNIX, factory)
        if user not in trusted_users():
            talk.refuse(f"user {user} is neither ours nor root")
        elif len(self._talks) > MOST_WAITING:
            talk.abort()
        else:
            self._talks.append(talk)
            if len(self._talks) == 1:
                talk.begin()

    def _ended(self, talk: TakeoverSession, given: bool) -> None:
        is_current = bool(self._talks) and self._talks[0] is talk
        if talk in self._talks:
            self._talks.remove(talk)
        if self._over:
            return
        if given:
            self._close(clear=False)
            self._log.info("{path}: another gateway has taken over", path=self.path)
            self._taken()
        elif is_current and self._talks:
            self._talks[0].begin()
