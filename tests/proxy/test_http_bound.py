"""Authentication that holds for a connection: it stays with the client that made it."""

import pytest
from attrs import evolve

from lbconsul.proxy.http_bound import BoundUpstream
from tests.support.http_stage import GET, OK, HTTPStage, Peer, exchange
from tests.support.upstreams import WEB
from tests.support.waiting import eventually

CHALLENGE = (
    b"HTTP/1.1 401 No\r\nContent-Length: 0\r\nWWW-Authenticate: Negotiate, NTLM\r\n\r\n"
)
NTLM = GET[:-2] + b"Authorization: NTLM TlRMTVNTUAAB\r\n\r\n"


def challenged(stage: HTTPStage) -> tuple[Peer, Peer]:
    """A client that an instance asks for authentication, and the connection."""
    client = stage.client()
    client.say(GET)
    upstream = stage.upstream()
    upstream.hear()
    upstream.say(CHALLENGE)
    client.hear()
    return client, upstream


def bound_of(stage: HTTPStage) -> BoundUpstream:
    """What the only client has to itself."""
    eventually(lambda: stage.session().bound, "the response is over")
    bound = stage.session().bound
    assert bound is not None
    return bound


def test_a_handshake_has_one_connection_for_its_requests() -> None:
    """All requests of a client come on the connection that knows it; no others do."""
    with HTTPStage() as stage:
        client, upstream = challenged(stage)
        assert stage.proxy.opens() == {"web0": 1}
        other = stage.client()
        other.say(GET)
        shared = stage.upstream()
        shared.hear()
        shared.say(OK)
        other.hear_message()
        for request in (NTLM, NTLM, GET):
            exchange(client, upstream, request)
            exchange(other, shared)
        client.close()
        assert upstream.hears_end() == b""
        eventually(lambda: stage.proxy.opens() == {"web0": 0}, "the end is counted")


@pytest.mark.parametrize("scheme", [b"NTLM YQ==", b"negotiate YQ=="])
def test_a_client_may_begin_without_being_asked(scheme: bytes) -> None:
    """A request that authenticates has its connection to itself from then on."""
    with HTTPStage() as stage:
        client, other = stage.client(), stage.client()
        client.say(NTLM.replace(b"NTLM TlRMTVNTUAAB", scheme))
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(OK)
        client.hear_message()
        other.say(GET)
        stage.upstream().hear()
        exchange(client, upstream)


def test_other_schemes_are_of_the_request() -> None:
    """A request with a password or a token leaves its connection to others."""
    with HTTPStage() as stage:
        client, other = stage.client(), stage.client()
        client.say(NTLM.replace(b"NTLM", b"Bearer"))
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(OK)
        client.hear_message()
        exchange(other, upstream)


def test_a_client_that_leaves_with_its_response_leaves_no_connection() -> None:
    """A connection that knows a client ends with the last response."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(NTLM[:-2] + b"Connection: close\r\n\r\n")
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(OK)
        assert client.hears_end().endswith(b"ok")
        assert upstream.hears_end() == b""


def test_a_connection_that_has_ended_is_replaced() -> None:
    """A client whose instance has ended the connection gets another one."""
    with HTTPStage() as stage:
        client, upstream = challenged(stage)
        bound = bound_of(stage)
        upstream.close()
        eventually(lambda: not bound.is_usable, "the end is seen")
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(OK)
        assert client.hear_message()[1] == b"ok"
        eventually(lambda: stage.proxy.opens() == {"web0": 0}, "nothing is in use")


def test_requests_of_other_routes_go_elsewhere() -> None:
    """A connection of one route gets no request of another one."""
    with HTTPStage() as stage:
        client, upstream = challenged(stage)
        bound = bound_of(stage)
        http = stage.proxy.mapped.http
        assert http is not None
        stage.session().bound = evolve(bound, settings=evolve(http))
        client.say(GET)
        other = stage.upstream()
        other.hear()
        other.say(CHALLENGE)
        client.hear()
        assert upstream.hears_end() == b""
        exchange(client, other)


def test_an_instance_that_left_gets_no_more_of_its_clients() -> None:
    """A client whose instance has left Consul goes to another one."""
    with HTTPStage(upstreams=2) as stage:
        client, known = stage.client(), dict[int, Peer]()
        client.say(GET)
        number, upstream = stage.next_request(known)
        upstream.say(CHALLENGE)
        client.hear()
        kept = [
            each.instance
            for each in stage.proxy.registry.pool(WEB).upstreams()
            if each.instance.identity.service_id != f"web{number}"
        ]
        stage.proxy.call(stage.proxy.registry.replace, WEB.query, kept)
        client.say(GET)
        upstream = stage.upstream(1 - number)
        upstream.hear()
        upstream.say(OK)
        assert client.hear_message()[1] == b"ok"
