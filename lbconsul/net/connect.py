"""Connect to an upstream without blocking, and see whether a client is still there."""

import errno
import socket

from lbconsul.net.sockets import first_own_port

_KIND = socket.SOCK_STREAM | socket.SOCK_NONBLOCK


def connect(address: str, port: int) -> tuple[socket.socket | None, int]:
    """Begin to connect: the socket, if there is one, and the errno, 0 once it is done.

    The errno of one that is on its way is EINPROGRESS or the like.  An address that
    begins with a slash is the path of a UNIX socket.
    """
    if address[0] == "/":
        return _connect_unix(address)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        sock = socket.socket(family, _KIND)
    except OSError as error:
        return None, error.errno or errno.EINVAL
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer = (address, port)
    try:
        code = sock.connect_ex(peer)
        if code == errno.EINPROGRESS:
            # On the same machine the handshake is over by now, and to ask
            # again costs less than to have the reactor tell.
            code = sock.connect_ex(peer)
        if not code and port >= first_own_port() and _is_own(sock):
            code = errno.ECONNREFUSED
    except OSError as error:
        # No such scope, as in fe80::1%eth9; or reset since it was accepted.
        code = error.errno or errno.EINVAL
    return sock, code


def _connect_unix(path: str) -> tuple[socket.socket | None, int]:
    """The same of a UNIX socket, which is decided at once.

    EAGAIN says that its queue is full (unix(7)); it is a refusal as any other.
    """
    try:
        sock = socket.socket(socket.AF_UNIX, _KIND)
    except OSError as error:
        return None, error.errno or errno.EINVAL
    try:
        return sock, sock.connect_ex(path)
    except OSError as error:  # the path is too long
        return sock, error.errno or errno.EINVAL


def _is_own(sock: socket.socket) -> bool:
    """Whether a socket is connected to itself, and nobody else is there.

    Where nobody listens on a port of this machine from which outgoing
    connections are served as well, the kernel may choose just that one, and
    then completes the handshake with itself (RFC 9293, 3.5).
    """
    return bool(sock.getsockname() == sock.getpeername())


def has_left(client: socket.socket) -> bool:
    """Whether a client reset, or closed without having said anything.

    One that said something and then closed its sending side waits for an
    answer, so it is still there as far as anybody can tell.
    """
    if client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        return True  # a reset, which does not show before what was said is read
    try:
        return not client.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
