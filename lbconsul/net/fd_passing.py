"""Passes listening sockets to a worker, each with its number (SCM_RIGHTS).

They have a UNIX stream of their own beside the message channel, since descriptors
travel with bytes.  The kernel holds them until the worker receives: a worker that
reads a socket's number in a message finds the socket there.
"""

import array
import socket
import struct
from collections.abc import Mapping

#: Descriptors in one message; Linux allows 253 (SCM_MAX_FD).
AT_ONCE = 200


def send_sockets(lane: socket.socket, sockets: Mapping[int, int]) -> None:
    """Send descriptors by their numbers, without blocking.

    :raises OSError: the receiver has taken too few so far, or is gone.
    """
    pairs = list(sockets.items())
    for begin in range(0, len(pairs), AT_ONCE):
        some = pairs[begin : begin + AT_ONCE]
        numbers = struct.pack(f"!{len(some)}Q", *(number for number, _ in some))
        socket.send_fds(lane, [numbers], [descriptor for _, descriptor in some])


def receive_sockets(lane: socket.socket) -> list[tuple[int, int]]:
    """Receive all that were sent so far, in order: (number, descriptor) pairs."""
    found: list[tuple[int, int]] = []
    while True:
        try:
            numbers, descriptors = _receive(lane)
        except BlockingIOError:
            return found
        if not numbers:
            return found
        found += zip(numbers, descriptors, strict=True)


def _receive(lane: socket.socket) -> tuple[tuple[int, ...], list[int]]:
    # Unlike `socket.recv_fds` this sets close-on-exec: child programs must not inherit.
    room = socket.CMSG_SPACE(AT_ONCE * array.array("i").itemsize)
    flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
    data, ancillary, _, _ = lane.recvmsg(8 * AT_ONCE, room, flags)
    descriptors = array.array("i")
    for _, _, content in ancillary:
        descriptors.frombytes(content)
    return struct.unpack(f"!{len(data) // 8}Q", data), list(descriptors)
