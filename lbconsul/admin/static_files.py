"""The files of the admin page, from the package's data."""

import hashlib
from functools import cache
from gzip import compress
from importlib.resources import files

from attrs import frozen
from twisted.web.http import NOT_MODIFIED, OK, Request

from lbconsul.admin.responses import begin, finish, joined, takes_gzip

#: Content types by file suffix; files with other suffixes are not served.
_KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "webmanifest": "application/manifest+json",
}


@frozen
class Page:
    """One file of the admin page."""

    content_type: str
    body: bytes
    etag: str


@cache
def pages() -> dict[str, Page]:
    """The files by URL path; ``/`` is ``index.html``."""
    found = {}
    directory = files("lbconsul.admin").joinpath("page")
    for each in directory.iterdir() if directory.is_dir() else ():
        kind = _KINDS.get(each.name.rpartition(".")[2])
        if kind is not None and each.is_file():
            found[f"/{each.name}"] = _page(kind, each.read_bytes())
    if "/index.html" in found:
        found["/"] = found["/index.html"]
    return found


@cache
def packed(page: Page) -> Page:
    """The file in the format of gzip(1); compressed once, on first use."""
    return _page(page.content_type, compress(page.body, mtime=0))


def _page(content_type: str, body: bytes) -> Page:
    return Page(content_type, body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def answer_page(request: Request, page: Page) -> None:
    """Send a file, or 304 if the browser has this version (If-None-Match)."""
    more = {"Cache_Control": "no-cache", "Vary": "Accept-Encoding"}
    if takes_gzip(joined(request, "accept-encoding")):
        page = packed(page)
        more["Content_Encoding"] = "gzip"
    known = joined(request, "if-none-match")
    has_it = page.etag in [each.strip().removeprefix("W/") for each in known.split(",")]
    code = NOT_MODIFIED if has_it else OK
    begin(request, code, page.content_type, ETag=page.etag, **more)
    if has_it:
        request.finish()
    else:
        finish(request, page.body)
