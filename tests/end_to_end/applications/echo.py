"""A WSGI application that answers with the body of the request."""

from collections.abc import Callable, Iterable
from typing import Any


def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """Answer, in chunks: the length is not told."""
    seen = f"{environ['REQUEST_METHOD']} {environ['RAW_URI']}"
    seen += f" {environ.get('HTTP_X_FORWARDED_FOR')}"
    kind = environ.get("CONTENT_TYPE") or "text/plain"
    start("200 OK", [("Content-Type", kind), ("X-Seen", seen)])
    while part := environ["wsgi.input"].read(65536):
        yield part
