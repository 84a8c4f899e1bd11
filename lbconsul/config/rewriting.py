"""How requests and responses are rewritten in HTTP mode, as frozen values.

Each value's text is that of its option.
"""

import re

from attrs import frozen

from lbconsul.text import decimal

#: The statuses of answers of our own that a file can replace.
ERROR_STATUSES = (
    400, 401, 403, 404, 408, 413, 414, 417, 421, 429, 431, 500, 501, 502, 503, 504, 505,
)  # fmt: skip

#: The variables in values of header fields, and in the URL of a redirect.
HEADER_VARIABLES = ("client", "host", "request_id", "route", "scheme", "service")
REDIRECT_VARIABLES = ("host", "path", "query")

#: Names of fields whose values are secrets.
_SECRET = frozenset(
    {"authorization", "cookie", "proxy-authorization", "set-cookie", "x-api-key"}
)

_VARIABLE = re.compile(r"\$(\$|[A-Za-z_{][A-Za-z_]*)")


def split_variables(text: str) -> list[str]:
    """The text with variables as literal text and names of variables, in turn.

    ``$$`` is a dollar; a name that is no variable is among the names.
    """
    first, *rest = _VARIABLE.split(text)
    parts = [first]
    for word, literal in zip(rest[::2], rest[1::2], strict=True):
        if word == "$":
            parts[-1] += f"${literal}"
        else:
            parts += [word, literal]
    return parts


@frozen
class Header:
    """A header field to send; `value` may have variables of `HEADER_VARIABLES`."""

    name: str
    value: str

    def __str__(self) -> str:
        is_secret = self.name.lower() in _SECRET
        return f"{self.name}: {'(hidden)' if is_secret else self.value}"


@frozen
class PathRewrite:
    """A path in which `pattern`, a regular expression, is found becomes `replacement`.

    ``$1`` to ``$9`` in it are groups of the pattern.
    """

    pattern: str
    replacement: str

    def __str__(self) -> str:
        return f"{self.pattern} {self.replacement}"


@frozen
class Redirect:
    """Where clients are sent; `url` may have variables of `REDIRECT_VARIABLES`."""

    status: int
    url: str

    def __str__(self) -> str:
        return f"{self.status},{self.url}"


@frozen
class HSTS:
    """Strict-Transport-Security (RFC 6797)."""

    #: Seconds.
    max_age: float
    include_subdomains: bool = False
    preload: bool = False

    def __str__(self) -> str:
        subdomains = ";includeSubDomains" if self.include_subdomains else ""
        return f"{decimal(self.max_age)}s{subdomains}{';preload' * self.preload}"


@frozen
class ErrorPage:
    """The file with the body of an answer of our own."""

    status: int
    path: str

    def __str__(self) -> str:
        return f"{self.status}:{self.path}"


@frozen
class Rewriting:
    """What is altered in requests and responses, and which are answered here."""

    set_header: tuple[Header, ...] = ()
    add_header: tuple[Header, ...] = ()
    remove_header: tuple[str, ...] = ()
    set_response_header: tuple[Header, ...] = ()
    add_response_header: tuple[Header, ...] = ()
    remove_response_header: tuple[str, ...] = ()
    #: Prefixes of paths begin with a slash, and do not end with one.
    strip_prefix: str = ""
    #: Whether it is cut within a segment, too; only tags say so.
    strips_within_segments: bool = False
    add_prefix: str = ""
    #: The first that matches holds.
    rewrite: tuple[PathRewrite, ...] = ()
    redirect: Redirect | None = None
    #: Whether ``$path`` in `redirect` is what the path is rewritten to, and ``$host``
    #: has its port if the scheme stays the same; only tags say so.
    redirects_rewritten: bool = False
    redirect_https: bool = False
    hsts: HSTS | None = None
    error_page: tuple[ErrorPage, ...] = ()
