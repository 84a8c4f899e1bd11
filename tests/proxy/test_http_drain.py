"""The end of clients' connections and of instances in HTTP mode, with little harm."""

import pytest

from lbconsul.proxy import http_time_limits
from lbconsul.proxy.http_session import HTTPSession
from lbconsul.stats.termination import Termination
from tests.proxy.test_http_upgrade import upgraded
from tests.support.http_stage import GET, OK, HTTPStage, Peer
from tests.support.upstreams import WEB
from tests.support.waiting import eventually

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"


def tick(stage: HTTPStage) -> None:
    """Close what is due."""
    proxies = stage.proxy.proxies
    stage.proxy.call(lambda: [list(each.tick()) for each in proxies])


def leave(stage: HTTPStage, number: int) -> None:
    """An instance is deregistered."""
    kept = [
        each
        for each in stage.proxy.registry.pool(WEB).upstreams()
        if each.instance.identity.service_id != f"web{number}"
    ]
    instances = [each.instance for each in kept]
    stage.proxy.call(stage.proxy.registry.replace, WEB.query, instances)


def served(stage: HTTPStage) -> tuple[Peer, Peer]:
    """A client and an instance after one request."""
    client = stage.client()
    client.say(GET)
    upstream = stage.upstream()
    upstream.hear()
    upstream.say(OK)
    client.hear_message()
    return client, upstream


def test_a_mapping_that_drains_ends_connections_with_their_responses() -> None:
    """A client learns with its response that the connection ends."""
    with HTTPStage() as stage:
        client, upstream = served(stage)
        stage.proxy.call(stage.proxy.mapped.drain)
        client.say(GET)
        upstream.hear()
        upstream.say(OK)
        assert b"\r\nConnection: close\r\n" in client.hear()
        assert client.hears_end() == b"ok"


@pytest.mark.parametrize("request_", [GET, POST, POST[:-1]])
@pytest.mark.parametrize("overdue", [Termination.SOFT_STOP, Termination.UNMAPPED])
def test_requests_without_a_response_by_the_drain_timeout(
    request_: bytes, overdue: Termination
) -> None:
    """A client whose request has no response by the drain timeout is told so."""
    with HTTPStage(drain_timeout=0.0) as stage:
        client = stage.client()
        client.say(request_)
        upstream = stage.upstream()
        upstream.hear()
        stage.proxy.call(stage.proxy.mapped.drain, overdue)
        tick(stage)
        head, body = client.hear_message()
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nConnection: close\r\n" in head
        assert b"Code: drain-timeout\n" in body
        upstream.hears_end()
        client.end()
        assert client.hears_end() == b""


def test_connections_that_are_closed_at_once_do_not_wait_for_their_clients() -> None:
    """A client that still sends when all is closed does not hold the end up."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(POST[:-1])
        stage.upstream().hear()
        close = stage.proxy.mapped.close_connections
        stage.proxy.call(close, Termination.SOFT_STOP)
        assert not stage.proxy.mapped.sessions
        assert client.hear_message()[0].startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize("has_sent", [False, True])
def test_idle_clients_of_a_mapping_that_drains_end_after_a_while(
    has_sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client without a request loses its connection in order, and not at once."""
    monkeypatch.setattr(http_time_limits, "_GRACE", 0.1)
    with HTTPStage(head_timeout=5.0, idle_timeout=0.4) as stage:
        client = served(stage)[0] if has_sent else stage.client()
        eventually(lambda: stage.proxy.mapped.sessions, "the client is accepted")
        stage.proxy.call(stage.proxy.mapped.drain)
        assert client.hears_end() == b""


def test_kept_connections_of_an_instance_that_leaves_end() -> None:
    """An instance that leaves has no idle connections for long."""
    with HTTPStage(upstreams=1, idle_timeout=0.4) as stage:
        _, upstream = served(stage)
        leave(stage, 0)
        assert upstream.hears_end() == b""


