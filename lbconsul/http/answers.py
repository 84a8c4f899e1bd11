"""The answers that a balancer gives itself: errors, and redirects.  Pure.

They hold nothing of what the client has sent.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from html import escape

from attrs import frozen

from lbconsul.config.rewriting import ErrorPage
from lbconsul.errors import ConfigError
from lbconsul.http.accept import preferred
from lbconsul.http.date import DateLine

#: Of each status, its reason phrase (RFC 9110, 15; RFC 6585) and what it means to the
#: user of a browser.
_ERRORS = {
    400: ("Bad Request", "The request is not valid."),
    401: ("Unauthorized", "A user name and a password are needed."),
    403: ("Forbidden", "Access is denied."),
    404: ("Not Found", "Nothing is served under this address."),
    408: ("Request Timeout", "The request took too long to arrive."),
    413: ("Content Too Large", "The content of the request is too large."),
    414: ("URI Too Long", "The address is too long."),
    417: ("Expectation Failed", "The request expects what is unknown."),
    421: ("Misdirected Request", "This connection is not for this host."),
    429: ("Too Many Requests", "There are too many requests; try again later."),
    431: (
        "Request Header Fields Too Large",
        "The fields of the request, such as cookies, are too large.",
    ),
    500: ("Internal Server Error", "Something went wrong here."),
    501: ("Not Implemented", "This is not supported."),
    502: ("Bad Gateway", "The server gave no valid response."),
    503: ("Service Unavailable", "No server is available now; try again soon."),
    504: ("Gateway Timeout", "The server did not respond in time."),
    505: ("HTTP Version Not Supported", "This version of HTTP is not supported."),
}

_REDIRECTS = {
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
}

#: The largest file of a page, in bytes.
_LARGEST = 64 << 10

#: Seconds after which clients may try again when no server is available.
_RETRY_AFTER = 5


@frozen
class Page:
    """A body that replaces one of an error's own.

    ``{status}``, ``{reason}`` and ``{request_id}`` in it are replaced.
    """

    content_type: bytes
    body: bytes


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


#: By its extension, the type of a file, and how text is written into it.
_TYPES: dict[str, tuple[bytes, Callable[[str], str]]] = {
    ".html": (b"text/html; charset=utf-8", escape),
    ".json": (b"application/json", _in_json),
    ".txt": (b"text/plain; charset=utf-8", str),
    ".xml": (b"application/xml", escape),
}
_ESCAPES = dict(_TYPES.values())


def page(path: str, body: bytes) -> Page:
    """The page that the file at `path` holds; its extension tells the type.

    :raises KeyError: the extension is none of those that ``error-page`` takes.
    """
    return Page(_TYPES[path[path.rindex(".") :].lower()][0], body)


def read_pages(
    where: str, pages: Iterable[ErrorPage], read: Callable[[str, int], bytes]
) -> dict[int, Page]:
    """The pages in the files that the option ``error-page`` names, by status.

    `read` is given a path and the most bytes, as `lbconsul.process.files.read_file`.

    :raises ConfigError: a file cannot be read; it begins with `where`.
    """
    found = {}
    for each in pages:
        try:
            found[each.status] = page(each.path, read(each.path, _LARGEST))
        except OSError as error:
            why = error.strerror or error
            raise ConfigError(
                f"{where}: error-page {each.path}: cannot be read: {why}"
            ) from None
    return found


class Answers:
    """Makes answers; `pages` replace bodies, by status.

    `now` returns the time in seconds since the epoch; `date` tells it.
    """

    __slots__ = ("_pages", "date")

    def __init__(
        self, now: Callable[[], float], pages: Mapping[int, Page] | None = None
    ) -> None:
        self.date = DateLine(now)
        self._pages = dict(pages or {})

    def answer(
        self,
        status: int,
        *,
        accept: bytes,
        request_id: bytes,
        close: bool,
        is_head: bool,
        reason_code: str = "",
        retry_after: int = 0,
        extra: bytes = b"",
    ) -> bytes:
        """The whole answer to a request that is not forwarded.

        `accept` is the value of the request's Accept (`accept.accept_of`); it decides
        whether the body is HTML, JSON (RFC 9457) or plain text.  `reason_code`, a word
        of ours, tells in it what happened in more detail.  After `retry_after` seconds
        the client may try again; 0: only a 503 says so.  `request_id` may be empty;
        `extra` are further field lines, each with its end.  With `is_head` the body is
        left out.
        """
        reason, detail = _ERRORS[status]
        text = request_id.decode("latin-1")
        replacing = self._pages.get(status)
        if replacing is not None:
            content_type, body = _filled(replacing, status, reason, text)
        else:
            content_type, write = _FORMATS[preferred(accept, _OFFERS)]
            body = write(status, reason, detail, reason_code, text).encode()
        if retry_after or status == 503:
            extra = b"Retry-After: %d\r\n%b" % (retry_after or _RETRY_AFTER, extra)
        fields = b"Content-Type: %b\r\nCache-Control: no-store\r\n%b" % (
            content_type,
            extra,
        )
        head = self._head(status, reason, len(body), fields, request_id, close)
        return head if is_head else head + body

    def redirect(
        self,
        status: int,
        location: bytes,
        *,
        request_id: bytes,
        close: bool,
        extra: bytes = b"",
    ) -> bytes:
        """The whole answer that leads the client to another URL, without a body.

        Clients may keep it, as HTTP has it: for long if it is permanent (301, 308).
        """
        fields = b"Location: %b\r\n%b" % (location, extra)
        return self._head(status, _REDIRECTS[status], 0, fields, request_id, close)

    def _head(
        self,
        status: int,
        reason: str,
        length: int,
        fields: bytes,
        request_id: bytes,
        close: bool,
    ) -> bytes:
        return b"HTTP/1.1 %d %b\r\n%bContent-Length: %d\r\n%b%b%b\r\n" % (
            status,
            reason.encode(),
            self.date.line(),
            length,
            fields,
            b"X-Request-ID: %b\r\n" % request_id if request_id else b"",
            b"Connection: close\r\n" if close else b"",
        )


def _filled(
    replacing: Page, status: int, reason: str, request_id: str
) -> tuple[bytes, bytes]:
    """The type and the body of a page, with what stands for its placeholders."""
    body = replacing.body
    written = _ESCAPES[replacing.content_type]
    for name, text in (
        (b"{status}", str(status)),
        (b"{reason}", reason),
        (b"{request_id}", request_id),
    ):
        if name in body:
            body = body.replace(name, written(text).encode())
    return replacing.content_type, body


def _html(status: int, reason: str, detail: str, code: str, request_id: str) -> str:
    notes = "".join(
        f"<p><small>{name}: {escape(text)}</small></p>\n"
        for name, text in (("Code", code), ("Request", request_id))
        if text
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{status} {reason}</title></head>\n"
        f"<body>\n<h1>{status} {reason}</h1>\n<p>{detail}</p>\n{notes}</body>\n"
        "</html>\n"
    )


def _json(status: int, reason: str, detail: str, code: str, request_id: str) -> str:
    """A problem whose type is its status (RFC 9457, 4.2.1)."""
    members = {
        "title": reason,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    told = {name: value for name, value in members.items() if value}
    return json.dumps(told, separators=(",", ":")) + "\n"


def _text(status: int, reason: str, detail: str, code: str, request_id: str) -> str:
    lines = [f"{status} {reason}", detail]
    lines += [f"Code: {code}"] if code else []
    lines += [f"Request: {request_id}"] if request_id else []
    return "\n".join(lines) + "\n"


_Writer = Callable[[int, str, str, str, str], str]

#: Types of the bodies, what writes each, and by which names clients accept it.
_JSON: tuple[bytes, _Writer] = (b"application/problem+json", _json)
_HTML: tuple[bytes, _Writer] = (b"text/html; charset=utf-8", _html)
_TEXT: tuple[bytes, _Writer] = (b"text/plain; charset=utf-8", _text)
_FORMATS = {
    b"application/problem+json": _JSON,
    b"application/json": _JSON,
    b"text/html": _HTML,
    b"text/plain": _TEXT,
}
_OFFERS = tuple(_FORMATS)
