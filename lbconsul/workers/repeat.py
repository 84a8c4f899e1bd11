"""What is done now and then, for ever."""

from collections.abc import Callable
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

_log = Logger()


def repeat(clock: Any, seconds: float, what: Callable[[], object]) -> LoopingCall:
    """Call `what` every so many seconds, also if it should fail once."""

    def call() -> None:
        try:
            what()
        except Exception:
            _log.failure("a bug in lbconsul; it is tried again")

    loop = LoopingCall(call)
    loop.clock = clock
    loop.start(seconds, now=False)
    return loop
