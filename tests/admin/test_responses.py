"""How requests are answered."""

import pytest
from twisted.web.http import Request

from lbconsul.admin.http_server import AdminFactory
from lbconsul.admin.responses import (
    HTTPError,
    answer_json,
    answer_text,
    refuse,
    takes_gzip,
)
from tests.support.admin_client import Answer, Site


def _answer(respond: object) -> Answer:
    def answer(request: Request) -> None:
        assert callable(respond)
        respond(request)

    site = Site()
    site.factory = AdminFactory(site.clock, answer)
    return site.ask("GET", "/")


def test_json() -> None:
    """A short answer is one line of JSON, and says how long it is."""
    said = _answer(lambda request: answer_json(request, 200, {"a": "ü"}))
    assert said.body == b'{"a":"\\u00fc"}\n'
    assert said.headers["Content-Type"] == "application/json"
    assert said.headers["Content-Length"] == str(len(said.body))


def test_text() -> None:
    """Or it is lines of text."""
    said = _answer(lambda request: answer_text(request, 503, "ü\n"))
    assert (said.code, said.text) == (503, "ü\n")
    assert said.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_refusing() -> None:
    """A refusal says why in one sentence, and what else the code demands."""
    refusal = HTTPError(405, "not so", (("Allow", "GET"),))
    said = _answer(lambda request: refuse(request, refusal))
    assert (said.code, said.error, said.headers["Allow"]) == (405, "not so", "GET")
    assert str(refusal) == "not so"


@pytest.mark.parametrize(
    ("said", "takes"),
    [
        ("", False), ("gzip", True), ("GZip", True), ("x-gzip", True), ("*", True),
        ("identity", False), ("deflate, br", False), ("gzip;q=0", False),
        ("gzip;q=0.000", False), ("gzip ; q=0.001", True), ("gzip;Q=1.000", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True), ("*;q=0", False),
        ("gzip;q=0, *", False), ("*;q=0, gzip", True), ("gzip;q=1.5", False),
        ("gzip;q=-1", False), ("gzip;q=", False), ("gzip;level=9", False),
        ("gzipped", False), ("gzip gzip", False), (",, gzip ,,", True),
        ("gzip;q=" + "9" * 5000, False), ("\udcff", False),
    ],
)  # fmt: skip
def test_takes_gzip(said: str, takes: bool) -> None:
    """A client gets what it takes, however it says so, and nothing else."""
    assert takes_gzip(said) is takes
