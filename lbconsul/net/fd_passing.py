"""The lane: how listening sockets reach a worker, each with the number it has.

A stream beside the one for words, since descriptors travel with bytes.  The kernel
holds what is sent until the worker takes it: whoever hears of a socket finds it
there.
"""

import array
import socket
import struct
from collections.abc import Mapping

#: So many descriptors go with one message: Linux takes 253 (SCM_MAX_FD).
AT_ONCE = 200


def send_sockets(lane: socket.socket, sockets: Mapping[int, int]) -> None:
    """Send descriptors by their numbers, without waiting for anybody.

    :raises OSError: they are too many that nobody took, or nobody is there.
    """
    pairs = list(sockets.items())
    for begin in range(0, len(pairs), AT_ONCE):
        some = pairs[begin : begin + AT_ONCE]
        numbers = struct.pack(f"!{len(some)}Q", *(number for number, _ in some))
        socket.send_fds(lane, [numbers], [descriptor for _, descriptor in some])


def receive_sockets(lane: socket.socket) -> list[tuple[int, int]]:
    """All that were sent by now, in that order: each number with its descriptor."""
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
    # As `socket.recv_fds`, whose descriptors a program that we start would have.
    room = socket.CMSG_SPACE(AT_ONCE * array.array("i").itemsize)
    flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
    data, ancillary, _, _ = lane.recvmsg(8 * AT_ONCE, room, flags)
    descriptors = array.array("i")
    for _, _, content in ancillary:
        descriptors.frombytes(content)
    return struct.unpack(f"!{len(data) // 8}Q", data), list(descriptors)
