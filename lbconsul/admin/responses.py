"""Short HTTP answers: JSON, text and errors, with their headers."""

import re

from attrs import frozen
from twisted.web.http import Request, datetimeToString

from lbconsul.admin.status_json import dumps

#: Security headers of every answer: no framing, no use by other sites, and scripts only
#: from the admin listener itself.
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
        " connect-src 'self'; img-src 'self' data:; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


#: One coding of Accept-Encoding with its quality value (RFC 9110, 12.5.3).
_CODING = re.compile(
    r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*"
    r"(?:;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*)?"
)


def takes_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header allows gzip.

    Elements that do not match the grammar of RFC 9110, 12.5.3, are ignored.
    """
    accepted: dict[str, bool] = {}
    for each in accept_encoding.split(","):
        match = _CODING.fullmatch(each)
        if match is not None:
            accepted[match[1].lower()] = match[2] is None or float(match[2]) > 0
    for name in ("gzip", "x-gzip", "*"):
        if name in accepted:
            return accepted[name]
    return False


def joined(request: Request, name: str) -> str:
    """All values of one header of a request, joined by commas (RFC 9110, 5.3)."""
    values = request.requestHeaders.getRawHeaders(name.encode("ascii"), [])
    return b",".join(values).decode("latin-1")


@frozen
class HTTPError(Exception):
    """A request is refused: the HTTP status, and the reason as a sentence."""

    code: int
    sentence: str
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.sentence


def begin(request: Request, code: int, content_type: str, **headers: str) -> None:
    """Set the status and headers of an answer; ``_`` in a name stands for ``-``."""
    request.setResponseCode(code)
    request.setHeader(b"Date", datetimeToString())
    fields = {"Content-Type": content_type, "Cache-Control": "no-store"} | SECURITY
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in fields.items():
        request.setHeader(name.encode("ascii"), value.encode("latin-1"))


def finish(request: Request, body: bytes) -> None:
    """Write the whole body with its Content-Length, and finish the request."""
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.write(body)
    request.finish()


def answer_json(request: Request, code: int, value: object, **headers: str) -> None:
    """Answer with a value as JSON on one line."""
    begin(request, code, JSON, **headers)
    finish(request, dumps(value).encode("ascii") + b"\n")


def answer_text(request: Request, code: int, text: str) -> None:
    """Answer with plain text."""
    begin(request, code, TEXT)
    finish(request, text.encode())


def refuse(request: Request, refusal: HTTPError) -> None:
    """Answer with an error, as JSON with the reason under ``error``."""
    headers = {name.replace("-", "_"): value for name, value in refusal.headers}
    answer_json(request, refusal.code, {"error": refusal.sentence}, **headers)
