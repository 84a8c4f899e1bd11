"""Resolves host names to IP addresses without threads.

The order is that of ``hosts: files dns`` in nsswitch.conf(5): the hosts file, then the
DNS servers and search domains of resolv.conf(5).  Other sources of nsswitch.conf
(mdns, sss, libvirt, a cluster's own) are not asked; their names need a DNS server,
such as systemd-resolved's stub.
"""

import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from attrs import Factory, define, field
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from twisted.logger import Logger
from twisted.names import dns
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.consul.dns_client import DNSClient, has_route
from lbconsul.consul.dns_server import FAILURES, too_late
from lbconsul.consul.resolv_conf import (
    ResolvConf,
    absolute,
    addresses_of,
    is_ip,
    parse_hosts,
    parse_resolv_conf,
)
from lbconsul.process.files import read_file

#: The files, and the port of the name servers in resolv.conf.
RESOLV_CONF = Path("/etc/resolv.conf")
HOSTS = Path("/etc/hosts")
PORT = dns.PORT

#: How often a file is checked for changes, in seconds.
_LOOK_EVERY = 1.0

#: How much of a file is read, in bytes: a hundred thousand lines.
_MOST_FILE = 4 * 1024 * 1024

#: The most look-ups in progress that began within the last `SOON` seconds, and the
#: most in all.  A name that gets no answer uses the first limit for `SOON` seconds
#: only, so it does not delay names that resolve.
AT_ONCE = 100
IN_ALL = 1000
SOON = 0.25

#: The most look-ups that begin in one turn of the reactor.
_A_TURN = 20

#: The timeout of one look-up, whatever resolv.conf says, in seconds.
LONGEST = 20.0

T = TypeVar("T")


@define(eq=False)
class _Lookup:
    """The look-up of one name, queued or in progress, and its waiting Deferreds."""

    name: str
    waiting: "dict[Deferred[list[str]], None]" = Factory(dict)
    #: The look-up in progress; None while it is queued.
    under_way: "Deferred[list[str]] | None" = None


