"""Non-blocking connect, and whether a client has left."""

import errno
import socket

from lbconsul.net.sockets import BareSocket, first_own_port

_KIND = socket.SOCK_STREAM | socket.SOCK_NONBLOCK


def connect(address: str, port: int) -> tuple[BareSocket | None, int]:
    """Begin to connect; returns the socket, if one was made, and an errno.

    0 means connected; EINPROGRESS, EALREADY or EINTR that the connect continues.  An
    address that begins with a slash is the path of a UNIX socket.
    """
    if address[0] == "/":
        return _connect_unix(address)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        sock = BareSocket(family, _KIND)
    except OSError as error:
        return None, error.errno or errno.EINVAL
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer = (address, port)
    try:
        code = sock.connect_ex(peer)
        if code == errno.EINPROGRESS:
            # On the same host the handshake is over by now, and a second call costs
            # less than a turn of the reactor.
            code = sock.connect_ex(peer)
        # The ports first: nearly always they differ.
        if (
            not code
            and port >= first_own_port()
            and sock.getsockname()[1] == port
            and _is_own(sock)
        ):
            code = errno.ECONNREFUSED
    except OSError as error:
        # No such scope, as in fe80::1%eth9; or a reset after the accept.
        code = error.errno or errno.EINVAL
    return sock, code


def _connect_unix(path: str) -> tuple[BareSocket | None, int]:
    """Connect to a UNIX socket; the result is immediate.

    EAGAIN says that its queue is full (unix(7)), which counts as a refusal.
    """
    try:
        sock = BareSocket(socket.AF_UNIX, _KIND)
    except OSError as error:
        return None, error.errno or errno.EINVAL
    try:
        return sock, sock.connect_ex(path)
    except OSError as error:  # the path is too long
        return sock, error.errno or errno.EINVAL


def _is_own(sock: BareSocket) -> bool:
    """Whether a socket is connected to itself (RFC 9293, 3.5, simultaneous open).

    If no process listens on a local port in the ephemeral range, the kernel may
    choose that port as the source, and complete the handshake with itself.
    """
    return bool(sock.getsockname() == sock.getpeername())


def has_left(client: BareSocket) -> bool:
    """Whether a client sent a reset, or closed without sending a byte.

    A client that sent bytes and then closed its sending side may still wait for an
    answer, and counts as present.
    """
    if client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        return True  # a reset, which recv hides behind unread bytes
    try:
        return not client.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
