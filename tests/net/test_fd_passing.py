"""How listening sockets reach a worker."""

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lbconsul.net.fd_passing import AT_ONCE, receive_sockets, send_sockets
from tests.support.descriptors import descriptors


@pytest.fixture
def channel() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


def test_sockets(channel: tuple[socket.socket, socket.socket]) -> None:
    """Each arrives with its number, however many, in the order in which they came."""
    ours, theirs = channel
    count = 2 * AT_ONCE + 1
    with ExitStack() as held:
        server = held.enter_context(socket.create_server(("127.0.0.1", 0)))
        send_sockets(ours, {})
        send_sockets(ours, {7: server.fileno()})
        send_sockets(ours, {100 + each: server.fileno() for each in range(count)})
        found = dict(receive_sockets(theirs))
        for each in found.values():
            held.callback(os.close, each)
        assert list(found) == [7, *range(100, 100 + count)]
        for each in found.values():
            assert not os.get_inheritable(each)
            with socket.socket(fileno=os.dup(each)) as copy:
                assert copy.getsockname() == server.getsockname()
    assert receive_sockets(theirs) == []


def test_too_few_descriptors(channel: tuple[socket.socket, socket.socket]) -> None:
    """If the process has too few descriptors for them, it keeps none of them."""
    ours, theirs = channel
    send_sockets(ours, dict.fromkeys(range(40), ours.fileno()))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as held:
        highest = max(map(int, os.listdir("/dev/fd")))
        while (filler := os.dup(0)) < highest:  # no gap is free below the limit
            held.callback(os.close, filler)
        os.close(filler)
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (filler + 20, hard))
        before = descriptors()
        with pytest.raises(OSError, match="limit of descriptors"):
            receive_sockets(theirs)
        assert descriptors() <= before


def test_nobody_there(channel: tuple[socket.socket, socket.socket]) -> None:
    """When the other end is closed there is nothing to receive, and sending fails."""
    ours, theirs = channel
    ours.close()
    assert receive_sockets(theirs) == []
    with pytest.raises(OSError):
        send_sockets(theirs, {1: theirs.fileno()})


def test_nobody_takes_them(channel: tuple[socket.socket, socket.socket]) -> None:
    """Sending does not wait for the receiver."""
    ours, _ = channel
    with pytest.raises(OSError):
        for number in range(10_000):
            send_sockets(ours, {number: ours.fileno()})
