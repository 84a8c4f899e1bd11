"""The client's connection in HTTP mode: how it ends where the client is gone."""

import pytest
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from lbconsul.proxy.http_session import HTTPSession
from lbconsul.proxy.http_upstream import UpstreamConnection
from lbconsul.stats.termination import Termination
from tests.support.http_stage import GET, OK, HTTPStage
from tests.support.waiting import eventually

LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n"


def fail(*args: object) -> None:
    """Send, or watch, in vain."""
    raise ConnectionResetError


def ends_as(stage: HTTPStage, *terminations: Termination) -> None:
    """The only connection ends, in one of these ways."""
    stage.proxy.wait_until_open(0)
    (code,) = stage.proxy.mapped.stats.endings
    assert code in {each.code for each in terminations}


@pytest.mark.parametrize(
    ("response", "termination"),
    [
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", Termination.CLIENT_LEFT_RESPONSE),
        (OK, Termination.CLIENT_RESET),
    ],
)
def test_a_client_that_is_gone_gets_no_response(
    response: bytes, termination: Termination, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that is gone when its response comes is counted as one that left."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        for way in ("send", "send_message"):
            monkeypatch.setattr(HTTPSession, way, fail)
        upstream.say(response)
        ends_as(stage, termination)


def test_a_client_may_go_during_a_long_response(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client that goes during a response that is spliced ends it."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(LONG)
        client.hear()
        monkeypatch.setattr(HTTPSession, "send_pipe", fail)
        upstream.say(b"x")
        ends_as(stage, Termination.CLIENT_RESET)


@pytest.mark.parametrize("request_", [GET, b"GET /\r\n\r\n"])
def test_a_client_that_is_gone_gets_no_answer(
    request_: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client is gone before it learns that its request was not served."""
    monkeypatch.setattr(HTTPSession, "send", fail)
    with HTTPStage() as stage:
        stage.refuse()
        stage.client().say(request_)
        ends_as(stage, Termination.CLIENT_RESET)


@pytest.mark.parametrize(
    ("error", "termination"),
    [
        (ConnectionDone(), Termination.HARD_STOP),
        (RuntimeError(), Termination.INTERNAL),
    ],
)
@pytest.mark.parametrize("side", ["client", "upstream"])
def test_the_reactor_ends_a_connection(
    side: str, error: Exception, termination: Termination
) -> None:
    """A reactor that stops, or a bug, ends both connections of an exchange."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        session = stage.session()
        assert session._exchange is not None
        sides = {"client": session, "upstream": session._exchange.upstream}
        ended = sides[side]
        assert ended is not None
        stage.proxy.call(ended.connectionLost, Failure(error))
        assert upstream.hears_end() == b""
        ends_as(stage, termination)


def test_a_client_that_cannot_be_watched_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client for which the kernel has no room loses its connection."""
    monkeypatch.setattr(HTTPSession, "resume", fail)
    with HTTPStage() as stage:
        client = stage.client()
        assert client.hears_end() == b""
        ends_as(stage, Termination.STARVED)


def test_an_instance_that_cannot_be_watched_gets_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client learns that the proxy has no room for a connection to an instance."""
    monkeypatch.setattr(UpstreamConnection, "resume", fail)
    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET)
        assert client.hear_message()[0].startswith(b"HTTP/1.1 503 ")
        assert stage.upstream().hears_end() == b""


def test_an_end_while_a_response_is_awaited_is_no_abort() -> None:
    """A client that ends its direction behind its request gets the response."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        client.end()
        eventually(lambda: stage.session().has_ended, "the end has come")
        upstream.say(OK)
        assert client.hear_message()[1] == b"ok"
        assert client.hears_end() == b""
        ends_as(stage, Termination.DONE)


@pytest.mark.parametrize(
    ("sent", "termination"),
    [
        (GET[:9], Termination.FIRST_BYTE_LEFT),
        (
            b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
            Termination.CLIENT_LEFT_RESPONSE,
        ),
    ],
)
def test_a_request_that_is_cut_is_not_served(
    sent: bytes, termination: Termination
) -> None:
    """A client that ends its direction within a request loses its connection."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(sent)
        if termination is Termination.CLIENT_LEFT_RESPONSE:
            stage.upstream().hear()
        client.end()
        ends_as(stage, termination)


def test_a_body_that_turns_bad_ends_its_response() -> None:
    """A request whose chunks are malformed ends, though its response has begun."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(LONG)
        client.hear()
        client.say(b"nonsense\r\n")
        with pytest.raises(ConnectionResetError):
            client.hears_end()
        ends_as(stage, Termination.BAD_BODY)
