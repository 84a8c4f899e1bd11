"""The mappings that workers serve, and their listening sockets."""

from collections.abc import Iterable, Iterator
from itertools import count

from attrs import Factory, define, evolve

from lbconsul.config.model import Listen, Mapping
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.workers.messages import Assignment, Serve


def share(limit: int, workers: int, number: int) -> int:
    """Worker `number`'s share of a limit; the first workers get the remainder."""
    return limit // workers + (number <= limit % workers)


@define(eq=False)
class ListenerSet:
    """The sockets of the served mappings, shared by `workers` workers."""

    _workers: int
    _connection_log: bool
    #: The number of each socket; numbers are never reused.
    _sockets: dict[OwnedSocket, int] = Factory(dict)
    _by_listen: dict[Listen | None, int] = Factory(dict)
    _numbers: Iterator[int] = Factory(count)
    #: The longest drain timeout ever served, in seconds: old connections may still have
    #: it.
    longest_drain: float = 0.0

    @property
    def mappings(self) -> list[Mapping]:
        """The served mappings."""
        return [each.mapping for each in self._sockets]

    @property
    def numbers(self) -> set[int]:
        """The numbers of all sockets."""
        return set(self._sockets.values())

    def number(self, mapping: Mapping) -> int | None:
        """The number of a mapping's socket."""
        return self._by_listen.get(mapping.listen)

    def add(self, sock: OwnedSocket) -> None:
        """Serve the socket's mapping in addition to the others."""
        if sock not in self._sockets:
            number = self._sockets[sock] = next(self._numbers)
            self._by_listen[sock.mapping.listen] = number
        drain = sock.mapping.drain.timeout
        self.longest_drain = max(self.longest_drain, drain)

    def replace(self, sockets: Iterable[OwnedSocket], connection_log: bool) -> None:
        """Serve the mappings of these sockets in their current form; close all other
        sockets.
        """
        self._connection_log = connection_log
        wanted = dict.fromkeys(sockets)
        for gone in [each for each in self._sockets if each not in wanted]:
            del self._sockets[gone]
            self._by_listen.pop(gone.mapping.listen, None)
            gone.close()  # each worker has its own copy
        for each in wanted:
            self.add(each)

    def bind(self) -> None:
        """Open every listening socket; CannotListen if one cannot be opened."""
        for each in self._sockets:
            each.open()

    def close(self) -> None:
        """Close every listening socket."""
        for each in self._sockets:
            each.close()

    def of(self, worker: int) -> tuple[Serve, dict[int, int]]:
        """A worker's `Serve` message, and its listening descriptors by number.

        A mapping with a connection limit too small for this worker to get a share is
        left to the other workers.
        """
        assignments: list[Assignment] = []
        others: list[Mapping] = []
        descriptors: dict[int, int] = {}
        for each, number in self._sockets.items():
            mapping, limits = each.mapping, each.mapping.limits
            part = share(limits.connections, self._workers, worker)
            if part or not limits.connections:
                theirs = evolve(mapping, limits=evolve(limits, connections=part))
                assignments.append(Assignment(theirs, number))
                descriptors[number] = each.open().fileno()
            else:
                others.append(mapping)
        serve = Serve(tuple(assignments), self._connection_log, tuple(others))
        return serve, descriptors
