"""A periodic call."""

from collections.abc import Callable
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

_log = Logger()


def repeat(clock: Any, seconds: float, what: Callable[[], object]) -> LoopingCall:
    """Call `what` every `seconds`; an exception is logged and does not end it."""

    def call() -> None:
        try:
            what()
        except Exception:
            _log.failure("a bug in lbconsul; it is tried again")

    loop = LoopingCall(call)
    loop.clock = clock
    loop.start(seconds, now=False)
    return loop
