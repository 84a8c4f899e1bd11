"""Parses the values of options that rewrite requests and responses.

As in `lbconsul.config.values`, each function raises `ValueError` whose text says what
would be right.
"""

import re
from collections.abc import Callable, Iterable

from lbconsul.config import values
from lbconsul.config.rewriting import (
    ERROR_STATUSES,
    HEADER_VARIABLES,
    HSTS,
    REDIRECT_VARIABLES,
    ErrorPage,
    Header,
    PathRewrite,
    Redirect,
    split_variables,
)

#: The types of files that an error page can be, by extension.
PAGE_TYPES = (".html", ".json", ".txt", ".xml")

#: The statuses of redirects.
REDIRECTS = (301, 302, 307, 308)

#: Fields of one hop or of the message's framing, which the proxy has itself.
_FORBIDDEN = frozenset(
    {
        "connection", "content-length", "expect", "http2-settings", "keep-alive",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip

#: RFC 9110, 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
#: What a path may have that is sent (see `lbconsul.http.request`).
_PATH = re.compile(r"/[\x21\x22\x24-\x3e\x40-\x7e]*")
_TARGET = re.compile(r"/[\x21\x22\x24-\x7e]*")
_DOTS = re.compile(r"(?i)/(?:\.|%2e){1,2}(?:[/?]|\Z)")
_GROUP = re.compile(r"\$(.?)")
_URL = re.compile(r"https?://(?:\$host|[A-Za-z0-9_\[])[^\x00-\x20\x7f-\uffff]*")
#: The longest texts, in characters.
_LONGEST = 1024
#: Browsers take only such a time into their lists: https://hstspreload.org/
_YEAR = 31_536_000


def _text(text: str) -> str:
    """A text without the double quotes around it, if there are any.

    A backslash escapes a quote and nothing else: regular expressions have their own.
    """
    if not text.startswith('"'):
        return text
    if len(text) < 2 or not text.endswith('"'):
        raise ValueError(f"{text} must end with the quote that closes it")
    return text[1:-1].replace('\\"', '"')


def field_name(text: str) -> str:
    """The name of a header field that the proxy does not need itself."""
    if not _TOKEN.fullmatch(text):
        raise ValueError(
            f"{text!r} must be the name of a header field, such as X-Powered-By; give"
            " the option again for another"
        )
    # Servers behind CGI do not tell an underscore from a dash.
    key = re.sub(r"[^0-9a-z]", "-", text.lower())
    if key == "host":
        raise ValueError("Host cannot be rewritten here; upstream-host= does it")
    if key in _FORBIDDEN:
        raise ValueError(
            f"{text} cannot be rewritten: it belongs to one connection, or says where a"
            " message ends"
        )
    return text


def response_field_name(text: str) -> str:
    """The same for responses, in which Host means nothing."""
    return text if text.lower() == "host" else field_name(text)


def header(text: str) -> Header:
    """``NAME: VALUE``, of a request."""
    return _header(text, field_name)


def response_header(text: str) -> Header:
    """``NAME: VALUE``, of a response."""
    return _header(text, response_field_name)


def _header(text: str, read_name: Callable[[str], str]) -> Header:
    name, colon, value = _text(text).partition(":")
    value = value.strip(" ")
    if not colon or not value:
        raise ValueError(f"{text!r} must be NAME: VALUE, such as X-Frame-Options: DENY")
    read_name(name)
    if not _VALUE.fullmatch(value) or len(value) > _LONGEST:
        raise ValueError(
            f"the value of {name} must have printable ASCII characters, at most"
            f" {_LONGEST}"
        )
    _check_variables(value, HEADER_VARIABLES)
    return Header(name, value)


def _check_variables(text: str, known: Iterable[str]) -> None:
    for word in split_variables(text)[1::2]:
        if word not in known:
            names = ", ".join(f"${each}" for each in known)
            raise ValueError(
                f"unknown variable ${word}; known are {names}, and $$ for a dollar"
            )


def prefix(text: str) -> str:
    """The beginning of a path, without a slash at the end."""
    path = text.removesuffix("/")
    if not _PATH.fullmatch(path) or "//" in text or _DOTS.search(path):
        raise ValueError(
            "must be the beginning of a path, such as /api, without empty or dot"
            " segments"
        )
    if len(path) > _LONGEST:
        raise ValueError(f"must have at most {_LONGEST} characters")
    return path


def rewrite(text: str) -> PathRewrite:
    """``REGEX REPLACEMENT``: what a path must have, and what it becomes."""
    pattern, blank, replacement = _text(text).partition(" ")
    if not blank or not pattern or not _TARGET.fullmatch(replacement):
        raise ValueError(
            f"{text!r} must be REGEX REPLACEMENT with a blank between, and the"
            " replacement a path: ^/old/(.*)$ /new/$1"
        )
    if not text.isascii() or len(text) > _LONGEST:
        raise ValueError(f"must have ASCII characters, at most {_LONGEST}")
    try:
        groups = re.compile(pattern.encode()).groups
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{pattern} is no regular expression: {error}") from None
    if _DOTS.search(replacement):
        raise ValueError(f"{replacement} must not have dot segments")
    for number in _GROUP.findall(replacement):
        is_group = number in tuple("123456789") and int(number) <= groups
        if number != "$" and not is_group:
            raise ValueError(
                f"${number} is no group of {pattern}, which has {groups}; $$ is a"
                " dollar"
            )
    return PathRewrite(pattern, replacement)


def redirect(text: str) -> Redirect:
    """``STATUS,URL``."""
    status, _, url = _text(text).partition(",")
    if status not in map(str, REDIRECTS):
        raise ValueError(
            f"must be STATUS,URL with one of {', '.join(map(str, REDIRECTS))}, such as"
            " 301,https://www.example.com$path"
        )
    is_path = bool(_TARGET.fullmatch(url)) and not url.startswith(("//", "/\\"))
    if len(url) > _LONGEST or not (is_path or _URL.fullmatch(url)):
        raise ValueError(
            f"{url!r} must be a URL with http or https, or a path that begins with one"
            f" slash; and ASCII characters, at most {_LONGEST}"
        )
    _check_variables(url, REDIRECT_VARIABLES)
    return Redirect(int(status), url)


def hsts(text: str) -> HSTS | None:
    """``TIME``, and with semicolons ``includeSubDomains`` and ``preload``."""
    if text == "off":
        return None
    time, *words = text.split(";")
    flags = [word.strip(" ").lower() for word in words]
    if not set(flags) <= {"includesubdomains", "preload"}:
        raise ValueError(
            "must be TIME;includeSubDomains;preload, of which the last two may be"
            " missing, such as 365d; or off"
        )
    try:
        age = values.duration(time)
    except ValueError as error:
        raise ValueError(f"{error}; or off") from None
    found = HSTS(age, "includesubdomains" in flags, "preload" in flags)
    if found.preload and not (found.include_subdomains and age >= _YEAR):
        raise ValueError("preload needs includeSubDomains, and a year (365d) or more")
    return found


def error_page(text: str) -> ErrorPage:
    """``STATUS:/PATH``."""
    status, _, path = _text(text).partition(":")
    if status not in map(str, ERROR_STATUSES):
        known = ", ".join(map(str, ERROR_STATUSES))
        raise ValueError(
            f"{text!r} must be STATUS:/PATH, such as 503:/etc/sorry.html, with one of"
            f" {known}"
        )
    if not path.isprintable() or not path.lower().endswith(PAGE_TYPES):
        raise ValueError(
            f"{path!r} must be the path of a file, and end with one of"
            f" {', '.join(PAGE_TYPES)}"
        )
    return ErrorPage(int(status), path)
