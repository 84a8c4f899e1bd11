"""What a service manager hears of a gateway."""

import os
from typing import Any, cast

from attrs import Factory, define
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.gateway.interfaces import Stage
from lbconsul.gateway.notifier import EVERY, SOON, Notifier


@define(eq=False)
class Socket:
    """Keeps what it is to send, while the service manager has room."""

    got: list[list[str]] = Factory(list)
    is_clear: bool = True
    is_closed: bool = False

    def send(self, *assignments: str) -> None:
        assert not self.is_closed
        self.got.append(list(assignments))

    def flush(self) -> None:
        assert not self.is_closed

    def close(self) -> None:
        self.is_closed = True


@define(eq=False)
class Gateway:
    """A gateway with two mappings, as far as a test says."""

    stage: Stage = Stage.STARTING
    mappings: tuple[str, ...] = ("80:web", "81:mail")
    open: int = 3
    blocked: tuple[str, ...] = ()

    @property
    def data_plane(self) -> "Gateway":
        return self

    availability = certificates = data_plane

    def blocks(self, mapping: str) -> str:
        return "no answer from Consul yet" if mapping in self.blocked else ""

    def is_listening(self, mapping: str) -> bool:
        return self.stage is not Stage.STARTING


class NotifierTests(SynchronousTestCase):
    """Stage by stage."""

    def start(self, *, watchdog: float = 0.0, takes_over: bool = False) -> None:
        """Start it."""
        self.clock, self.gateway, self.socket = Clock(), Gateway(), Socket()
        self.clock.advance(1000)
        self.notifier = Notifier(
            self.clock,
            cast(Any, self.gateway),
            cast(Any, self.socket),
            watchdog,
            takes_over=takes_over,
        )
        self.notifier.startService()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def heard(self) -> list[list[str]]:
        """What was sent since the last call."""
        got, self.socket.got = self.socket.got, []
        return got

    def enter(self, stage: Stage) -> None:
        """The gateway comes so far."""
        self.gateway.stage = stage
        self.notifier.on_stage()

    def test_life(self) -> None:
        """A gateway is ready once all of its mappings accept, and says that it ends."""
        self.start()
        waiting = (
            "STATUS=not ready: 80:web: not listening yet; 81:mail: not listening yet"
        )
        self.assertEqual(self.heard(), [[waiting]])
        self.clock.pump([SOON] * 100)
        self.assertEqual(self.heard(), [])
        self.gateway.stage = Stage.SERVING
        self.clock.advance(SOON)
        ready = "STATUS=ready: 2 mappings, 3 connections open"
        self.assertEqual(self.heard(), [["READY=1", ready]])
        self.gateway.open = 4
        self.clock.advance(EVERY)
        self.assertEqual(self.heard(), [[ready.replace("3", "4")]])
        self.enter(Stage.DRAINING)
        draining = "STATUS=draining: 4 connections open"
        self.assertEqual(self.heard(), [["STOPPING=1", draining]])
        self.gateway.open = 1
        self.clock.advance(EVERY)
        self.assertEqual(self.heard(), [["STATUS=draining: 1 connection open"]])
        self.notifier.stopService()
        self.assertEqual((self.heard(), self.socket.is_closed), ([], True))

    def test_not_ready(self) -> None:
        """The status names what keeps a gateway that serves from being ready."""
        self.start()
        self.gateway.mappings = ("80:web", "81:mail", "82:x", "83:y")
        self.gateway.blocked = self.gateway.mappings
        self.enter(Stage.SERVING)
        self.assertEqual(
            self.heard()[-1],
            [
                "READY=1",
                "STATUS=not ready: 80:web: no answer from Consul yet; 81:mail: no"
                " answer from Consul yet, and more",
            ],
        )
        self.notifier.stopService()
        self.assertEqual(self.heard()[0][0], "STOPPING=1")

    def test_watchdog(self) -> None:
        """The watchdog hears of the reactor twice as often as it must."""
        self.start(watchdog=3.0)
        self.enter(Stage.SERVING)
        self.heard()
        self.clock.pump([SOON] + [1.5] * 4)
        self.assertEqual(self.heard(), [["WATCHDOG=1"]] * 5)
        self.notifier.stopService()

    def test_reload(self) -> None:
        """A reload has a beginning by the monotonic clock, and an end."""
        self.start()
        self.notifier.on_reload()
        self.notifier.on_reloaded()
        self.enter(Stage.SERVING)
        self.heard()
        self.notifier.on_reload()
        reloading = ["RELOADING=1", "MONOTONIC_USEC=1000000000", "STATUS=reloading"]
        self.assertEqual(self.heard(), [reloading])
        self.notifier.on_reloaded()
        self.assertEqual(self.heard()[0][0], "READY=1")
        self.notifier.stopService()

    def test_takes_over(self) -> None:
        """A gateway that takes over is silent until it is the main process."""
        self.start(watchdog=3.0, takes_over=True)
        self.clock.pump([SOON] * 100)
        self.assertEqual(self.heard(), [])
        self.enter(Stage.SERVING)
        [[process, ready, status]] = self.heard()
        self.assertEqual((process, ready), (f"MAINPID={os.getpid()}", "READY=1"))
        self.assertTrue(status.startswith("STATUS=ready"))
        self.clock.pump([SOON, 1.5])
        self.assertIn(["WATCHDOG=1"], self.heard())
        self.notifier.stopService()

    def test_does_not_take_over(self) -> None:
        """One that ends before it has taken over leaves the service alone."""
        self.start(takes_over=True)
        self.notifier.stopService()
        self.assertEqual(self.heard(), [])

    def test_replaced(self) -> None:
        """One that is replaced is silent from then on."""
        self.start(watchdog=3.0)
        self.enter(Stage.SERVING)
        self.heard()
        self.enter(Stage.REPLACED)
        self.clock.advance(60)
        self.notifier.on_reload()
        self.notifier.stopService()
        self.notifier.on_stage()
        self.assertEqual((self.heard(), self.socket.is_closed), ([], True))

    def test_a_service_manager_that_does_not_read(self) -> None:
        """What waits is tried again soon, and nothing is added to it meanwhile."""
        self.start(watchdog=30.0)
        self.enter(Stage.SERVING)
        self.heard()
        self.socket.is_clear = False
        self.clock.pump([SOON] * 20)
        self.assertEqual(self.heard(), [])
        self.socket.is_clear = True
        self.clock.advance(SOON)
        self.assertEqual(self.heard(), [["WATCHDOG=1"]])
        self.notifier.stopService()
