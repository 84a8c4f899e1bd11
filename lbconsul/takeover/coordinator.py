"""Coordinates a gateway with its predecessor and its successor on one host."""

import socket
from collections.abc import Callable
from collections.abc import Mapping as AbstractMapping
from typing import Any, Protocol

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lbconsul.config.model import Config
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.takeover.inherited import InheritedSockets
from lbconsul.takeover.server import TakeoverServer

#: How often a gateway that takes over checks its own progress, in seconds.
_LOOK = 0.02

#: After this many seconds one answer for each mapping suffices, not one for every
#: datacenter and fallback.
_WHOLLY = 5.0

#: The limit in seconds for Consul to answer, and again for the gateway to serve:
#: together less than the predecessor waits (`session.ACCEPT_WITHIN`).
_EACH_STEP = 20.0


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
    _handover: TakeoverServer = field(init=False)
    #: Whether the takeover from the predecessor is not decided yet.
    is_pending: bool = False
    _is_replaced: bool = False
    #: The delayed call that checks the progress.
    _look: Any = None

    def __attrs_post_init__(self) -> None:
        self._path = self._gateway.config.takeover
        self.is_pending = self._predecessor is not None
        self._handover = TakeoverServer(
            self._reactor,
            self._path,
            self._offer,
            self._replaced,
            self._predecessor,
            lambda: self._gateway.state(),
        )

    @property
    def is_shared(self) -> bool:
        """Whether another gateway listens on the same sockets."""
        return self.is_pending or self._is_replaced or self._handover.is_shared

    @property
    def is_handing_over(self) -> bool:
        """Whether a successor is replacing this gateway, or has."""
        return self._is_replaced or self._handover.is_shared

    def leave_files(self) -> None:
        """Keep the files of shared UNIX sockets when these are closed from now on."""
        for each in self._gateway.sockets.values():
            each.is_shared = self.is_shared

    def startService(self) -> None:
        super().startService()
        self._handover.startService()
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
        self._wait_for_answers(self._reactor.seconds())

    def stopService(self) -> None:
        super().stopService()
        self.give_up()
        self._handover.stopService()

    def give_up(self) -> None:
        """Abandon a takeover that is not decided yet."""
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _wait_for_answers(self, since: float) -> None:
        self._look = None
        waited = self._reactor.seconds() - since
        if self._gateway.knows(wholly=waited < _WHOLLY):
            self._gateway.start_serving()
            self._wait_until_serving(self._reactor.seconds())
        elif waited < _EACH_STEP:
            self._later(self._wait_for_answers, since)
        else:
            self._fail("Consul does not answer")

    def _wait_until_serving(self, since: float) -> None:
        self._look = None
        if self._gateway.is_serving:
            self._accepting()
        elif self._reactor.seconds() - since < _EACH_STEP:
            self._later(self._wait_until_serving, since)
        else:
            self._fail("the workers do not serve")

    def _later(self, look: Callable[[float], None], since: float) -> None:
        self._look = self._reactor.callLater(_LOOK, look, since)

    def _accepting(self) -> None:
        accepted = self._handover.accepting()
        accepted.addCallback(self._accepted)
        accepted.addErrback(lambda why: self._log.failure("a bug in lbconsul", why))

    def _accepted(self, is_ours: bool) -> None:
        if not is_ours:
            if self.running:
                self._fail("it timed out")
        elif self.is_pending:
            self.is_pending = False
            self._log.info("taken over from the gateway at {path}", path=self._path)

    def _fail(self, why: str) -> None:
        self._log.error(
            "not taken over: {why}; the gateway at {path} goes on serving",
            why=why,
            path=self._path,
        )
        self._gateway.drain().addCallback(lambda _: self._gateway.finished(1))

    def _offer(self) -> dict[str, socket.socket]:
        sockets = self._gateway.sockets.items()
        return {where: each.sock for where, each in sockets if each.sock is not None}

    def _replaced(self) -> None:
        self._is_replaced = True
        self._gateway.drain().addCallback(lambda _: self._gateway.finished(0))
