"""The places: what workers are to serve, and the listening sockets for it."""

import socket
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Protocol

from attrs import Factory, define, evolve

from lbconsul.config.model import Listen, Mapping
from lbconsul.workers.messages import Assignment, Serve


class Socket(Protocol):
    """A listening socket that the master owns, and what it is for now."""

    mapping: Mapping

    def open(self) -> socket.socket:
        """The socket, opened unless it is open."""

    def close(self) -> None:
        """Give it back."""


def share(limit: int, workers: int, number: int) -> int:
    """The part of a limit that worker `number` has; the first ones get the rest."""
    return limit // workers + (number <= limit % workers)


@define(eq=False)
class ListenerSet:
    """The sockets of the mappings that are served, by so many workers."""

    _workers: int
    _connection_log: bool
    #: Each with a number that no other one ever has.
    _sockets: dict[Socket, int] = Factory(dict)
    _by_listen: dict[Listen | None, int] = Factory(dict)
    _numbers: Iterator[int] = Factory(count)
    #: The longest drain timeout there ever was: connections may have it still.
    longest_drain: float = 0.0

    @property
    def mappings(self) -> list[Mapping]:
        """What is served."""
        return [each.mapping for each in self._sockets]

    @property
    def numbers(self) -> set[int]:
        """Of all sockets that there are."""
        return set(self._sockets.values())

    def number(self, mapping: Mapping) -> int | None:
        """The number of a mapping's socket."""
        return self._by_listen.get(mapping.listen)

    def add(self, sock: Socket) -> None:
        """Serve its mapping, too."""
        if sock not in self._sockets:
            number = self._sockets[sock] = next(self._numbers)
            self._by_listen[sock.mapping.listen] = number
        drain = sock.mapping.drain_timeout
        self.longest_drain = max(self.longest_drain, drain)

    def replace(self, sockets: Iterable[Socket], connection_log: bool) -> None:
        """Serve the mappings of just these, as they are now; close the others."""
        self._connection_log = connection_log
        wanted = dict.fromkeys(sockets)
        for gone in [each for each in self._sockets if each not in wanted]:
            del self._sockets[gone]
            self._by_listen.pop(gone.mapping.listen, None)
            gone.close()  # each worker has its own copy
        for each in wanted:
            self.add(each)

    def bind(self) -> None:
        """Open every listening socket; CannotListen if one is not to be had."""
        for each in self._sockets:
            each.open()

    def close(self) -> None:
        """Close every listening socket."""
        for each in self._sockets:
            each.close()

    def of(self, worker: int) -> tuple[Serve, dict[int, int]]:
        """What a worker serves, and the descriptors for it by their numbers.

        A mapping of whose limit it has no share is the others'.
        """
        places: list[Assignment] = []
        others: list[Mapping] = []
        descriptors: dict[int, int] = {}
        for each, number in self._sockets.items():
            mapping = each.mapping
            part = share(mapping.max_connections, self._workers, worker)
            if part or not mapping.max_connections:
                places.append(Assignment(evolve(mapping, max_connections=part), number))
                descriptors[number] = each.open().fileno()
            else:
                others.append(mapping)
        serve = Serve(tuple(places), self._connection_log, tuple(others))
        return serve, descriptors
