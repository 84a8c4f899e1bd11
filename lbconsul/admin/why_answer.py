"""``/why``: which route a request takes, and why."""

from collections.abc import Mapping

from twisted.web.http import BAD_REQUEST, OK, Request

from lbconsul.admin.responses import HTTPError, answer_json, answer_text, joined
from lbconsul.admin.status_json import plain
from lbconsul.admin.status_model import StatusSource
from lbconsul.admin.why import Question, lines
from lbconsul.errors import CannotExplain


def answer_why(
    source: StatusSource, request: Request, query: Mapping[str, list[str]]
) -> None:
    """Answer as JSON, or as text if the client asks for that.

    `query` has the values of the query string: one ``url``, and as the client wants
    ``method`` and several ``header``.

    :raises HTTPError: no request can be made of them, or no mapping has its port.
    """
    try:
        why = source.why(_question(query))
    except CannotExplain as error:
        sentence = " ".join(str(error).split())
        raise HTTPError(BAD_REQUEST, sentence) from None
    text = "".join(f"{line}\n" for line in lines(why))
    if "text/plain" in joined(request, "accept"):
        answer_text(request, OK, text)
    else:
        answer_json(request, OK, {**plain(why), "text": text})


def _question(query: Mapping[str, list[str]]) -> Question:
    if "url" not in query:
        raise HTTPError(BAD_REQUEST, "url is missing: /why?url=http://HOST:PORT/PATH")
    fields = []
    for each in query.get("header", []):
        name, _, value = each.partition(":")
        fields.append((name, value.strip()))
    method = query.get("method", ["GET"])[-1]
    return Question(query["url"][-1], method, tuple(fields))
