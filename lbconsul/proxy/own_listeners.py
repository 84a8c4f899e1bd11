"""Detects instances whose address is one of this gateway's own listeners.

A registration that names a mapping's listener would make the gateway connect to
itself in a loop, until no descriptor is left; one that names the admin listener
would open that to every client.
"""

import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from ipaddress import ip_address

from attrs import Factory, define, frozen

from lbconsul.balance.instance import Instance
from lbconsul.config.listen import (
    ANY_HOST,
    Listen,
    SystemdListen,
    TCPListen,
    UnixListen,
)

#: How long this host's addresses are cached, in seconds: a virtual address moves
#: from host to host.
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
    #: Whether a host of ``::`` accepts IPv4 clients, too.
    is_dual: bool = False
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return str(UnixListen(self.path))
        return str(TCPListen(self.host, self.port))


def bound_to(listen: Listen | None, sock: socket.socket | None = None) -> Bound | None:
    """Where a mapping or the admin side listens; None if not known (yet)."""
    if isinstance(listen, TCPListen):
        return Bound(listen.host, listen.port)
    if isinstance(listen, UnixListen):
        return Bound(path=listen.path)
    return _bound(sock) if isinstance(listen, SystemdListen) and sock else None


def _bound(sock: socket.socket) -> Bound | None:
    """Where a socket that another process bound listens."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return Bound(path=name) if isinstance(name, str) and name else None
    dual = sock.family == socket.AF_INET6 and not sock.getsockopt(
        socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
    )
    return Bound(name[0], name[1], dual)


@define(eq=False)
class OwnListeners:
    """Knows whether an instance is this gateway itself.

    It does not detect two gateways that are registered as each other's instances,
    nor a port of another host that is forwarded to this gateway.
    """

    _seconds: Callable[[], float]
    _bounds: frozenset[Bound] = frozenset()
    _ports: dict[int, list[Bound]] = Factory(dict)
    _addresses: "HostAddresses" = Factory(
        lambda self: HostAddresses(self._seconds), takes_self=True
    )

    def replace(self, bounds: Iterable[Bound | None]) -> bool:
        """Set all listeners of this gateway; returns whether they changed."""
        new = frozenset(each for each in bounds if each is not None)
        if new == self._bounds:
            return False
        self._bounds = new
        self._ports = {}
        for each in new:
            self._ports.setdefault(each.port, []).append(each)
        return True

    def has_moved(self) -> bool:
        """Whether this host's addresses changed, if an earlier check used them."""
        return self._addresses.have_changed()

    def why(self, instance: Instance) -> str:
        """Why the gateway must not connect to an instance: it is itself; else empty."""
        for each in self._ports.get(instance.port, ()):
            # One address of a host name is enough: a dial may try any of them.
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
    """This host's own addresses, cached for `MAX_AGE`."""

    _seconds: Callable[[], float]
    _known: frozenset[str] | None = None
    _since: float = -MAX_AGE

    def has(self, address: str) -> bool:
        """Whether an IP address is one of this host's."""
        if ip_address(address).is_loopback:
            return True
        self._look()
        if self._known is not None:
            return _bare(address) in self._known
        return _speaks_from(address)

    def have_changed(self) -> bool:
        """Whether the addresses differ from the cached ones, if there are any."""
        before = self._known
        if before is not None:
            self._look()
        return self._known != before

    def _look(self) -> None:
        now = self._seconds()
        if now - self._since >= MAX_AGE:
            self._known, self._since = _host_addresses(), now


def _host_addresses() -> frozenset[str] | None:
    """All addresses of this host by netlink; None if the kernel cannot be asked.

    The answer is immediate, and no packet leaves the host.
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
    """The bodies of the RTM_NEWADDR messages."""
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
    """The local address in a message, not the peer's if it has both."""
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
    """Whether the kernel would choose this very source address to reach the address.

    That holds for the host's own addresses, except for secondary ones on Linux.
    Nothing is sent: connect(2) on UDP only looks up the route.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((address, 9))
        return bool(_bare(probe.getsockname()[0]) == _bare(address))
    return False


def _is_same_file(one: str, other: str) -> bool:
    """Whether two paths lead to the same socket, through any links."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    with suppress(OSError):
        return os.path.samefile(one, other)
    return False


def _bare(address: str) -> str:
    return address.partition("%")[0]
