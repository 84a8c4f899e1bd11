"""What all that works on bare sockets needs."""

import contextlib
import socket
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lbconsul.net.sockets import (
    address_text,
    first_own_port,
    queued,
    reset_on_close,
    set_nodelay,
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
