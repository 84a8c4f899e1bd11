"""What all that works on bare sockets needs."""

import contextlib
import select
import socket
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lbconsul.net.sockets import (
    address_text,
    await_bytes,
    first_own_port,
    has_ended,
    queued,
    reset_on_close,
    set_nodelay,
    unread,
)
from tests.support.loopback import listening, tcp_pair, was_reset


class SocketTests(SynchronousTestCase):
    """Small things."""

    def test_reset_on_close(self) -> None:
        """The peer sees a reset when the socket is closed."""
        ours, peer = tcp_pair()
        with peer:
            reset_on_close(ours)
            ours.close()
            self.assertTrue(was_reset(peer))

    def test_close_of_a_kind_without_reset(self) -> None:
        """A UNIX socket is just closed."""
        ours, peer = socket.socketpair()
        with peer:
            reset_on_close(ours)
            ours.close()
            self.assertEqual(peer.recv(1), b"")

    def test_nodelay(self) -> None:
        """TCP sockets of either family send small pieces at once; others can only."""
        for family in (socket.AF_INET, socket.AF_INET6):
            with socket.socket(family) as sock:
                set_nodelay(sock)
                on = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                self.assertTrue(on)
        with socket.socket(socket.AF_UNIX) as sock:
            set_nodelay(sock)

    def test_unread(self) -> None:
        """The number of bytes that have arrived and were not read."""
        for ours, peer in (tcp_pair(), socket.socketpair()):
            with ours, peer:
                self.assertEqual(unread(ours), 0)
                peer.sendall(b"abc")
                self.assertEqual(unread(ours), 3)
                peer.close()
                self.assertEqual(unread(ours), 3)

    def test_has_ended(self) -> None:
        """The peer's end is seen behind bytes that were not read."""
        for ours, peer in (tcp_pair(), socket.socketpair()):
            with ours, peer:
                peer.sendall(b"abc")
                self.assertFalse(has_ended(ours))
                peer.shutdown(socket.SHUT_WR)
                self.assertTrue(has_ended(ours))

    def test_await_bytes(self) -> None:
        """A TCP socket is readable when enough has come, or the peer has ended."""
        ours, peer = tcp_pair()
        with ours, peer:
            await_bytes(ours, 3)
            peer.sendall(b"ab")
            self.assertEqual(select.select([ours], [], [], 0)[0], [])
            peer.sendall(b"c")
            self.assertEqual(select.select([ours], [], [], 0)[0], [ours])
            await_bytes(ours, 4)
            peer.shutdown(socket.SHUT_WR)
            self.assertEqual(select.select([ours], [], [], 0)[0], [ours])

    def test_queued(self) -> None:
        """
        The number of sent bytes that have not arrived, if the socket is connected.
        """
        ours, peer = tcp_pair()
        with ours, peer:
            self.assertEqual(queued(ours), 0)
            ours.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while ours.send(bytes(1 << 20)):
                    pass
            self.assertGreater(queued(ours), 0)
        with listening() as server:
            self.assertEqual(queued(server), 0)

    def test_first_own_port(self) -> None:
        """
        The kernel's range of local ports, or Linux's default where that cannot be read.
        """
        self.addCleanup(first_own_port.cache_clear)
        first_own_port.cache_clear()
        self.assertGreater(first_own_port(), 0)
        first_own_port.cache_clear()

        def refuse(path: Path) -> str:
            raise FileNotFoundError(path)

        self.patch(Path, "read_text", refuse)
        self.assertEqual(first_own_port(), 32768)

    def test_address_text(self) -> None:
        """Addresses read as people write them."""
        self.assertEqual(address_text(("127.0.0.1", 80)), "127.0.0.1:80")
        self.assertEqual(address_text(("::1", 80, 0, 0)), "[::1]:80")
        self.assertEqual(address_text(""), "unix")
        self.assertEqual(address_text(b"\0abstract"), "unix")
