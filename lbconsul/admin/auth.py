"""Authorization of requests to the admin listener: reading and changing."""

import re
from ipaddress import ip_address
from typing import Protocol

from attrs import frozen
from twisted.web.http import FORBIDDEN, UNAUTHORIZED, Request

from lbconsul.admin.responses import HTTPError
from lbconsul.config.grammar import is_loopback
from lbconsul.config.listen import TCPListen, UnixListen

_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(?::\d*)?")

#: Sec-Fetch-Site of a request from the admin page itself, or typed by its user.
_OWN_SITE = frozenset({None, "same-origin", "none"})


class Secret(Protocol):
    """A token of the admin listener."""

    def is_it(self, candidate: str) -> bool:
        """Whether `candidate` is the token."""


@frozen
class RequestOrigin:
    """The headers that identify the client of a request."""

    host: str
    origin: str | None = None
    #: Sec-Fetch-Site and Sec-Fetch-Mode: set by browsers; pages cannot set them.
    site: str | None = None
    mode: str | None = None
    #: None if the request carries no token.
    token: str | None = None

    @property
    def is_own_site(self) -> bool:
        """Whether no page of another site makes the request."""
        own = self.site in _OWN_SITE
        if self.origin is None:
            return own
        return own and self.origin.partition("://")[2] == self.host != ""

    @property
    def is_followed_link(self) -> bool:
        """Whether a user followed a link here: a navigation without an Origin."""
        return self.mode == "navigate" and self.origin is None


def request_origin(request: Request) -> RequestOrigin:
    """The origin of a request, with its token from either of the two headers."""
    token = _header(request, "x-lbconsul-token")
    scheme, _, bearer = (_header(request, "authorization") or "").partition(" ")
    if token is None and scheme.lower() == "bearer":
        token = bearer.strip()
    return RequestOrigin(
        _header(request, "host") or "",
        _header(request, "origin"),
        _header(request, "sec-fetch-site"),
        _header(request, "sec-fetch-mode"),
        token,
    )


def _header(request: Request, name: str) -> str | None:
    found = request.getHeader(name.encode("ascii"))
    return None if found is None else found.decode("utf-8", "surrogateescape")


@frozen
class Authorizer:
    """Authorizes requests; each check raises a `HTTPError` that says why it failed."""

    _listen: TCPListen | UnixListen
    #: The token that reads and changes.
    _secret: Secret | None = None
    _open_read: bool = False
    #: The token that only reads.
    _read_secret: Secret | None = None

    @property
    def _is_loopback(self) -> bool:
        return isinstance(self._listen, TCPListen) and is_loopback(self._listen.host)

    def check_site(self, who: RequestOrigin) -> None:
        """Refuse pages of other sites, DNS rebinding to a loopback address included.

        :raises HTTPError: 403.
        """
        if not who.is_own_site and not who.is_followed_link:
            raise HTTPError(FORBIDDEN, "pages of other sites may not use this")
        if self._is_loopback and not _is_ours(who.host) and not self._may_read(who):
            raise HTTPError(
                FORBIDDEN,
                "use an IP address or localhost in the URL, or send the token: another"
                " host name may be DNS rebinding",
            )

    def check_read(self, who: RequestOrigin) -> None:
        """Allow reading on loopback, a UNIX socket, with open read, or with a token.

        :raises HTTPError: 401 or 403.
        """
        is_here = self._is_loopback or isinstance(self._listen, UnixListen)
        if is_here or self._open_read or self._may_read(who):
            return
        if self._read_secret is not None:
            raise _unauthorized(who, "--admin-read-token-file")
        if self._secret is None:
            raise HTTPError(
                FORBIDDEN,
                "reading is off at this address: start the gateway with"
                " --admin-read-token-file FILE, or with --admin-open-read on",
            )
        raise _unauthorized(who, "--admin-token-file")

    def check_change(self, who: RequestOrigin) -> None:
        """Allow a change only with its token, and never from a page of another site.

        :raises HTTPError: 401 or 403.
        """
        if not who.is_own_site:
            raise HTTPError(FORBIDDEN, "pages of other sites may not use this")
        if self._secret is None:
            raise HTTPError(
                FORBIDDEN,
                "changes are off: start the gateway with --admin-token-file FILE,"
                " a file that holds a token of your choice",
            )
        if _knows(who, self._secret):
            return
        if _knows(who, self._read_secret):
            # RFC 6750, section 3.1.
            raise HTTPError(
                FORBIDDEN,
                "this token only reads: a change needs that of --admin-token-file",
                (("WWW-Authenticate", 'Bearer error="insufficient_scope"'),),
            )
        raise _unauthorized(who, "--admin-token-file")

    def _may_read(self, who: RequestOrigin) -> bool:
        return _knows(who, self._secret) or _knows(who, self._read_secret)


def _knows(who: RequestOrigin, secret: Secret | None) -> bool:
    return secret is not None and who.token is not None and secret.is_it(who.token)


def _unauthorized(who: RequestOrigin, option: str) -> HTTPError:
    what = "needs the token" if who.token is None else "not the token"
    return HTTPError(
        UNAUTHORIZED,
        f"{what} of {option}: send it as Authorization: Bearer TOKEN",
        (("WWW-Authenticate", "Bearer"),),
    )


def _is_ours(host: str) -> bool:
    """Whether a Host header is an IP address or localhost: no DNS name to rebind."""
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = match[1].removeprefix("[").removesuffix("]").lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return bool(ip_address(name))
    except ValueError:
        return False