@pytest.mark.parametrize("request_", [GET, POST])
def test_requests_of_an_instance_that_leaves(request_: bytes) -> None:
    """Another instance answers by the drain timeout, if the request may be repeated."""
    with HTTPStage(upstreams=2, drain_timeout=0.0) as stage:
        client, known = stage.client(), dict[int, Peer]()
        client.say(request_)
        number, peer = stage.next_request(known)
        leave(stage, number)
        tick(stage)
        if request_ is GET:
            other = stage.upstream(1 - number)
            other.hear()
            other.say(OK)
            assert client.hear_message()[1] == b"ok"
        else:
            assert client.hear_message()[0].startswith(b"HTTP/1.1 503 ")
        assert peer.hears_end() == b""


def test_a_response_of_an_instance_that_leaves_is_cut() -> None:
    """A response that is not over by the drain timeout does not look complete."""
    with HTTPStage(upstreams=2, drain_timeout=0.0) as stage:
        client, known = stage.client(), dict[int, Peer]()
        client.say(GET)
        number, peer = stage.next_request(known)
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        client.hear()
        leave(stage, number)
        tick(stage)
        with pytest.raises(ConnectionResetError):
            client.hears_end()


def test_max_age_ends_a_kept_connection_with_its_response() -> None:
    """A client of the greatest age gets its response first, then the end."""
    with HTTPStage(max_age=0.4) as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        session = next(iter(stage.proxy.mapped.sessions))
        assert isinstance(session, HTTPSession)
        found = session._exchange
        assert found is not None
        eventually(lambda: found.close, "the age limit")
        upstream.say(OK)
        assert b"\r\nConnection: close\r\n" in client.hear()
        assert client.hears_end() == b"ok"


def test_max_age_ends_an_idle_connection() -> None:
    """A client of the greatest age without a request has its connection ended."""
    with HTTPStage(max_age=0.4) as stage:
        client, _ = served(stage)
        assert client.hears_end() == b""


def test_requests_are_not_moved_to_balance_them() -> None:
    """An instance that joins gets its share anyway; `rebalance` ends no request."""
    with HTTPStage(upstreams=2, rebalance=100.0) as stage:
        assert not stage.proxy.mapped._drain_manager._rebalances


def test_a_limit_of_connections_is_one_of_requests() -> None:
    """An instance gets so many requests at once; a client that leaves the queue has
    none of its sent."""
    with HTTPStage(max_connections_per_upstream=1, half_close_timeout=0.4) as stage:
        client, upstream = served(stage)
        client.say(GET)
        upstream.hear()
        waiting, leaving = stage.client(), stage.client()
        leaving.say(GET.replace(b"/ ", b"/left "))
        queue = stage.proxy.mapped.wait_queue
        eventually(lambda: len(queue) == 1, "one waits")
        waiting.say(GET.replace(b"/ ", b"/next "))
        eventually(lambda: len(queue) == 2, "both wait")
        leaving.close()
        eventually(lambda: len(queue) == 1, "one has left")
        upstream.say(OK)
        assert client.hear_message()[1] == b"ok"
        assert upstream.hear().startswith(b"GET /next ")
        upstream.say(OK)
        assert waiting.hear_message()[1] == b"ok"


@pytest.mark.parametrize("is_soon", [False, True])
def test_the_instance_of_a_route_leaves(*, is_soon: bool) -> None:
    """An upgraded connection of a route ends by the drain timeout of that route."""
    # The stage's registry notes that an instance has left at 0 of the reactor's clock.
    own, others = (0.0, 1e12) if is_soon else (1e12, 0.0)
    routes = {
        "web.example": {"drain_timeout": own},
        "other.example": {"drain_timeout": others},
    }
    with HTTPStage(routes=routes, drain_timeout=others) as stage:
        client, upstream = upgraded(stage)
        leave(stage, 0)
        tick(stage)
        if is_soon:
            upstream.hears_end()
            return
        client.say(b"still here")
        assert upstream.hear_bytes(10) == b"still here"
