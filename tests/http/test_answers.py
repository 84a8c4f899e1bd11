"""The answers that a balancer gives itself."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from lbconsul.config.rewriting import ERROR_STATUSES, ErrorPage
from lbconsul.config.rewriting_values import PAGE_TYPES
from lbconsul.errors import ConfigError
from lbconsul.http.answers import Answers, Page, page, read_pages
from lbconsul.http.head import Limits
from lbconsul.http.response import ResponseHead, ResponseParser, response_fields

STATUSES = (
    400, 401, 403, 404, 408, 413, 414, 417, 421, 429, 431, 500, 501, 502, 503, 504, 505,
)  # fmt: skip

EVIL = b'<script>"\xe4\\'


def parsed(answer: bytes, is_of_head: bool = False) -> tuple[ResponseHead, bytes]:
    """The head of an answer, as our own parser takes it, and what follows."""
    head = ResponseParser(response_fields(), Limits()).parse(answer, 0, is_of_head)
    assert head is not None
    return head, answer[len(head.raw) :]


def answered(
    status: int,
    accept: bytes = b"",
    pages: Mapping[int, Page] | None = None,
    **options: Any,
) -> tuple[str, str]:
    """The lines of an answer's head, and its body."""
    given = {"request_id": b"r-1", "close": False, "is_head": False, **options}
    answer = Answers(lambda: 0.0, pages or {}).answer(status, accept=accept, **given)
    head, body = parsed(answer, given["is_head"])
    assert head.status == status
    if not given["is_head"]:
        assert head.fields.body == len(body)
    return head.fields.raw.decode("latin-1"), body.decode()


@pytest.mark.parametrize("accept", [b"text/html", b"application/json", b"*/*"])
@pytest.mark.parametrize("status", STATUSES)
def test_every_status(status: int, accept: bytes) -> None:
    """Each error has a short body that names it, and is kept by no cache."""
    lines, body = answered(status, accept)
    assert str(status) in body and "r-1" in body
    assert len(body) < 600
    assert "Cache-Control: no-store\r\n" in lines
    assert "X-Request-ID: r-1\r\n" in lines
    assert "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n" in lines
    assert "Connection" not in lines
    assert ("Retry-After: 5\r\n" in lines) == (status == 503)


def test_html() -> None:
    """A browser gets a page."""
    lines, body = answered(502, b"text/html,*/*;q=0.8", reason_code="upstream-reset")
    assert "Content-Type: text/html; charset=utf-8\r\n" in lines
    assert "<title>502 Bad Gateway</title>" in body
    assert "<p><small>Code: upstream-reset</small></p>" in body
    assert "<p><small>Request: r-1</small></p>" in body


def test_json() -> None:
    """A program that asks for JSON gets a problem of RFC 9457."""
    for accept in (b"application/json", b"application/problem+json"):
        lines, body = answered(504, accept, reason_code="response-timeout")
        assert "Content-Type: application/problem+json\r\n" in lines
        assert json.loads(body) == {
            "title": "Gateway Timeout",
            "status": 504,
            "detail": "The server did not respond in time.",
            "code": "response-timeout",
            "request_id": "r-1",
        }


def test_text() -> None:
    """Others, such as curl, get plain text."""
    lines, body = answered(404, b"*/*", reason_code="no-route")
    assert "Content-Type: text/plain; charset=utf-8\r\n" in lines
    assert body == (
        "404 Not Found\nNothing is served under this address.\nCode: no-route\n"
        "Request: r-1\n"
    )


@pytest.mark.parametrize("accept", [b"text/html", b"application/json", b"*/*"])
def test_without_id(accept: bytes) -> None:
    """An answer to what is no request has no id."""
    lines, body = answered(400, accept, request_id=b"")
    assert "X-Request-ID" not in lines
    assert "request" not in body.replace("The request", "").lower().replace(
        "bad request", ""
    )


def test_escaped() -> None:
    """An id of a trusted proxy cannot write into the page."""
    _, body = answered(503, b"text/html", request_id=EVIL)
    assert "&lt;script&gt;&quot;ä\\" in body
    _, body = answered(503, b"application/json", request_id=EVIL)
    assert json.loads(body)["request_id"] == EVIL.decode("latin-1")


