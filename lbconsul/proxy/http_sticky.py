"""``sticky=cookie``: the further requests of a client go to one instance."""

import re
from collections.abc import Callable, Sequence

from attrs import define, frozen

from lbconsul.balance.failover import Failover
from lbconsul.balance.instance import Identity
from lbconsul.balance.token_index import TokenIndex
from lbconsul.balance.upstream import Lease, Upstream
from lbconsul.config.cookies import CookieAttributes
from lbconsul.config.model import Mapping
from lbconsul.http.signed_cookie import (
    LENGTH,
    cookie_values,
    set_cookie,
    without_cookie,
)
from lbconsul.stats.http import HTTPStats

#: A shared cache may not give a cookie of one client to others.
_IS_PRIVATE = re.compile(rb"(?mi)^cache-control:[^\r\n]*\b(?:private|no-store)\b")
_PRIVATE = b"Cache-Control: private\r\n"


@frozen(eq=False)
class StuckTo:
    """The instance that a client comes to: an `OwnInstance` of its dial."""

    _failover: Failover
    identity: Identity
    _drain_timeout: float

    def lease(self, now: float) -> Lease | None:
        """A lease on it; None if it gets no requests any more.

        :raises AllFull: it is at its connection limit.
        """
        return self._failover.lease_kept(self.identity, now - self._drain_timeout)


@define(eq=False)
class Sticky:
    """The stickiness of one mapping or route.  Times are in seconds."""

    _name: bytes
    _attributes: CookieAttributes
    _tokens: TokenIndex
    _stats: HTTPStats
    #: For how long an instance that drains keeps its clients.
    _drain_timeout: float

    @classmethod
    def of(
        cls, mapping: Mapping, tokens: Callable[[], TokenIndex], stats: HTTPStats
    ) -> "Sticky | None":
        """The stickiness that a mapping has; None: it has none."""
        name = mapping.affinity.sticky
        if not name:
            return None
        return cls(
            name.encode(), mapping.cookies, tokens(), stats, mapping.drain.timeout
        )

    def read(self, lines: bytes) -> tuple[Sequence[bytes], bytes]:
        """What may be tokens in field lines, and the lines without them.

        The instance gets no such cookie: it could do nothing with it but leak it.
        """
        values = cookie_values(lines, self._name)
        lines = without_cookie(lines, self._name)
        return [each for each in values if len(each) == LENGTH], lines

    def pick(
        self, failover: Failover, values: Sequence[bytes], now: float
    ) -> Upstream | None:
        """As `Failover.pick`, the upstream of the client's cookie.

        None without one, or if it is of a former key and to be replaced.
        """
        index, since = self._tokens, now - self._drain_timeout
        for each in values:
            identity = index.instances.get(each)
            if identity is not None and index.tokens[identity][0] == each:
                picked = failover.pick_kept(identity, since)
                if picked is not None:
                    self._stats.stuck += 1
                    return picked
        return None

    def own(
        self, failover: Failover, values: Sequence[bytes], now: float
    ) -> "StuckTo | None":
        """The instance of the client's cookie, if it may have the request, once it is
        not full; else None.
        """
        since = now - self._drain_timeout
        for each in values:
            identity = self._tokens.instances.get(each)
            if identity is not None and failover.keeps(identity, since):
                self._stats.stuck += 1
                return StuckTo(failover, identity, self._drain_timeout)
        return None

    def lines(
        self,
        failover: Failover,
        upstream: Upstream,
        values: Sequence[bytes],
        scheme: str,
    ) -> bytes:
        """What a response of this upstream has beside its lines.

        That is the cookie, unless the client has it; `values` are those it has sent.
        The fallback has none: its clients come back to the service.
        """
        tokens = self._tokens.tokens.get(upstream.instance.identity)
        if tokens is None or failover.is_fallback(upstream):
            return b""
        if tokens[0] in values:
            return b""
        if values:
            self._stats.moved_elsewhere += 1
        else:
            self._stats.bound += 1
        is_https = scheme == "https"
        return set_cookie(self._name, tokens[0], self._attributes, is_https=is_https)


def kept_private(own: bytes, lines: bytes) -> bytes:
    """Cookies of the gateway's own for a response with these lines; no shared cache may
    keep it.
    """
    return own if not own or _IS_PRIVATE.search(lines) else own + _PRIVATE
