"""A TCP balancer on `_socket` and epoll without any feature.

usage: python -m bench.bare_loop PORT UPSTREAM_PORT...

It accepts, connects to the upstreams in turn, relays and closes.  It has no health,
load, limits, timeouts, counts or log: it shows what a proxy in Python costs at least.
"""

import sys
from _socket import (
    AF_INET,
    IPPROTO_TCP,
    SHUT_WR,
    SO_REUSEADDR,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_NODELAY,
    socket,
)
from itertools import cycle
from select import EPOLLERR, EPOLLIN, EPOLLOUT, epoll

#: Bytes in one recv(2).
_SIZE = 65536


class Side:
    """One of the two sockets of a connection, and what it was told."""

    __slots__ = ("is_over", "other", "recv", "send", "sock", "unsent")

    other: "Side"

    def __init__(self, sock: socket) -> None:
        self.sock, self.recv, self.send = sock, sock.recv, sock.send
        #: What the kernel did not take; the other side is not read until it has.
        self.unsent = b""
        #: Whether its peer has sent all.
        self.is_over = False


class BareLoop:
    """The listening socket and all connections."""

    def __init__(self, port: int, upstreams: list[int]) -> None:
        self._addresses = cycle([("127.0.0.1", each) for each in upstreams])
        self._listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK)
        self._listening.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        # Accepted sockets inherit this.
        self._listening.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        self._listening.bind(("127.0.0.1", port))
        self._listening.listen(4096)
        self._sides: dict[int, Side] = {}
        #: Sides that are over since this turn, each with the other one.
        self._half_closed: list[tuple[Side, Side]] = []
        self._epoll = epoll()
        self._epoll.register(self._listening.fileno(), EPOLLIN)

    def run(self) -> None:
        """Serve for ever."""
        while True:
            has_clients = False
            for descriptor, events in self._epoll.poll():
                side = self._sides.get(descriptor)
                if side is not None:
                    self._handle(side, events)
                else:
                    has_clients = True
            # Mostly both sides are over in the same turn: then there is no shutdown.
            for side, other in self._half_closed:
                if not other.is_over:
                    self._pass_end_on(side)
            self._half_closed.clear()
            # Last: a new socket may get the number of one closed in this turn.
            if has_clients:
                self._accept()

    def _accept(self) -> None:
        try:
            while True:
                descriptor, _ = self._listening._accept()  # type: ignore[attr-defined]
                client = socket(AF_INET, SOCK_STREAM, 0, descriptor)
                client.setblocking(False)
                upstream = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK)
                upstream.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
                # Until it is connected a send says that it would block.
                upstream.connect_ex(next(self._addresses))
                one, other = Side(client), Side(upstream)
                one.other, other.other = other, one
                for side in (one, other):
                    self._sides[side.sock.fileno()] = side
                    self._epoll.register(side.sock.fileno(), EPOLLIN)
        except BlockingIOError:
            return

    def _handle(self, side: Side, events: int) -> None:
        try:
            if events & EPOLLERR:
                self._close(side)
            elif events & EPOLLOUT:
                side.unsent = side.unsent[side.send(side.unsent) :]
                self._watch(side)
                self._watch(side.other)
            elif events & EPOLLIN:
                self._relay(side)
        except OSError:
            self._close(side)

    def _relay(self, side: Side) -> None:
        data, other = side.recv(_SIZE), side.other
        if data:
            try:
                sent = other.send(data)
            except BlockingIOError:
                sent = 0
            if sent < len(data):
                other.unsent = data[sent:]
                self._watch(side)
                self._watch(other)
            return
        side.is_over = True
        if other.is_over:
            self._close(side)
        else:
            self._half_closed.append((side, other))

    def _pass_end_on(self, side: Side) -> None:
        self._watch(side)
        try:
            side.other.sock.shutdown(SHUT_WR)
        except OSError:
            self._close(side)

    def _watch(self, side: Side) -> None:
        reads = not side.is_over and not side.other.unsent
        events = (EPOLLIN if reads else 0) | (EPOLLOUT if side.unsent else 0)
        self._epoll.modify(side.sock.fileno(), events)

    def _close(self, side: Side) -> None:
        for each in (side, side.other):
            each.is_over = True
            del self._sides[each.sock.fileno()]
            each.sock.close()
        del side.other.other, side.other  # no circle for the garbage collector


def main(port: str, *upstreams: str) -> None:
    """Serve on a port of loopback until the process is ended."""
    BareLoop(int(port), [int(each) for each in upstreams]).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
