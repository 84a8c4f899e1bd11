"""Passes listening sockets to another process (SCM_RIGHTS).

Descriptors travel with bytes.  To a worker each goes with its number, on a UNIX stream
of their own beside the message channel.  The kernel holds them until the worker
receives: a worker that reads a socket's number in a message finds the socket there.
"""

import array
import errno
import os
import socket
import struct
from collections.abc import Mapping

#: The most descriptors that Linux passes with one message (SCM_MAX_FD).
_MOST = 253

#: Descriptors in one message to a worker.
AT_ONCE = 200


def receive_with_descriptors(sock: socket.socket, most: int) -> tuple[bytes, list[int]]:
    """Receive up to `most` bytes, and the descriptors that come with them.

    Child processes do not inherit these.

    :raises OSError: nothing can be received, or this process has too few descriptors
        for those that come; then it keeps none of them.
    """
    # Unlike `socket.recv_fds` this sets close-on-exec as they arrive.
    room = socket.CMSG_SPACE(_MOST * array.array("i").itemsize)
    at_once = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
    data, extra, flags, _ = sock.recvmsg(most, room, at_once)
    descriptors = array.array("i")
    for level, kind, content in extra:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            whole = len(content) - len(content) % descriptors.itemsize
            descriptors.frombytes(content[:whole])
    for each in descriptors:
        os.set_inheritable(each, False)
    if flags & socket.MSG_CTRUNC:
        for each in descriptors:
            os.close(each)
        raise OSError(
            errno.EMFILE,
            "its sockets exceed this process's limit of descriptors (ulimit -n)",
        )
    return data, list(descriptors)


def send_sockets(sock: socket.socket, sockets: Mapping[int, int]) -> None:
    """Send descriptors by their numbers, without blocking.

    :raises OSError: the receiver has taken too few so far, or is gone.
    """
    pairs = list(sockets.items())
    for begin in range(0, len(pairs), AT_ONCE):
        some = pairs[begin : begin + AT_ONCE]
        numbers = struct.pack(f"!{len(some)}Q", *(number for number, _ in some))
        socket.send_fds(sock, [numbers], [descriptor for _, descriptor in some])


def receive_sockets(sock: socket.socket) -> list[tuple[int, int]]:
    """Receive all that were sent so far, in order: (number, descriptor) pairs."""
    found: list[tuple[int, int]] = []
    while True:
        try:
            numbers, descriptors = _receive(sock)
        except BlockingIOError:
            return found
        if not numbers:
            return found
        found += zip(numbers, descriptors, strict=True)


def _receive(sock: socket.socket) -> tuple[tuple[int, ...], list[int]]:
    data, descriptors = receive_with_descriptors(sock, 8 * AT_ONCE)
    return struct.unpack(f"!{len(data) // 8}Q", data), descriptors
