"""The mappings that a worker serves, and the sockets that it was sent for them."""

import socket
from collections import deque
from collections.abc import Iterable, Iterator

from attrs import Factory, define

from lbconsul.balance.pool_spec import FailoverSpec
from lbconsul.config.listen import Listen
from lbconsul.config.model import Mapping, Place
from lbconsul.net.fd_passing import receive_sockets
from lbconsul.net.listening_socket import BorrowedSocket
from lbconsul.net.sweeper import TimeSlicer
from lbconsul.proxy.listener_manager import ListenerManager
from lbconsul.proxy.runtime import ProxyRuntime
from lbconsul.proxy.targets import failover_spec
from lbconsul.workers.messages import Amend, Serve


@define(eq=False)
class Assignments:
    """What the last `Serve` command says; `fd_channel` brings the sockets for it."""

    _fd_channel: socket.socket
    #: The rows served, by number: mappings, routes and parts.
    rows: dict[int, Mapping] = Factory(dict)
    #: The numbers by the rows' places.
    _numbers: dict[Place, int] = Factory(dict)
    #: The slots of credits of parts, by address and key.
    _slots: dict[tuple[Listen | None, str], int] = Factory(dict)
    #: The mappings with their routes, by the number of the socket.
    _mappings: dict[int, Mapping] = Factory(dict)
    #: What only other workers serve.
    _others: set[FailoverSpec] = Factory(set)
    #: The listening sockets by number.
    _sockets: dict[int, BorrowedSocket] = Factory(dict)
    #: Sockets received but not used yet: numbers and descriptors.
    _received: deque[tuple[int, int]] = Factory(deque)
    #: The rows that come and go, by the number of the mapping and by route.
    _live: dict[int, dict[str, int]] = Factory(dict)
    #: The steps still to do of the last command, and what runs them in slices.
    _steps: tuple[Iterator[object], TimeSlicer] | None = None

    def number(self, row: Mapping) -> int:
        """The number of a mapping or route that is served."""
        return self._numbers[row.place]

    @property
    def needed(self) -> set[FailoverSpec]:
        """What all workers balance over: this one is sent the instances, too."""
        return self._others.union(map(failover_spec, self.rows.values()))

    def receive(self, command: Serve) -> None:
        """Take the mappings of a command, and the sockets that were sent for it."""
        self._received += receive_sockets(self._fd_channel)
        for _ in range(command.sent):  # further ones belong to later commands
            number, descriptor = self._received.popleft()
            self._sockets[number] = BorrowedSocket(socket.socket(fileno=descriptor))
        self._others = {failover_spec(each) for each in command.others}
        self._mappings = {each.number: each.mapping for each in command.assignments}
        rows = {k: v for each in command.assignments for k, v in each.rows.items()}
        live = [each for each in self._live if each in rows and rows[each].tags.is_on]
        self._live = {each: self._live[each] for each in live}
        for numbers in self._live.values():
            rows |= {each: self.rows[each] for each in numbers.values()}
        self.rows = rows
        self._numbers = {row.place: number for number, row in rows.items()}
        self._slots = {
            (row.listen, row.key): slot
            for each in command.assignments
            if each.slots
            for row, slot in zip(each.mapping.rows, each.slots, strict=True)
            if slot is not None
        }

    def slots(self, rows: Iterable[Mapping]) -> list[int] | None:
        """The slots of credits of these parts of a split; None if one has none."""
        found = [self._slots.get((each.listen, each.key)) for each in rows]
        slots = [each for each in found if each is not None]
        return slots if len(slots) == len(found) else None

    def amend(self, command: Amend) -> None:
        """Note rows that come and go."""
        changes, numbers = command.changes, self._live.setdefault(command.number, {})
        gone = set(changes.drop)
        if changes.present is not None:
            gone |= numbers.keys() - changes.present.rows
        for route in gone & numbers.keys():
            row = self.rows.pop(numbers.pop(route))
            del self._numbers[row.place]
        numbers.update(command.numbers)
        for row in changes.put:
            number = self._numbers[row.place] = numbers[row.route]
            self.rows[number] = row

    def serve(
        self, runtime: ProxyRuntime, listeners: ListenerManager, *, renew: bool
    ) -> None:
        """Serve the present mappings and no others, in slices.

        With `renew` unchanged mappings are served by new proxies, too.
        """
        steps = self._replacing(listeners, renew=renew)
        self._steps = steps, runtime.sweeper
        runtime.sweeper.begin(steps)

    def finish(self) -> None:
        """Do at once what the last command has left to do."""
        if self._steps is not None:
            steps, sweeper = self._steps
            sweeper.drop(steps)
            for _ in steps:
                pass

    def close(self) -> None:
        """Take no more sockets."""
        self._fd_channel.close()

    def _replacing(
        self, listeners: ListenerManager, *, renew: bool
    ) -> Iterator[object]:
        wanted = self._mappings
        yield from listeners.replacing(
            [(mapping, self._sockets[each]) for each, mapping in wanted.items()],
            renew=renew,
        )
        for number in self._sockets.keys() - wanted.keys():
            self._sockets.pop(number).close()
        self._steps = None
