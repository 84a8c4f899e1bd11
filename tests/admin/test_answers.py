"""How requests are answered."""

from twisted.web.http import Request

from lbconsul.admin.answers import Refusal, answer_json, answer_text, refuse
from lbconsul.admin.site import AdminFactory
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
    refusal = Refusal(405, "not so", (("Allow", "GET"),))
    said = _answer(lambda request: refuse(request, refusal))
    assert (said.code, said.error, said.headers["Allow"]) == (405, "not so", "GET")
    assert str(refusal) == "not so"
