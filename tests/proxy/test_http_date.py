"""The Date of responses: their server's, else the gateway's (RFC 9110, 6.6.1)."""

from collections.abc import Iterator

import pytest

from lbconsul.http.date import DateLine
from tests.support.http_stage import DATE, GET, OK, HTTPStage

#: Seconds since the epoch, and what the gateway says then.
NOW = 784111778
LINES = [b"Date: Sun, 06 Nov 1994 08:49:%d GMT" % n for n in range(38, 60)]

#: The lines of a Date.
Lines = list[bytes]

LENGTH = b"Content-Length: 2\r\n\r\nok"


@pytest.fixture(params=[True, False], ids=["ordinary", "exchange"])
def stage(request: pytest.FixtureRequest) -> Iterator[HTTPStage]:
    """A mapping, where each look at the clock is a second later than the last one."""
    with HTTPStage() as stage:
        settings = stage.proxy.mapped.http
        assert settings is not None
        settings.is_ordinary = request.param
        later = iter(range(NOW, NOW + 99))
        settings.answers.date = DateLine(lambda: float(next(later)))
        yield stage


def dates(stage: HTTPStage, *responses: bytes, request: bytes = GET) -> list[Lines]:
    """The lines of a Date that a client hears in each response."""
    client, found, upstream = stage.client(), [], None
    for response in responses:
        client.say(request)
        upstream = upstream or stage.upstream()
        upstream.hear()
        upstream.say(response)
        lines = client.hear().split(b"\r\n")
        found.append([each for each in lines if each.lower().startswith(b"date:")])
        if response.endswith(b"ok"):
            client.hear(b"ok")
    return found


def test_a_response_without_a_date_gets_one(stage: HTTPStage) -> None:
    """It says when the response came, each time, though the response is the same."""
    response = b"HTTP/1.1 200 OK\r\n" + LENGTH
    assert dates(stage, *[response] * 3) == [[each] for each in LINES[:3]]


@pytest.mark.parametrize("date", [DATE, DATE.lower(), b"DATE:\r\n", b"date: never\r\n"])
def test_a_date_stays_as_it_is(stage: HTTPStage, date: bytes) -> None:
    """What the server says is passed on, however it is spelt, and nothing beside it."""
    response = b"HTTP/1.1 200 OK\r\nServer: x\r\n%b%b" % (date, LENGTH)
    assert dates(stage, response, response) == [[date[:-2]]] * 2


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.0 404 No\r\n" + LENGTH,
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        b"HTTP/1.1 500 Oh\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n" + LENGTH,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: date\r\n%b%b" % (DATE, LENGTH),
        b"HTTP/1.1 200 OK\r\n\r\nok",
    ],
)
def test_responses_of_all_kinds(stage: HTTPStage, response: bytes) -> None:
    """Any response without a Date gets one, and only one."""
    assert dates(stage, response) == [LINES[:1]]


def test_clients_of_http_1_0(stage: HTTPStage) -> None:
    """A client of HTTP/1.0 gets one, too."""
    request = GET.replace(b"1.1", b"1.0")
    assert dates(stage, b"HTTP/1.1 200 OK\r\n" + LENGTH, request=request) == [LINES[:1]]


def test_interim_responses_have_none(stage: HTTPStage) -> None:
    """A response below 200 is passed on without: the final one has it."""
    client = stage.client()
    client.say(GET)
    upstream = stage.upstream()
    upstream.hear()
    upstream.say(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)
    assert client.hear() == b"HTTP/1.1 103 Early Hints\r\n\r\n"
    assert client.hear_message()[0].count(DATE) == 1


def test_the_operator_may_remove_it() -> None:
    """Where the mapping removes Date, the gateway adds none."""
    with HTTPStage(remove_response_header=("Date",)) as stage:
        found = dates(stage, OK, b"HTTP/1.1 200 OK\r\n" + LENGTH)
        assert found == [[], []]
