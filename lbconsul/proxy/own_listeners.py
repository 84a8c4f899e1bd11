"""What this gateway listens on, and whether an address leads there.

A registration that names the gateway itself would have it connect to itself, and
that connection again, until no descriptor is left; one that names its admin
listener would open that to every client.
"""

import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from ipaddress import ip_address

from attrs import Factory, define, frozen

from lbconsul.balance.instance import Instance
from lbconsul.config.model import (
    ANY_HOST,
    Listen,
    SystemdListen,
    TCPListen,
    UnixListen,
)

#: How long what the kernel said of this host's addresses is taken for granted, in
#: seconds: a virtual one moves from host to host.
MAX_AGE = 5.0

# rtnetlink(7), netlink(7): RTM_GETADDR, NLM_F_REQUEST with NLM_F_DUMP, RTM_NEWADDR,
# NLMSG_DONE, IFA_ADDRESS, IFA_LOCAL.
_GET_ADDRESSES, _REQUEST, _ADDRESS, _DONE = 22, 0x301, 20, 3
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_HEAD = struct.Struct("=IHHII")
_ABOUT = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")


@frozen
class Bound:
    """Where a socket listens: a TCP address, or the path of a UNIX socket."""

    host: str = ""
    port: int = 0
    #: Whether a host of ``::`` has IPv4's clients, too.
    is_dual: bool = False
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return str(UnixListen(self.path))
        return str(TCPListen(self.host, self.port))


def bound_to(listen: Listen | None, sock: socket.socket | None = None) -> Bound | None:
    """Where a mapping or the admin side listens; None if nobody can tell (yet)."""
    if isinstance(listen, TCPListen):
        return Bound(listen.host, listen.port)
    if isinstance(listen, UnixListen):
        return Bound(path=listen.path)
    return _bound(sock) if isinstance(listen, SystemdListen) and sock else None


def _bound(sock: socket.socket) -> Bound | None:
    """The same of a socket that somebody else has bound."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return Bound(path=name) if isinstance(name, str) and name else None
    dual = sock.family == socket.AF_INET6 and not sock.getsockopt(
        socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
    )
    return Bound(name[0], name[1], dual)


@define(eq=False)
class OwnListeners:
    """Whether to connect to an instance would be to connect to ourselves.

    Two gateways that are registered as each other's instances, or a port of
    another host that is forwarded to ours, cannot be told so.
    """

    _seconds: Callable[[], float]
    _bounds: frozenset[Bound] = frozenset()
    _ports: dict[int, list[Bound]] = Factory(dict)
    _addresses: "HostAddresses" = Factory(
        lambda self: HostAddresses(self._seconds), takes_self=True
    )

    def replace(self, bounds: Iterable[Bound | None]) -> bool:
        """We listen just there; whether that is news."""
        new = frozenset(each for each in bounds if each is not None)
        if new == self._bounds:
            return False
        self._bounds = new
        self._ports = {}
        for each in new:
            self._ports.setdefault(each.port, []).append(each)
        return True

    def has_moved(self) -> bool:
        """Whether this host has other addresses by now, if they made any difference."""
        return self._addresses.have_changed()

    def why(self, instance: Instance) -> str:
        """Why an instance is not to be connected to: it is us; empty if it is not."""
        for each in self._ports.get(instance.port, ()):
            # One address of a name's is enough: any of them may be tried.
            if any(self._leads_to(at, each) for at in instance.addresses):
                return f"it is this gateway itself, which listens on {each}"
        return ""

    def _leads_to(self, address: str, bound: Bound) -> bool:
        if bound.path:
            return address.startswith("/") and _is_same_file(address, bound.path)
        address, host = _bare(address), _bare(bound.host)
        if host not in ANY_HOST:
            return address == host
        same_family = (":" in address) == (":" in host)
        return (same_family or bound.is_dual) and self._addresses.has(address)


@define(eq=False)
class HostAddresses:
    """Which addresses are this host's own."""

    _seconds: Callable[[], float]
    _known: frozenset[str] | None = None
    _since: float = -MAX_AGE

    def has(self, address: str) -> bool:
        """Whether this host answers at an IP address."""
        if ip_address(address).is_loopback:
            return True
        self._look()
        if self._known is not None:
            return _bare(address) in self._known
        return _speaks_from(address)

    def have_changed(self) -> bool:
        """Whether others are known than before; nothing is, unless it was asked for."""
        before = self._known
        if before is not None:
            self._look()
        return self._known != before

    def _look(self) -> None:
        now = self._seconds()
        if now - self._since >= MAX_AGE:
            self._known, self._since = _host_addresses(), now


def _host_addresses() -> frozenset[str] | None:
    """All addresses of this host, of the kernel; None if it cannot be asked.

    That is at once, and nothing is sent anywhere.
    """
    if not hasattr(socket, "AF_NETLINK"):
        return None
    request = _HEAD.pack(_HEAD.size + _ABOUT.size, _GET_ADDRESSES, _REQUEST, 1, 0)
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
    try:
        with socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE) as netlink:
            netlink.sendto(request + _ABOUT.pack(0, 0, 0, 0, 0), (0, 0))
            messages = _messages(netlink)
            return frozenset(_own_address(body) for body in messages)
    except (OSError, ValueError, struct.error):
        return None  # such as where a sandbox does not allow it


def _messages(netlink: socket.socket) -> Iterator[bytes]:
    """The bodies of the messages that tell of an address."""
    while True:
        data = netlink.recv(1 << 16)
        while data:
            length, kind, _, _, _ = _HEAD.unpack_from(data)
            if kind == _DONE:
                return
            if kind != _ADDRESS or length < _HEAD.size:
                raise ValueError
            yield data[_HEAD.size : length]
            data = data[_aligned(length) :]


def _own_address(body: bytes) -> str:
    """The address that a message tells of; not the peer's, if it has both."""
    family, *_ = _ABOUT.unpack_from(body)
    found: dict[int, bytes] = {}
    rest = body[_ABOUT.size :]
    while rest:
        length, kind = _ATTRIBUTE.unpack_from(rest)
        if length < _ATTRIBUTE.size:
            raise ValueError
        found[kind] = rest[_ATTRIBUTE.size : length]
        rest = rest[_aligned(length) :]
    own = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS, b"")
    return socket.inet_ntop(family, own)


def _aligned(length: int) -> int:
    return length + -length % 4


def _speaks_from(address: str) -> bool:
    """Whether we would speak from the very address, without saying anything.

    So it is with one of our own, but for secondary ones of Linux.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((address, 9))
        return bool(_bare(probe.getsockname()[0]) == _bare(address))
    return False


def _is_same_file(one: str, other: str) -> bool:
    """Whether two paths lead to the same socket, by whatever links."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    with suppress(OSError):
        return os.path.samefile(one, other)
    return False


def _bare(address: str) -> str:
    return address.partition("%")[0]