@implementer(IHostnameResolver)
@define(eq=False)
class HostResolver:
    """Resolves names by the hosts file and DNS, many at once.

    `reactor` provides `IReactorTime`, `IReactorFDSet` and `IReactorTCP`.  A result has
    all addresses of both families, in the order to try them; a failure of one family
    does not affect the other.  Answers are not cached: the caller decides when to look
    a name up again, whatever the TTL.
    """

    _log = Logger()
    _reactor: Any
    _resolv_conf: Path = field(factory=lambda: RESOLV_CONF)
    _hosts: Path = field(factory=lambda: HOSTS)
    _port: int = field(factory=lambda: PORT)
    _has_route: Callable[[str], bool] = has_route
    _host_name: Callable[[], str] = socket.gethostname
    _conf_file: "_File[ResolvConf]" = field(init=False)
    _hosts_file: "_File[dict[str, list[str]]]" = field(init=False)
    _client: DNSClient = field(init=False)
    _lookups: dict[str, _Lookup] = Factory(dict)
    #: The queued look-ups: names that had addresses the last time, then new names, then
    #: names that had none.
    _queues: tuple[deque[_Lookup], ...] = Factory(lambda: (deque(), deque(), deque()))
    _fresh: int = 0
    _in_all: int = 0
    #: The call that begins the next look-ups.
    _next: Any = None

    def __attrs_post_init__(self) -> None:
        self._conf_file = _File(self._resolv_conf, self._parse_conf)
        self._hosts_file = _File(self._hosts, parse_hosts)
        self._client = DNSClient(self._reactor, self._port, self._has_route)

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,  # noqa: N803
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Sequence[type[IAddress]] | None = None,  # noqa: N803
        transportSemantics: str = "TCP",  # noqa: N803
    ) -> IHostResolution:
        """Pass each address of a name to the receiver; see `IHostnameResolver`."""
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        kinds = tuple(addressTypes or (IPv4Address, IPv6Address))
        semantics: Any = transportSemantics

        def tell(found: list[str]) -> None:
            for each in found:
                kind = IPv6Address if ":" in each else IPv4Address
                if kind in kinds:
                    address = kind(semantics, each, portNumber)
                    resolutionReceiver.addressResolved(address)
            resolutionReceiver.resolutionComplete()

        resolution.found = self.addresses(hostName)
        resolution.found.addCallbacks(tell, lambda cancelled: None)
        return resolution

    def addresses(self, host: str) -> "Deferred[list[str]]":
        """The addresses of a name; empty if it has none or the look-up fails.

        Cancelling the last Deferred of a name cancels its look-up.
        """
        if is_ip(host):
            return succeed([host])
        try:
            name = absolute(host)
        except ValueError:
            return succeed([])
        known = self._without_dns(name.removesuffix("."))
        if known is not None:
            return succeed(self._client.sorted(known))
        lookup = self._lookups.get(name)
        if lookup is None:
            lookup = self._lookups[name] = _Lookup(name)
            self._queues[self._rank(name)].append(lookup)
        wanted: Deferred[list[str]] = Deferred(lambda it: self._leave(lookup, it))
        lookup.waiting[wanted] = None
        self._advance()
        return wanted

    def _without_dns(self, name: str) -> list[str] | None:
        """The addresses by the hosts file, or of a special name; None to ask DNS."""
        hosts = self._hosts_file.value(self._reactor.seconds())
        known = addresses_of(name, hosts)
        if known:
            return known
        match name.rpartition(".")[2]:  # RFC 6761, 6.3 and 6.4
            case "localhost":
                return ["127.0.0.1", "::1"]
            case "invalid":
                return []
        return None

    # The queue of look-ups.

    def _rank(self, name: str) -> int:
        return {True: 0, None: 1, False: 2}[self._client.has_found(name)]

    def _advance(self) -> None:
        """Begin queued look-ups in the reactor's next turn, as the limits allow."""
        if self._next is None and any(self._queues):
            self._next = self._reactor.callLater(0, self._begin_some)

    def _begin_some(self) -> None:
        self._next = None
        for _ in range(_A_TURN):
            queue = next(filter(None, self._queues), None)
            if queue is None or self._fresh >= AT_ONCE or self._in_all >= IN_ALL:
                return
            lookup = queue.popleft()
            if lookup.waiting:
                self._begin(lookup)
        self._advance()

    def _begin(self, lookup: _Lookup) -> None:
        self._fresh += 1
        self._in_all += 1
        place = self._reactor.callLater(SOON, self._no_longer_fresh)
        conf = self._conf_file.value(self._reactor.seconds())
        lookup.under_way = Deferred.fromCoroutine(self._client.find(lookup.name, conf))
        lookup.under_way.addTimeout(LONGEST, self._reactor, too_late)
        lookup.under_way.addBoth(self._done, lookup, place)

    def _no_longer_fresh(self) -> None:
        self._fresh -= 1
        self._advance()

    def _done(self, found: list[str] | Failure, lookup: _Lookup, place: Any) -> None:
        self._in_all -= 1
        if place.active():
            place.cancel()
            self._fresh -= 1
        if self._lookups.get(lookup.name) is lookup:
            del self._lookups[lookup.name]
        if isinstance(found, Failure):
            found = self._not_found(found)
        waiting, lookup.waiting = lookup.waiting, {}
        for each in waiting:
            if not each.called:  # another Deferred's callback may have cancelled it
                each.callback(list(found))
        self._advance()

    def _not_found(self, failure: Failure) -> list[str]:
        if not failure.check(*FAILURES, CancelledError):
            self._log.failure("a bug in lbconsul: a name lookup failed", failure)
        return []

    def _leave(self, lookup: _Lookup, wanted: "Deferred[list[str]]") -> None:
        """A waiting Deferred was cancelled; the last one cancels the look-up."""
        lookup.waiting.pop(wanted, None)
        if lookup.waiting or self._lookups.get(lookup.name) is not lookup:
            return
        del self._lookups[lookup.name]
        if lookup.under_way is not None:
            lookup.under_way.cancel()
        # A queued look-up stays in its queue; its turn skips it.

    def _parse_conf(self, text: str) -> ResolvConf:
        return parse_resolv_conf(text, self._host_name())


@define(eq=False)
class _File(Generic[T]):
    """A small local file that is parsed again when it has changed."""

    _path: Path
    _parse: Callable[[str], T]
    _value: T | None = None
    _looked: float | None = None
    _seen: tuple[int, ...] = ()

    def value(self, now: float) -> T:
        """The parsed file; an unreadable file counts as an empty one."""
        if self._looked is None or not 0 <= now - self._looked < _LOOK_EVERY:
            self._looked = now
            seen = self._state()
            if self._value is None or seen != self._seen:
                self._value, self._seen = self._parse(self._read()), seen
        assert self._value is not None
        return self._value

    def _state(self) -> tuple[int, ...]:
        try:
            found = os.stat(self._path)
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev

    def _read(self) -> str:
        try:
            content = read_file(self._path, _MOST_FILE, cut=True)
        except OSError:
            return ""
        return content.decode("utf-8", "replace")


@implementer(IHostResolution)
@define(eq=False)
class _Resolution:
    name: str
    found: "Deferred[list[str]] | None" = None

    def cancel(self) -> None:
        """Cancel the look-up; the receiver gets no further calls."""
        if self.found is not None:
            self.found.cancel()
