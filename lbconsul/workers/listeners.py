"""The mappings that workers serve, and their listening sockets."""

from collections.abc import Iterable, Iterator
from itertools import count

from attrs import Factory, define, evolve, field

from lbconsul.config.listen import Listen
from lbconsul.config.model import Mapping, rows
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.proxy.live_routes import RowChanges
from lbconsul.workers.live_rows import LiveRows
from lbconsul.workers.messages import Amend, Assignment, Serve
from lbconsul.workers.shared_credits import CreditSlots


def share(limit: int, workers: int, number: int) -> int:
    """Worker `number`'s share of a limit; the first workers get the remainder."""
    return limit // workers + (number <= limit % workers)


@define(eq=False)
class ListenerSet:
    """The sockets of the served mappings, shared by `workers` workers."""

    _workers: int
    _connection_log: bool
    #: Assigns slots of credits to the parts of splits; None: they share none.
    _slots: CreditSlots | None = None
    #: The keys of the gateway's own cookies.
    cookie_keys: tuple[bytes, ...] = field(default=(), kw_only=True, repr=False)
    #: The numbers of each socket's rows, by their keys.  That of the mapping, the
    #: first, is the socket's; no number is ever reused.
    _sockets: dict[OwnedSocket, dict[str, int]] = Factory(dict)
    _by_listen: dict[Listen | None, OwnedSocket] = Factory(dict)
    _numbers: Iterator[int] = Factory(count)
    #: The rows that come and go, of mappings that have such.
    _live: dict[OwnedSocket, LiveRows] = Factory(dict)
    #: The longest drain timeout ever served, in seconds: old connections may still have
    #: it.
    longest_drain: float = 0.0

    @property
    def mappings(self) -> list[Mapping]:
        """The rows served: mappings, each followed by its routes."""
        found = [*rows(each.mapping for each in self._sockets)]
        for live in self._live.values():
            found += live.rows.values()
        return found

    @property
    def numbers(self) -> set[int]:
        """The numbers of all rows."""
        return {each for numbers in self._sockets.values() for each in numbers.values()}

    def number(self, row: Mapping) -> int | None:
        """The number of a row."""
        sock = self._by_listen.get(row.listen)
        return None if sock is None else self._sockets[sock].get(row.key)

    def add(self, sock: OwnedSocket) -> None:
        """Serve the socket's mapping, in its current form, beside the others."""
        self._add(sock)
        self._assign_slots()

    def _add(self, sock: OwnedSocket) -> None:
        before, numbers = self._sockets.get(sock, {}), dict[str, int]()
        for row in sock.mapping.rows:
            known = before.get(row.key)
            numbers[row.key] = next(self._numbers) if known is None else known
            self.longest_drain = max(self.longest_drain, row.drain.timeout)
        if sock.mapping.tags.is_on:
            live = self._live.setdefault(sock, LiveRows())
            numbers |= {route: before[route] for route in live.rows}
        else:
            self._live.pop(sock, None)
        self._sockets[sock] = numbers
        self._by_listen[sock.mapping.listen] = sock

    def _assign_slots(self) -> None:
        if self._slots is not None:
            self._slots.keep(
                (each.listen, each.key) for each in self.mappings if each.part
            )

    def _slots_of(self, mapping: Mapping) -> tuple[int | None, ...]:
        """The slots of a mapping's rows; empty if none is a part of a split."""
        rows, slots = mapping.rows, self._slots
        if slots is None or not any(each.part for each in rows):
            return ()
        return tuple(slots.find(each.listen, each.key) for each in rows)

    def replace(self, sockets: Iterable[OwnedSocket], connection_log: bool) -> None:
        """Serve the mappings of these sockets in their current form; close all other
        sockets.
        """
        self._connection_log = connection_log
        wanted = dict.fromkeys(sockets)
        for gone in [each for each in self._sockets if each not in wanted]:
            del self._sockets[gone]
            self._live.pop(gone, None)
            self._by_listen.pop(gone.mapping.listen, None)
            gone.close()  # each worker has its own copy
        for each in wanted:
            self._add(each)
        self._assign_slots()

    def amend(self, changes: RowChanges) -> Amend | None:
        """Have rows of a mapping come and go; the command for workers.

        None: the mapping is not served.
        """
        sock = self._by_listen.get(changes.listen)
        live = None if sock is None else self._live.get(sock)
        if sock is None or live is None:
            return None
        numbers = self._sockets[sock]
        for route in live.apply(changes):
            numbers.pop(route, None)
        for row in changes.put:
            if row.route not in numbers:
                numbers[row.route] = next(self._numbers)
            self.longest_drain = max(self.longest_drain, row.drain.timeout)
        put = {row.route: numbers[row.route] for row in changes.put}
        return Amend(numbers[""], changes, put)

    def amends(self) -> Iterator[Amend]:
        """All rows that come and go, as commands for a worker that has none."""
        for sock, live in tuple(self._live.items()):
            numbers = self._sockets.get(sock)
            if numbers is not None:
                yield from live.parts(sock.mapping.listen, numbers)

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
        for each, numbers in self._sockets.items():
            mapping, limits = each.mapping, each.mapping.limits
            part = share(limits.connections, self._workers, worker)
            if part or not limits.connections:
                theirs = evolve(mapping, limits=evolve(limits, connections=part))
                number, *routes = (numbers[each.key] for each in mapping.rows)
                assignments.append(
                    Assignment(theirs, number, tuple(routes), self._slots_of(mapping))
                )
                descriptors[number] = each.open().fileno()
            else:
                others += mapping.rows
        serve = Serve(
            tuple(assignments),
            self._connection_log,
            tuple(others),
            cookie_keys=self.cookie_keys,
        )
        return serve, descriptors