def test_end_of_connection() -> None:
    """The client is told if the connection ends with the answer."""
    lines, _ = answered(408, close=True)
    assert "Connection: close\r\n" in lines


def test_head() -> None:
    """The answer to HEAD has the fields of the answer to GET, and no body."""
    lines, body = answered(404)
    assert answered(404, is_head=True) == (lines, "")
    assert f"Content-Length: {len(body)}\r\n" in lines


def test_further_fields() -> None:
    """Further fields are among the others."""
    lines, _ = answered(429, extra=b"Retry-After: 60\r\nX-A: b\r\n")
    assert "Retry-After: 60\r\nX-A: b\r\n" in lines


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect(status: int) -> None:
    """A redirect leads elsewhere, and has no body."""
    answer = Answers(lambda: 0.0).redirect(
        status,
        b"https://a/b",
        request_id=b"",
        close=True,
        extra=b"X-A: b\r\n",
    )
    head, body = parsed(answer)
    assert (head.status, body) == (status, b"")
    assert head.fields.raw == (
        b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
        b"Content-Length: 0\r\nLocation: https://a/b\r\nX-A: b\r\n"
        b"Connection: close\r\n\r\n"
    )


class TestPages:
    """Bodies from files."""

    def test_read(self) -> None:
        """Each file is read once, up to 64 KiB."""
        files = {"/a.html": b"a", "/b.txt": b"b"}

        def read(path: str, most: int) -> bytes:
            assert most == 65536
            return files.pop(path)

        pages = ErrorPage(503, "/a.html"), ErrorPage(502, "/b.txt")
        assert read_pages("80:web", pages, read) == {
            503: page("/a.html", b"a"),
            502: page("/b.txt", b"b"),
        }

    @pytest.mark.parametrize(
        ("error", "why"),
        [
            (OSError(2, "No such file or directory"), "No such file or directory"),
            (OSError("odd"), "odd"),
        ],
    )
    def test_unreadable(self, error: OSError, why: str) -> None:
        """A file that cannot be read is one line."""

        def read(path: str, most: int) -> bytes:
            raise error

        with pytest.raises(ConfigError) as raised:
            read_pages("80:web", [ErrorPage(503, "/a.html")], read)
        assert str(raised.value) == (
            f"80:web: error-page /a.html: cannot be read: {why}"
        )

    def test_options(self) -> None:
        """The option takes the errors and the types of files that there are."""
        assert STATUSES == ERROR_STATUSES
        for suffix in PAGE_TYPES:
            assert page(f"a{suffix}", b"").content_type

    def test_placeholders(self) -> None:
        """The status, its reason and the id are written into the page."""
        pages = {503: page("/e/503.html", b"<h1>{status} {reason}</h1>{request_id}")}
        lines, body = answered(503, b"application/json", pages, request_id=b"a&b")
        assert "Content-Type: text/html; charset=utf-8\r\n" in lines
        assert body == "<h1>503 Service Unavailable</h1>a&amp;b"

    def test_others(self) -> None:
        """A page replaces the error of its status alone."""
        pages = {503: page("/e/503.html", b"none")}
        assert answered(502, b"", pages)[1].startswith("502 Bad Gateway\n")

    def test_without_placeholders(self) -> None:
        """Other bytes of a page are sent as they are."""
        body = b"\xff\x00{other} {"
        pages = {404: page("a.TXT", body)}
        answer = Answers(lambda: 0.0, pages).answer(
            404, accept=b"", request_id=b"", close=False, is_head=False
        )
        assert parsed(answer)[1] == body

    @pytest.mark.parametrize(
        ("path", "content_type", "expected"),
        [
            ("a.html", "text/html; charset=utf-8", "&lt;script&gt;&quot;ä\\"),
            ("a.b.JSON", "application/json", '<script>\\"\\u00e4\\\\'),
            ("a.txt", "text/plain; charset=utf-8", '<script>"ä\\'),
            ("a.xml", "application/xml", "&lt;script&gt;&quot;ä\\"),
        ],
    )
    def test_types(self, path: str, content_type: str, expected: str) -> None:
        """The extension tells the type, and so how text is escaped."""
        pages = {400: page(path, b"{request_id}")}
        lines, body = answered(400, b"", pages, request_id=EVIL)
        assert f"Content-Type: {content_type}\r\n" in lines
        assert body == expected
