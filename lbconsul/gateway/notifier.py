"""Tells the service manager how far a gateway is, and that its reactor runs.

The messages are those of sd_notify(3).  Of a gateway and its successor in one service,
only the one that serves sends any.
"""

import os
from typing import Any

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall

from lbconsul.gateway.interfaces import Gateway, Stage
from lbconsul.gateway.readiness import why_not_ready
from lbconsul.process.service_manager import NotifySocket

#: How often the gateway is looked at in seconds: until it serves, and from then on.
SOON, EVERY = 0.05, 5.0

#: The longest status in characters: `systemctl status` shows it on one line.
_LONGEST = 300


@define(eq=False, repr=False)
class Notifier(Service):
    """Sends messages for a gateway, from its start to its end.

    `watchdog` is the time in seconds within which the service manager expects signs of
    life; they are sent twice as often.  0: none are expected.
    """

    _reactor: Any
    _gateway: Gateway
    _socket: NotifySocket
    _watchdog: float = 0.0
    #: Whether the gateway takes over from the one that the service manager started.
    _takes_over: bool = field(default=False, kw_only=True)
    _stage: Stage = Stage.STARTING
    #: The status as last sent.
    _status: str = ""
    _next: IDelayedCall | None = None

    def startService(self) -> None:
        super().startService()
        self._look()

    def stopService(self) -> None:
        super().stopService()
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._enter(Stage.DRAINING)
        self._socket.close()

    def on_stage(self) -> None:
        """Called when the gateway's stage changed."""
        if self.running:
            self._enter(self._gateway.stage)

    def on_reload(self) -> None:
        """Called when a reload begins."""
        if self._stage is Stage.SERVING:
            now = int(self._reactor.seconds() * 1e6)
            self._status = "STATUS=reloading"
            self._socket.send("RELOADING=1", f"MONOTONIC_USEC={now}", self._status)

    def on_reloaded(self) -> None:
        """Called when a reload is over, whether it failed or not."""
        if self._stage is Stage.SERVING:
            self._socket.send("READY=1", self._new_status())

    def _look(self) -> None:
        self._next = None
        self._enter(self._gateway.stage)
        if self._stage is Stage.REPLACED:
            return
        self._socket.flush()
        if self._stage is not self._silent and self._socket.is_clear:
            self._show_life()
        self._next = self._reactor.callLater(self._pause, self._look)

    @property
    def _silent(self) -> Stage | None:
        """The stage in which the predecessor speaks for the service."""
        return Stage.STARTING if self._takes_over else None

    @property
    def _pause(self) -> float:
        if self._stage is Stage.STARTING or not self._socket.is_clear:
            return SOON
        return min(EVERY, self._watchdog / 2) if self._watchdog else EVERY

    def _enter(self, stage: Stage) -> None:
        """Report a stage once; none follows the last one of this gateway."""
        before = self._stage
        if stage is before or before in (Stage.DRAINING, Stage.REPLACED):
            return
        if before is self._silent and stage is Stage.DRAINING:
            return  # it ends, and its predecessor goes on
        self._stage = stage
        if stage is Stage.SERVING:
            own = [f"MAINPID={os.getpid()}"] if self._takes_over else []
            self._socket.send(*own, "READY=1", self._new_status())
        elif stage is Stage.DRAINING:
            self._socket.send("STOPPING=1", self._new_status())
        else:
            self._socket.close()

    def _show_life(self) -> None:
        signs = ["WATCHDOG=1"] if self._watchdog else []
        before = self._status
        if self._new_status() != before:
            signs.append(self._status)
        if signs:
            self._socket.send(*signs)

    def _new_status(self) -> str:
        self._status = f"STATUS={self._words()}"[:_LONGEST]
        return self._status

    def _words(self) -> str:
        """How the gateway is, for `systemctl status`."""
        data_plane = self._gateway.data_plane
        if self._stage is Stage.DRAINING:
            return f"draining: {_count(data_plane.open, 'connection')} open"
        why = why_not_ready(self._gateway)
        not_ready = f"not ready: {why}" if why else ""
        if self._stage is Stage.STARTING:
            return not_ready or "starting"
        return not_ready or (
            f"ready: {_count(len(data_plane.mappings), 'mapping')},"
            f" {_count(data_plane.open, 'connection')} open"
        )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
