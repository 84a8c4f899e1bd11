"""The listening sockets of all served mappings."""

from collections.abc import Collection, Generator, Iterable, Iterator
from collections.abc import Mapping as AbstractMapping

from attrs import Factory, define
from twisted.logger import Logger

from lbconsul.config.listen import UnixListen
from lbconsul.config.model import Mapping
from lbconsul.net.listening_socket import OwnedSocket


@define(eq=False)
class ListeningSockets(Collection[OwnedSocket]):
    """The listening sockets of the served mappings.

    `inherited` are descriptors of sockets that are open already, by name and address.
    """

    _log = Logger()
    _inherited: AbstractMapping[str, int] = Factory(dict)
    _sockets: list[OwnedSocket] = Factory(list)

    def __iter__(self) -> Iterator[OwnedSocket]:
        return iter(self._sockets)

    def __len__(self) -> int:
        return len(self._sockets)

    def __contains__(self, sock: object) -> bool:
        return sock in self._sockets

    def add(self, mapping: Mapping, *, at_once: bool) -> OwnedSocket:
        """Add the socket of a mapping, opened if `at_once`.

        :raises CannotListen: the address cannot be bound; no socket is added.
        """
        sock = OwnedSocket(mapping, self._inherited)
        if at_once:
            sock.open()
        self._sockets.append(sock)
        return sock

    def binding(
        self, mappings: Iterable[Mapping]
    ) -> Generator[None, None, list[OwnedSocket]]:
        """Open sockets for these mappings, one per step; returns them for `replace`.

        :raises CannotListen: an address cannot be bound; all sockets are closed again.
        """
        found = [OwnedSocket(each, self._inherited) for each in mappings]
        try:
            for each in found:
                each.open()
                yield
        except BaseException:
            for each in found:
                each.close()
            raise
        return found

    def replace(
        self, mappings: Iterable[Mapping], added: Iterable[OwnedSocket]
    ) -> list[tuple[Mapping, OwnedSocket]]:
        """Keep the sockets of these mappings only; `added` are those of new ones.

        Returns each mapping with its socket, which still has to be altered.  The
        listeners close the sockets that are dropped.
        """
        known = {each.mapping.listen: each for each in (*self._sockets, *added)}
        wanted = [(each, known[each.listen]) for each in mappings]
        self._sockets = [sock for _, sock in wanted]
        return wanted

    def alter(self, sock: OwnedSocket, mapping: Mapping) -> None:
        """Use a socket for the current form of its mapping."""
        try:
            sock.alter(mapping)
        except OSError as error:
            self._log.warn(
                "{mapping}: the socket's file cannot be set to mode {mode:o}: {error}",
                mapping=str(mapping),
                mode=mapping.unix_mode,
                error=error.strerror or error,
            )

    def bind(self) -> None:
        """Open every listening socket.

        :raises CannotListen: an address cannot be bound.
        """
        for each in self._sockets:
            each.open()

    def bind_files(self) -> None:
        """Open the UNIX sockets only.

        :raises CannotListen: an address cannot be bound.
        """
        for each in self._sockets:
            if isinstance(each.mapping.listen, UnixListen):
                each.open()

    def close(self) -> None:
        """Close all listening sockets."""
        for each in self._sockets:
            each.close()
