"""Sends clients to another URL.  Pure."""

import re
from typing import Self

from attrs import frozen

from lbconsul.config.rewriting import Rewriting
from lbconsul.http.errors import Refused
from lbconsul.http.host import Host
from lbconsul.http.request import RequestHead
from lbconsul.http.rewriting import RequestRewriting
from lbconsul.http.templates import Template

#: Clients keep the method with it (RFC 9110, 15.4.9).
_TO_HTTPS = 308

_HTTPS = Template.of("https://$host$path?$query")

_ABSOLUTE = re.compile(rb"(?i)(https?)://([^/?#]*)([^#]*)(?:#.*)?")
_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}


@frozen
class Redirecting:
    """Where requests of a mapping or a route are sent to."""

    _status: int
    #: None if only clients that came with http are sent away.
    _url: Template | None
    _to_https: bool
    #: Rewrites ``$path``; None: it is that of the request.
    _rewriting: RequestRewriting | None = None
    #: ``$host`` has a port for clients that came with this scheme.
    _keeps_port_of: str = ""

    @classmethod
    def of(cls, rewriting: Rewriting) -> Self | None:
        """What a mapping's options say; None if they say nothing."""
        redirect, to_https = rewriting.redirect, rewriting.redirect_https
        if redirect is not None:
            template = Template.of(redirect.url)
            if not rewriting.redirects_rewritten:
                return cls(redirect.status, template, to_https)
            paths = RequestRewriting.of(rewriting)
            scheme = redirect.url.partition("://")[0]
            return cls(redirect.status, template, to_https, paths, scheme)
        return cls(_TO_HTTPS, None, True) if to_https else None

    def location(
        self, head: RequestHead, path: bytes, scheme: str
    ) -> tuple[int, bytes] | None:
        """The status and the URL to send the client to; None if it is served here.

        `path` is the path of the target without dot segments, and `scheme` that of the
        URL that the client has asked for (`ClientHeaders.scheme`).  A redirect to that
        URL would never end, so there is none.

        :raises Refused: the request has no Host, which is needed; or its path cannot be
            rewritten.
        """
        if self._to_https and scheme != "https":
            return _TO_HTTPS, self._filled(_HTTPS, head, path)
        if self._url is None:
            return None
        there = path
        if self._rewriting is not None and path != b"*":
            there = self._rewriting.path(path)
        location = self._filled(
            self._url, head, there, with_port=scheme == self._keeps_port_of
        )
        if _is_of(head, _url_path(path), scheme, location):
            return None
        return self._status, location

    @staticmethod
    def _filled(
        url: Template, head: RequestHead, path: bytes, *, with_port: bool = False
    ) -> bytes:
        """The URL for a request, without a question mark that nothing follows."""
        host = head.fields.host
        if host is None and "host" in url.names:
            raise Refused(400, "it has no Host, which a redirect needs")
        variables = {
            b"host": _authority(host, with_port) if host is not None else b"",
            b"path": _url_path(path),
            b"query": _query(head)[1:],
        }
        location = url.filled(variables).removesuffix(b"?")
        # Browsers take the second slash for the beginning of a host, and so a
        # backslash.
        if location.startswith(b"/"):
            return b"/" + location.lstrip(b"/\\")
        return location


def _authority(host: Host, with_port: bool) -> bytes:
    name = f"[{host.name}]" if ":" in host.name else host.name
    port = f":{host.port}" if with_port and host.port is not None else ""
    return f"{name}{port}".encode()


def _url_path(path: bytes) -> bytes:
    """The path of a URL: that of ``*``, which stands for no resource, is a slash."""
    return b"/" if path == b"*" else path


def _query(head: RequestHead) -> bytes:
    """The query with its question mark; empty if there is none."""
    return head.target[len(head.path) :]


def _is_of(head: RequestHead, path: bytes, scheme: str, location: bytes) -> bool:
    """Whether this is the URL that the client has asked for."""
    target = path + _query(head)
    match = _ABSOLUTE.fullmatch(location)
    if match is None:
        return location == target
    host = head.fields.host
    asked, there = scheme.encode(), match[1].lower()
    return (
        there == asked
        and host is not None
        and _without_default(there, match[2]) == _without_default(asked, host.text)
        and (match[3] or b"/") == target
    )


def _without_default(scheme: bytes, authority: bytes) -> bytes:
    """The authority in lower case, without the port that the scheme has anyway."""
    return authority.lower().removesuffix(_DEFAULT_PORTS[scheme])
