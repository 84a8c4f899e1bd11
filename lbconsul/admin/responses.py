"""How requests are answered."""

import re

from attrs import frozen
from twisted.web.http import Request, datetimeToString

from lbconsul.admin.plain import dumps

#: What every answer says to browsers: that nobody may frame it, nor learn of it from
#: another site, and that what comes with it runs only if it is our own.
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


#: One of the codings that a client takes, and how gladly (RFC 9110, 12.5.3).
_CODING = re.compile(
    r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*"
    r"(?:;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*)?"
)


def takes_gzip(accept_encoding: str) -> bool:
    """Whether a client that says so takes an answer in the format of gzip(1).

    What is not written as RFC 9110 wants it, in 12.5.3, is not understood.
    """
    said: dict[str, bool] = {}
    for each in accept_encoding.split(","):
        match = _CODING.fullmatch(each)
        if match is not None:
            said[match[1].lower()] = match[2] is None or float(match[2]) > 0
    for name in ("gzip", "x-gzip", "*"):
        if name in said:
            return said[name]
    return False


def joined(request: Request, name: str) -> str:
    """All that a request says under the name of one header (RFC 9110, 5.3)."""
    values = request.requestHeaders.getRawHeaders(name.encode("ascii"), [])
    return b",".join(values).decode("latin-1")


@frozen
class HTTPError(Exception):
    """A request that is not done: why not, in a sentence."""

    code: int
    sentence: str
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.sentence


def begin(request: Request, code: int, content_type: str, **headers: str) -> None:
    """Say what is to come."""
    request.setResponseCode(code)
    request.setHeader(b"Date", datetimeToString())
    told = {"Content-Type": content_type, "Cache-Control": "no-store"} | SECURITY
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in told.items():
        request.setHeader(name.encode("ascii"), value.encode("latin-1"))


def finish(request: Request, body: bytes) -> None:
    """All that was to come is this."""
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.write(body)
    request.finish()


def answer_json(request: Request, code: int, value: object, **headers: str) -> None:
    """A short answer, as JSON on one line."""
    begin(request, code, JSON, **headers)
    finish(request, dumps(value).encode("ascii") + b"\n")


def answer_text(request: Request, code: int, text: str) -> None:
    """A short answer, as lines of text."""
    begin(request, code, TEXT)
    finish(request, text.encode())


def refuse(request: Request, refusal: HTTPError) -> None:
    """Say why not."""
    headers = {name.replace("-", "_"): value for name, value in refusal.headers}
    answer_json(request, refusal.code, {"error": refusal.sentence}, **headers)
