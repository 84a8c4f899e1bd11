"""What a relay needs of a byte stream."""

import socket

from lbconsul.net.stream import Stream


def test_a_socket_is_a_stream() -> None:
    """A bare socket is a stream, and nothing stands between the two."""
    ours, peer = socket.socketpair()
    with ours, peer:
        stream: Stream = ours  # mypy checks the signatures
        buffer = bytearray(8)
        peer.sendall(b"question")
        assert (stream.recv_into(buffer), bytes(buffer)) == (8, b"question")
        assert stream.send(memoryview(b"answer")) == 6
        stream.shutdown(socket.SHUT_WR)
        assert peer.recv(100) == b"answer"
        assert peer.recv(100) == b""
        assert stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert stream.fileno() == ours.fileno()
        stream.close()
        assert ours.fileno() == -1
