"""What an upstream learns of the client: X-Forwarded-*, Forwarded and Via.  Pure.

What a client says of itself is not passed on.  What a trusted proxy in front says is,
completed by that proxy's own address.
"""

from collections.abc import Callable, Iterator
from ipaddress import ip_address
from itertools import islice

from attrs import frozen

from lbconsul.http.errors import Refused
from lbconsul.http.fields import Fields
from lbconsul.http.host import read_host

_FOR, _HOST, _PORT = b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port"
_PROTO, _REAL_IP, _FORWARDED = b"x-forwarded-proto", b"x-real-ip", b"forwarded"

#: Fields that this proxy has itself; others of trusted proxies pass as they are.
_OWN = frozenset([_FOR, _HOST, _PORT, _PROTO, _REAL_IP, _FORWARDED])

_SCHEMES = {b"http": b"80", b"https": b"443"}

#: The most proxies in front that are gone through to find the client.
_MOST_HOPS = 32

_LAST_PORT = 65535

#: What upstreams learn of nearly all clients.
_USUAL = (
    b"X-Forwarded-Proto: %b\r\nX-Forwarded-Port: %d\r\n"
    b"X-Forwarded-For: %b\r\nX-Real-IP: %b\r\nX-Forwarded-Host: %b\r\n"
)


@frozen
class ForwardingOptions:
    """What a mapping tells its upstreams, and whom it believes."""

    #: Whether what a proxy at this address says of the client is believed; None: none.
    trusts: Callable[[str], bool] | None
    #: Whether ``Forwarded`` (RFC 7239) is added.
    forwarded: bool = False
    #: The name of this proxy in ``Via``; empty if that is not added.
    via: str = ""
    #: Names of fields that this proxy has itself beside those of this module: those of
    #: trusted proxies are not passed on either.
    own: frozenset[bytes] = frozenset()


class ClientHeaders:
    """Builds the lines that are added to each request of a client's connection.

    `address` is the peer's IP address, empty if it has none; `scheme` (``http`` or
    ``https``) and `port` are those that it has connected to.
    """

    __slots__ = (
        "_options",
        "_port",
        "_scheme",
        "address",
        "is_trusted",
        "own_scheme",
    )

    def __init__(
        self, options: ForwardingOptions, address: str, scheme: str, port: int
    ) -> None:
        self._options = options
        #: The peer's own address and scheme.
        self.address = address
        self.own_scheme = scheme
        self._scheme = b"https" if scheme == "https" else b"http"
        self._port = port
        #: Whether what the peer says of its client is believed.
        self.is_trusted = options.trusts is not None and options.trusts(address)

    def lines(self, fields: Fields, options: ForwardingOptions | None = None) -> bytes:
        """The lines for a request, each with its end.

        They are the same for all requests with these `fields`.  `options` are those of
        the route that takes it, if it has others; whom they trust does not matter.
        """
        options = options or self._options
        host, address = fields.host, self.address.encode()
        if self.is_trusted and fields.forwarded:
            fixed = self._completed(fields, options)
        elif address and host is not None:
            # As below, at once: each new client pays for it.
            fixed = _USUAL % (self._scheme, self._port, address, address, host.text)
        else:
            fixed = _lines(address, self._scheme, b"%d" % self._port, b"")
            if host is not None:
                fixed += b"X-Forwarded-Host: %b\r\n" % host.text
        if options.forwarded:
            fixed += self._forwarded(fields)
        if options.via:
            fixed += via(options.via, fields)
        return fixed

    def client(self, fields: Fields) -> str:
        """The address of the client, as `client_of` finds it."""
        return client_of(self.address, fields, self._options.trusts)

    def scheme(self, fields: Fields) -> str:
        """The scheme of the URL that the client has asked for."""
        return self._told_scheme(fields).decode() or self.own_scheme

    def _told_scheme(self, fields: Fields) -> bytes:
        """The scheme that a trusted proxy tells; empty if none does."""
        told = _last(fields, _PROTO).lower() if self.is_trusted else b""
        return told if told in _SCHEMES else b""

    def _completed(self, fields: Fields, options: ForwardingOptions) -> bytes:
        """What a trusted proxy says, completed."""
        told = self._told_scheme(fields)
        port = _last(fields, _PORT)
        if not (port.isdigit() and len(port) < 6 and int(port) <= _LAST_PORT):
            port = _SCHEMES[told] if told else b"%d" % self._port
        before = b"".join(b"%b, " % each for each in _values(fields, _FOR))
        fixed = _lines(
            self.address.encode(),
            told or self._scheme,
            port,
            before,
            self.client(fields).encode(),
        )
        host = _last(fields, _HOST)
        if not _is_host(host):
            host = b"" if fields.host is None else fields.host.text
        if host:
            fixed += b"X-Forwarded-Host: %b\r\n" % host
        own = _OWN | options.own
        others = [each for each in fields.forwarded if each[0] not in own]
        if not options.forwarded:
            others += [each for each in fields.forwarded if each[0] == _FORWARDED]
        return fixed + b"".join(b"%b: %b\r\n" % each for each in others)

    def _forwarded(self, fields: Fields) -> bytes:
        """The line of RFC 7239, behind what trusted proxies say."""
        before = self._elements(fields) if self.is_trusted else []
        element = b"for=%b" % _node(self.address)
        if fields.host is not None:
            element += b';host="%b"' % fields.host.text
        element += b";proto=%b" % self._scheme
        return b"Forwarded: %b\r\n" % b", ".join([*before, element])

    def _elements(self, fields: Fields) -> list[bytes]:
        """What trusted proxies say, as elements of RFC 7239.

        That is X-Forwarded-For, which decides who the client is, if it is there: a
        proxy that adds to it alone passes on whatever Forwarded its client sends.
        """
        hops = filter(None, map(bytes.strip, islice(_hops(fields), _MOST_HOPS)))
        elements = [b"for=%b" % _node(_address(each)) for each in hops][::-1]
        if not elements:
            return _values(fields, _FORWARDED)
        host, scheme = _last(fields, _HOST), self._told_scheme(fields)
        if _is_host(host):
            elements[-1] += b';host="%b"' % host
        if scheme:
            elements[-1] += b";proto=%b" % scheme
        return elements


