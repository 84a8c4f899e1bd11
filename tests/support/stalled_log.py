"""A gateway whose log goes into a pipe that may be left unread."""

import os
import threading
from typing import Any

from tests.support.gateway import Gateway
from tests.support.waiting import PATIENCE


class PipedGateway(Gateway):
    """Like others, until `stall`: from then on its output is not read."""

    def __init__(self, *arguments: Any, **said: Any) -> None:
        super().__init__(*arguments, **said)
        self._flows = threading.Event()
        self._flows.set()
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Run it, which does not wait for it."""
        read, write = os.pipe()
        with open(write, "wb") as output:
            self._start(output)
        self._log_path.touch()
        self._reader = threading.Thread(target=self._copy, args=(read,), daemon=True)
        self._reader.start()

    def stall(self) -> None:
        """Read its output no more, but for what is being read just now."""
        self._flows.clear()

    def resume(self) -> None:
        """Read it again."""
        self._flows.set()

    def status(self) -> int:
        """Wait until it has ended, however it does; its status."""
        status = super().status()
        if self._flows.is_set() and self._reader is not None:
            self._reader.join(PATIENCE)
        return status

    def kill(self) -> None:
        """End it as a crash would, if it runs, and read the rest."""
        super().kill()
        self._flows.set()

    def _copy(self, read: int) -> None:
        with open(read, "rb", buffering=0) as pipe, self._log_path.open("ab", 0) as log:
            while data := pipe.read(1 << 16):
                log.write(data)
                self._flows.wait()
