"""Verifies passwords in threads: a hash of bcrypt takes 50 ms and more, on purpose."""

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, field, frozen
from twisted.logger import Logger

from lbconsul.net.cidr import read_address

if TYPE_CHECKING:  # most gateways need no threads for it
    from concurrent.futures import Future, ThreadPoolExecutor

#: The most threads; with one core, one.
_THREADS = 2

#: Threads give way to the reactor, where cores are scarce.
_NICER = 10

#: The most passwords that wait, of all clients and of one: with the usual cost the
#: last one waits for some seconds.
MOST_WAITING, MOST_OF_CLIENT = 256, 8

#: bcrypt looks at so many bytes of a password.
_LONGEST = 72


class TooManyChecks(Exception):
    """So many passwords wait already that one more is refused: the text says whose."""


@frozen(eq=False)
class _Check:
    hashed: bytes = field(repr=False)
    password: bytes = field(repr=False)
    on_result: Callable[[bool], None]


@define(eq=False)
class PasswordChecks:
    """Verifies passwords for one process, a few at a time.

    Clients take turns: one that tries many passwords delays no other by more than one.
    A client is one IPv4 address or one IPv6 /64.
    """

    _log = Logger()
    _reactor: Any
    #: What waits, by client; the first one's turn is next.
    _waiting: dict[object, deque[_Check]] = Factory(dict)
    _count: int = 0
    _running: int = 0
    _threads: int = Factory(lambda: min(_THREADS, os.cpu_count() or 1))
    _pool: "ThreadPoolExecutor | None" = None

    def verify(
        self,
        client: str,
        hashed: bytes,
        password: bytes,
        on_result: Callable[[bool], None],
    ) -> None:
        """Call ``on_result`` with whether it is the password of that hash.

        `client` is an address.

        :raises TooManyChecks: too many wait, of this client or of all.
        """
        address = read_address(client)
        key = client if address is None else address.client
        own = self._waiting.get(key)
        if own is not None and len(own) >= MOST_OF_CLIENT:
            raise TooManyChecks(f"{MOST_OF_CLIENT} passwords of this client wait")
        if self._count >= MOST_WAITING:
            raise TooManyChecks(f"{MOST_WAITING} passwords wait to be verified")
        if own is None:
            own = self._waiting[key] = deque()
        own.append(_Check(hashed, password[:_LONGEST], on_result))
        self._count += 1
        self._begin()

    def stop(self) -> None:
        """Verify no more; what waits gets no result."""
        self._waiting.clear()
        self._count = 0
        if self._pool is not None:
            self._pool.shutdown(wait=False)
            self._pool = None

    def _begin(self) -> None:
        """Begin with those whose turn it is, as far as threads are free."""
        while self._waiting and self._running < self._threads:
            key = next(iter(self._waiting))
            own = self._waiting.pop(key)
            check = own.popleft()
            if own:
                self._waiting[key] = own  # behind the other clients
            self._count -= 1
            self._running += 1
            if self._pool is None:
                self._pool = self._new_pool()
            future = self._pool.submit(_verify, check.hashed, check.password)
            over = partial(self._reactor.callFromThread, self._over, check)
            future.add_done_callback(over)

    def _new_pool(self) -> "ThreadPoolExecutor":
        # Imported here: most gateways do without.
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(self._threads, "password", _be_nicer)

    def _over(self, check: _Check, done: "Future[bool]") -> None:
        self._running -= 1
        self._begin()
        try:
            is_right = done.result()
        except Exception:
            # A bug, or a library that cannot be loaded: no user gets in.
            self._log.failure("a bug in lbconsul: a password could not be verified")
            is_right = False
        check.on_result(is_right)


def _be_nicer() -> None:
    # In Linux each thread has a nice value of its own (sched(7)).
    with suppress(OSError):
        os.nice(_NICER)


def _verify(hashed: bytes, password: bytes) -> bool:
    # Imported here: few gateways need it.
    import bcrypt

    return bcrypt.checkpw(password, hashed)
