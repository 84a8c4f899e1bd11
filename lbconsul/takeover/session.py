"""The running gateway's side of one takeover."""

import os
import socket
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from lbconsul.takeover.protocol import (
    ACCEPTING,
    MAX_WORD,
    RETIRING,
    ProtocolError,
    read_request,
    read_word,
    write_offer,
    write_refusal,
    write_word,
)

#: How long a client may take to send its request, in seconds: a gateway sends it at
#: once, and other clients may be waiting.
ASK_WITHIN = 5.0

#: How long the new gateway may take until it accepts, in seconds.
ACCEPT_WITHIN = 60.0

#: How long the new gateway may then take to listen at the path, in seconds.
LEAVE_WITHIN = 5.0


class State(Enum):
    """The state of a takeover session."""

    WAITS = "other sessions are first"
    BEGUN = "the client has sent nothing yet"
    OFFERED = "the client has the sockets, or soon will"
    GIVEN = "the client accepts, and knows that this gateway shuts down"
    OVER = "the session has ended, or is about to"


class TakeoverSession(LineOnlyReceiver):
    """One takeover session, which begins once it is its turn.

    `offer` gives the listening sockets by address, `tell` this gateway's state for the
    successor; `over` is called once, at the end, with whether the client took over.
    """

    _log = Logger()
    delimiter = b"\n"
    MAX_LENGTH = MAX_WORD
    transport: Any

    def __init__(
        self,
        reactor: Any,
        process: int,
        offer: Callable[[], dict[str, socket.socket]],
        over: Callable[["TakeoverSession", bool], None],
        tell: Callable[[], Mapping[str, object]] = dict,
    ) -> None:
        self._reactor = reactor
        self._process = process
        self._offer = offer
        self._over = over
        self._tell = tell
        self._limit: IDelayedCall | None = None
        self._copies: list[int] = []
        self.state = State.WAITS

    def connectionMade(self) -> None:
        self.transport.pauseProducing()

    def begin(self) -> None:
        """Start reading: it is this session's turn."""
        self.state = State.BEGUN
        self._allow(ASK_WITHIN)
        self.transport.resumeProducing()

    def refuse(self, why: str) -> None:
        """Send a refusal and close."""
        state = self.state
        self._log.warn(
            "process {process} cannot take over: {why}", process=self._process, why=why
        )
        if state is State.OFFERED:  # earlier data may still be unread
            self.abort()
        else:
            self.transport.write(write_refusal(why))
            self.transport.loseConnection()
        self._end()

    def abort(self) -> None:
        """Abort the connection; `over` is called a moment later."""
        self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        if self.state is not State.OVER:
            super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        try:
            self._said(line)
        except ProtocolError as error:
            self.refuse(str(error))
        except OSError as error:
            self.refuse(f"the sockets cannot be copied: {error.strerror}")

    def lineLengthExceeded(self, line: bytes) -> None:
        self.refuse("its line is too long")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end()
        for each in self._copies:
            os.close(each)
        self._copies.clear()

    def _said(self, line: bytes) -> None:
        if self.state is State.BEGUN:
            read_request(line)
            self._hand_over()
            return
        word = read_word(line)
        if self.state is State.OFFERED and word == ACCEPTING:
            self.state = State.GIVEN
            self._allow(LEAVE_WITHIN)
            self.transport.write(write_word(RETIRING))
        else:
            raise ProtocolError(f"{word!r} is out of turn")

    def _hand_over(self) -> None:
        sockets = self._offer()
        line = write_offer(sockets, self._tell())
        # Copies: the originals may be closed before these are sent, and these live
        # until the transport is gone.
        for each in sockets.values():
            self._copies.append(os.dup(each.fileno()))
        self.state = State.OFFERED
        self._allow(ACCEPT_WITHIN)
        self._log.info(
            "process {process} takes over: {count} sockets handed to it",
            process=self._process,
            count=len(sockets),
        )
        # Each descriptor goes along with one of the bytes written next.
        for copy in self._copies:
            self.transport.sendFileDescriptor(copy)
        self.transport.write(line)

    def _allow(self, seconds: float) -> None:
        """Restart the session's time limit."""
        self._forbid()
        self._limit = self._reactor.callLater(seconds, self._late)

    def _forbid(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _late(self) -> None:
        self._limit = None
        self._log.warn(
            "process {process} timed out: its takeover ends", process=self._process
        )
        self.abort()
        self._end()

    def _end(self) -> None:
        """Finish once; the transport closes by itself."""
        if self.state is State.OVER:
            return
        state, self.state = self.state, State.OVER
        self._forbid()
        if state is State.OFFERED:
            self._log.warn(
                "process {process} does not take over after all: this gateway goes on",
                process=self._process,
            )
        self._over(self, state is State.GIVEN)
