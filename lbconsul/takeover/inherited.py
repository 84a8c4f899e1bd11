"""The sockets inherited from the predecessor, and the notice that ends a takeover."""

import os
import socket
from collections.abc import Iterable
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory as ProtocolFactory
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from lbconsul.takeover.protocol import (
    ACCEPTING,
    MAX_WORD,
    RETIRING,
    ProtocolError,
    read_word,
    write_word,
)
from lbconsul.takeover.rendezvous import is_somebody_at


@define(eq=False)
class InheritedSockets:
    """The sockets of a predecessor that goes on until the new gateway accepts."""

    path: str
    #: Descriptors by listening address; owned by this object until they are dropped.
    sockets: dict[str, int]
    _conversation: socket.socket | None
    #: Addresses where the predecessor listens and this gateway does not.
    unused: list[str] = Factory(list)
    _announcement: "ReadyNotice | None" = None
    #: The predecessor's state, as decoded JSON; not validated.
    state: dict[str, Any] = Factory(dict)

    def drop_sockets(self, used: Iterable[str] = ()) -> None:
        """Close the inherited descriptors; those `used` have been copied."""
        self.unused += sorted(self.sockets.keys() - set(used))
        for each in self.sockets.values():
            os.close(each)
        self.sockets.clear()

    def accepting(self, reactor: Any) -> Deferred[bool]:
        """Report to the predecessor that this gateway accepts.

        Fires with True once the predecessor has read it or is dead, and with False if
        the predecessor timed out before and lives on.  Meanwhile both accept.
        """
        assert self._conversation is not None
        notice = self._announcement = ReadyNotice()
        factory = ProtocolFactory.forProtocol(lambda: notice)
        factory.noisy = False
        with self._conversation as sock:
            self._conversation = None
            sock.setblocking(False)
            reactor.adoptStreamConnection(sock.fileno(), socket.AF_UNIX, factory)
        return notice.read.addCallback(
            lambda was_read: was_read or not is_somebody_at(self.path)
        )

    def close(self) -> None:
        """Close the connection to the predecessor in any state, and drop the
        sockets.
        """
        self.drop_sockets()
        if self._conversation is not None:
            self._conversation.close()
            self._conversation = None
        if self._announcement is not None:
            self._announcement.close()


class ReadyNotice(LineOnlyReceiver):
    """Reports that this gateway accepts; `read` fires with whether the
    predecessor read it.
    """

    delimiter = b"\n"
    MAX_LENGTH = MAX_WORD
    transport: Any

    def __init__(self) -> None:
        self.read: Deferred[bool] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(write_word(ACCEPTING))

    def lineReceived(self, line: bytes) -> None:
        try:
            is_retiring = read_word(line) == RETIRING
        except ProtocolError:
            is_retiring = False
        if is_retiring and not self.read.called:
            self.read.callback(True)
        elif not is_retiring:
            self.close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.read.called:
            self.read.callback(False)

    def close(self) -> None:
        """Close the connection."""
        if self.transport is not None:
            self.transport.loseConnection()