def client_of(
    address: str, fields: Fields, trusts: Callable[[str], bool] | None
) -> str:
    """The address of a peer's client: that of the first hop that is not trusted.

    Each trusted proxy appends its peer's address to X-Forwarded-For, so that what
    stands left of a hop that is not trusted may be invented.
    """
    if trusts is None or not trusts(address):
        return address
    for hop in islice(_hops(fields), _MOST_HOPS):
        found = _address(hop)
        if not found:
            break
        address = found
        if not trusts(address):
            break
    return address


def via(name: str, fields: Fields) -> bytes:
    """The line that says that a message came through this proxy (RFC 9110, 7.6.3)."""
    return b"Via: 1.%d %b\r\n" % (fields.minor, name.encode())


def _lines(
    address: bytes, scheme: bytes, port: bytes, before: bytes, client: bytes = b""
) -> bytes:
    lines = b"X-Forwarded-Proto: %b\r\nX-Forwarded-Port: %b\r\n" % (scheme, port)
    if address or before:
        hops = before + address if address else before[:-2]
        lines += b"X-Forwarded-For: %b\r\n" % hops
    if client or address:
        lines += b"X-Real-IP: %b\r\n" % (client or address)
    return lines


def _values(fields: Fields, name: bytes) -> list[bytes]:
    return [value for each, value in fields.forwarded if each == name and value]


def _last(fields: Fields, name: bytes) -> bytes:
    """The last value, which is that of the nearest proxy; empty if there is none."""
    values = _values(fields, name)
    return values[-1].rpartition(b",")[2].strip() if values else b""


def _hops(fields: Fields) -> Iterator[bytes]:
    """The addresses in X-Forwarded-For, nearest first."""
    for value in reversed(_values(fields, _FOR)):
        yield from reversed(value.split(b","))


def _address(hop: bytes) -> str:
    """The IP address of a hop, without a port; empty if there is none."""
    text = hop.decode("latin-1").strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return ""


def _is_host(text: bytes) -> bool:
    try:
        return bool(read_host(text))
    except Refused:
        return False


def _node(address: str) -> bytes:
    """An address as RFC 7239, 6 has it."""
    if not address:
        return b"unknown"
    return b'"[%b]"' % address.encode() if ":" in address else address.encode()
