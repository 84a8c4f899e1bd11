"""Listens for the TCP routes among tags: opens their ports, and closes them again."""

from collections.abc import Callable, Iterable
from typing import Any

from attrs import Factory, define
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from lbconsul.balance.events import EventKind, RouteEvent
from lbconsul.config.listen import Listen
from lbconsul.config.model import Mapping
from lbconsul.errors import CannotListen
from lbconsul.gateway.interfaces import DataPlane, EventObserver
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.steps import finish

#: After how many seconds a port that could not be bound is tried again.
RETRY = 5.0


@define(eq=False)
class TagListeners:
    """The mappings of ports that tags ask for, beside those of the configuration."""

    _log = Logger()
    _reactor: Any
    _data_plane: DataPlane
    _observer: EventObserver
    #: Called after addresses were added or removed.
    _on_listeners: Callable[[], object]
    #: Whether connections are logged at present; None: nothing is opened or closed now.
    _connection_log: Callable[[], bool | None]
    _wanted: dict[Listen | None, Mapping] = Factory(dict)
    #: Addresses that tags have opened.
    _ours: set[Listen | None] = Factory(set)
    #: Why an address is not listened on.
    problems: dict[Mapping, str] = Factory(dict)
    _retry: IDelayedCall | None = None

    @property
    def mappings(self) -> list[Mapping]:
        """What is served at present for the sake of tags."""
        served = (each.mapping for each in self._data_plane.sockets)
        return [each for each in served if each.listen in self._ours]

    def use(self, wanted: Iterable[Mapping]) -> None:
        """Listen for these, and no others; what cannot be bound is tried again."""
        self._wanted = {each.listen: each for each in wanted}
        self._follow()

    def stop(self) -> None:
        """Try no more."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _follow(self) -> None:
        self.stop()
        is_logged = self._connection_log()
        if is_logged is None:
            return
        sockets = self._data_plane.sockets
        present = {each.mapping.listen: each.mapping for each in sockets}
        others = [each for each in present.values() if each.listen not in self._ours]
        before = [each for each in present.values() if each.listen in self._ours]
        taken = {each.listen: each for each in others}
        added, served, failed = (
            list[OwnedSocket](),
            list[Mapping](),
            dict[Mapping, str](),
        )
        for listen, mapping in self._wanted.items():
            try:
                if listen in taken:
                    raise CannotListen(f"{listen} is that of {taken[listen]}")
                if listen not in present:
                    added += finish(sockets.binding([mapping]))
            except CannotListen as error:
                failed[mapping] = str(error)
            else:
                served.append(mapping)
        self._tell(failed)
        if served != before:
            self._ours = {each.listen for each in served}
            steps = self._data_plane.replacing([*others, *served], added, is_logged)
            finish(steps)
            self._on_listeners()
        if failed:
            self._retry = self._reactor.callLater(RETRY, self._again)

    def _again(self) -> None:
        self._retry = None
        self._follow()

    def _tell(self, failed: dict[Mapping, str]) -> None:
        for mapping, why in failed.items():
            if self.problems.get(mapping) != why:
                event = RouteEvent(
                    kind=EventKind.BAD_TAG, mapping=str(mapping), reason=why
                )
                self._observer.on_event(event)
                self._log.warn(
                    "{mapping}: not listening: {why}; it is tried again",
                    mapping=str(mapping),
                    why=why,
                )
        self.problems = failed
