"""Coordinates a gateway with its predecessor and its successor on one host."""

import socket
from collections.abc import Mapping as AbstractMapping
from enum import Enum, auto
from typing import Any, Protocol

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from lbconsul.config.model import Config
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.takeover.inherited import InheritedSockets
from lbconsul.takeover.server import TakeoverServer

#: How often a gateway that takes over checks its own progress, in seconds.
_CHECK_EVERY = 0.02

#: After this many seconds one answer for each mapping suffices, not one for every
#: datacenter and fallback.
_WHOLLY = 5.0

#: The limit in seconds for Consul to answer, and again for the gateway to serve:
#: together less than the predecessor waits (`session.ACCEPT_WITHIN`).
_EACH_STEP = 20.0


class State(Enum):
    """How far the takeovers from a predecessor and by a successor are."""

    #: The predecessor serves; this gateway waits for Consul's answers.
    AWAITING_ANSWERS = auto()
    #: The predecessor serves; this gateway starts to.
    STARTING = auto()
    #: Both serve; the predecessor is asked to drain.
    CONFIRMING = auto()
    #: The predecessor goes on; this gateway ends.
    FAILED = auto()
    #: This gateway serves alone.
    SERVING = auto()
    #: A successor serves; this gateway drains.
    REPLACED = auto()


#: The states in which a predecessor serves.
_BEFORE = {State.AWAITING_ANSWERS, State.STARTING, State.CONFIRMING, State.FAILED}


class Gateway(Protocol):
    """A gateway, as the coordinator sees it."""

    config: Config

    @property
    def sockets(self) -> AbstractMapping[str, OwnedSocket]:
        """The listening sockets by address."""

    @property
    def is_serving(self) -> bool:
        """Whether clients are accepted, in this process or in workers."""

    def knows(self, *, wholly: bool) -> bool:
        """Whether Consul has answered every query, or, unless `wholly`, enough to
        serve.
        """

    def state(self) -> AbstractMapping[str, object]:
        """The state for a successor, as JSON can hold it."""

    def start_serving(self) -> None:
        """Start serving."""

    def finished(self, status: int, /) -> None:
        """End the gateway with this exit status."""

    def on_stage(self) -> None:
        """Called once this gateway has replaced the predecessor, which has not ended
        yet, and once a successor has replaced it.
        """

    def drain(self) -> Deferred[None]:
        """Stop accepting; fires when nothing is open."""


@define(eq=False, repr=False)
class TakeoverCoordinator(Service):
    """Replaces the predecessor, if there is one, and then waits for a successor.

    It does neither without a path at which gateways meet.
    """

    _log = Logger()
    _reactor: Any
    _gateway: Gateway
    _predecessor: InheritedSockets | None
    _path: str = field(init=False)
    _server: TakeoverServer = field(init=False)
    _state: State = State.SERVING
    #: When the present state began, by the reactor's clock.
    _since: float = 0.0
    #: The delayed call that checks the progress.
    _check_later: IDelayedCall | None = None

    def __attrs_post_init__(self) -> None:
        self._path = self._gateway.config.takeover
        if self._predecessor is not None:
            self._state = State.AWAITING_ANSWERS
        self._server = TakeoverServer(
            self._reactor,
            self._path,
            self._offer,
            self._replaced,
            self._predecessor,
            lambda: self._gateway.state(),
        )

    @property
    def is_pending(self) -> bool:
        """Whether a predecessor serves, beside this gateway or instead of it."""
        return self._state in _BEFORE

    @property
    def is_replaced(self) -> bool:
        """Whether a successor serves."""
        return self._state is State.REPLACED

    @property
    def is_shared(self) -> bool:
        """Whether another gateway listens on the same sockets."""
        return self.is_pending or self.is_handing_over

    @property
    def is_handing_over(self) -> bool:
        """Whether a successor is replacing this gateway, or has."""
        return self._state is State.REPLACED or self._server.is_shared

    def leave_files(self) -> None:
        """Keep the files of shared UNIX sockets when these are closed from now on."""
        for each in self._gateway.sockets.values():
            each.is_shared = self.is_shared

    def startService(self) -> None:
        super().startService()
        self._server.startService()
        if not self.is_pending:
            self._accepting()
            return
        self._log.info(
            "taking over from the gateway at {path}: it serves until this gateway does",
            path=self._path,
        )
        assert self._predecessor is not None
        if self._predecessor.unused:
            self._log.warn(
                "{unused}: offered but not mapped: closed after the takeover",
                unused=", ".join(self._predecessor.unused),
            )
        self._turn_to(State.AWAITING_ANSWERS)
        # Not at once: with a snapshot the data plane would be added while the gateway
        # starts its parts, and be started twice.
        self._check_later = self._reactor.callLater(0, self._check)

    def stopService(self) -> None:
        super().stopService()
        self.give_up()
        self._server.stopService()

    def give_up(self) -> None:
        """Abandon a takeover unless the predecessor has been asked to drain."""
        if self._check_later is not None:
            self._check_later.cancel()
            self._check_later = None

    def _turn_to(self, state: State) -> None:
        self._state, self._since = state, self._reactor.seconds()

    def _check(self) -> None:
        """See whether the present step of the takeover is done, or lasts too long."""
        self._check_later = None
        waited = self._reactor.seconds() - self._since
        if self._state is State.AWAITING_ANSWERS:
            if self._gateway.knows(wholly=waited < _WHOLLY):
                self._gateway.start_serving()
                self._turn_to(State.STARTING)
                self._check()
                return
            reason = "Consul does not answer"
        else:
            if self._gateway.is_serving:
                self._turn_to(State.CONFIRMING)
                self._accepting()
                return
            reason = "the workers do not serve"
        if waited < _EACH_STEP:
            self._check_later = self._reactor.callLater(_CHECK_EVERY, self._check)
        else:
            self._fail(reason)

    def _accepting(self) -> None:
        accepted = self._server.accepting()
        accepted.addCallback(self._accepted)
        accepted.addErrback(lambda why: self._log.failure("a bug in lbconsul", why))

    def _accepted(self, is_ours: bool) -> None:
        if not is_ours:
            if self.running:
                self._fail("it timed out")
        elif self._state is State.CONFIRMING:
            self._turn_to(State.SERVING)
            self._gateway.on_stage()
            self._log.info("taken over from the gateway at {path}", path=self._path)

    def _fail(self, why: str) -> None:
        self._turn_to(State.FAILED)
        self._log.error(
            "not taken over: {why}; the gateway at {path} goes on serving",
            why=why,
            path=self._path,
        )
        self._end(1)

    def _offer(self) -> dict[str, socket.socket]:
        sockets = self._gateway.sockets.items()
        return {where: each.sock for where, each in sockets if each.sock is not None}

    def _replaced(self) -> None:
        self._turn_to(State.REPLACED)
        self._gateway.on_stage()
        self._end(0)

    def _end(self, status: int) -> None:
        """Drain the gateway, and end it with this exit status."""
        self._gateway.drain().addCallback(lambda _: self._gateway.finished(status))
