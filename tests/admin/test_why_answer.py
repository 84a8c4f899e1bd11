"""What ``/why`` is asked, and how it answers."""

import pytest

from lbconsul.admin.why import Question
from lbconsul.config.listen import TCPListen
from tests.support.admin_client import Site

WHY = "/why?url=http%3A%2F%2Fexample.com%2Fa%3Fb%3Dc"


def test_json() -> None:
    """The answer has each mapping and its candidates, and all of it as text."""
    told = Site().ask("GET", WHY).value
    assert told["url"] == "http://example.com/a?b=c"
    [mapping] = told["mappings"]
    assert mapping["winner"]["name"] == "80:example.com=web"
    assert mapping["candidates"] == [mapping["winner"]]
    assert told["text"].startswith("GET http://example.com/a?b=c\n\n80:- on")


def test_text() -> None:
    """A client that asks for text gets that alone."""
    told = Site().ask("GET", WHY, [("Accept", "text/plain")])
    assert told.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert told.text == Site().ask("GET", WHY).value["text"]


def test_question() -> None:
    """Method and fields may be given."""
    site = Site()
    site.ask("GET", f"{WHY}&method=POST&header=X-A:%201&header=X-B:2&header=odd")
    site.ask("GET", WHY)
    url = "http://example.com/a?b=c"
    assert site.source.questions == [
        Question(url, "POST", (("X-A", "1"), ("X-B", "2"), ("odd", ""))),
        Question(url),
    ]


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/why", "url is missing: /why?url=http://HOST:PORT/PATH"),
        ("/why?url=", "url is missing: /why?url=http://HOST:PORT/PATH"),
        ("/why?url=x", "url: 'x' must be http://..."),
    ],
)
def test_no_request(path: str, error: str) -> None:
    """Where no request can be made of it, one line says why."""
    told = Site().ask("GET", path)
    assert (told.code, told.error) == (400, error)


def test_access() -> None:
    """The answer is for those who may read the status."""
    site = Site(TCPListen("0.0.0.0", 9200))
    assert site.ask("GET", WHY).code == 401
    token = ("Authorization", "Bearer s3cret")
    assert site.ask("GET", WHY, [token]).code == 200
