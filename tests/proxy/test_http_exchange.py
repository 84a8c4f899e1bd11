"""Exchanges: how a request finds its upstream, and what a client learns if not."""

import pytest

from lbconsul.proxy import http_exchange
from tests.support.http_stage import GET, OK, HTTPStage, Peer
from tests.support.waiting import eventually


def test_a_kept_connection_that_has_ended_costs_no_request() -> None:
    """A request comes to an instance although that has ended the kept connection."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(OK)
        client.hear_message()
        client.say(GET)
        upstream.hear()
        upstream.close()  # it read the request, and answers nothing
        exchange_at = stage.upstream()
        exchange_at.hear()
        exchange_at.say(OK)
        assert client.hear_message()[1] == b"ok"


def test_no_upstream_is_told() -> None:
    """A client learns that there is no instance, and keeps its connection."""
    with HTTPStage() as stage:
        stage.refuse()
        client = stage.client()
        for _ in range(2):
            client.say(GET)
            assert client.hear_message()[0].startswith(b"HTTP/1.1 503 ")


def test_interim_responses_pass() -> None:
    """A client that waits for 100 (Continue) gets that of its instance."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(
            b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        upstream = stage.upstream()
        assert b"\r\nExpect: 100-continue\r\n" in upstream.hear()
        upstream.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert client.hear() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.say(b"abc")
        assert upstream.hear_bytes(3) == b"abc"
        upstream.say(OK)
        assert client.hear_message()[1] == b"ok"


def test_an_early_response_ends_the_upload() -> None:
    """A client may be refused before it has sent its body, and learns why."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\nabc")
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(
            b"HTTP/1.1 413 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        upstream.close()
        assert client.hear_message()[0].startswith(b"HTTP/1.1 413 No\r\n")
        client.say(b"more")
        client.end()
        assert client.hears_end() == b""


def _is_ejected(stage: HTTPStage, number: int = 0) -> bool:
    [pool] = stage.proxy.mapped.dialer.failover.pools
    names = [each.instance.identity.service_id for each in pool.ejected]
    return f"web{number}" in names


def test_server_errors_eject_an_instance() -> None:
    """An instance that answers with errors only gets no more requests."""
    with HTTPStage(upstreams=2, eject_5xx=2) as stage:
        client, upstreams = stage.client(), dict[int, Peer]()
        heard = []
        for _ in range(12):
            client.say(GET)
            number, upstream = stage.next_request(upstreams)
            upstream.say(OK if number else OK.replace(b"200", b"500"))
            heard.append(client.hear_message()[0][9:12])
        assert heard.count(b"500") == 2
        assert _is_ejected(stage)


def test_timeouts_eject_an_instance() -> None:
    """An instance that accepts and never answers gets no more requests."""
    with HTTPStage(upstreams=2, eject_5xx=1, response_timeout=0.2) as stage:
        client = stage.client()
        heard = [b"200"]
        upstreams = dict[int, Peer]()
        while heard[-1] == b"200":
            client.say(GET)
            number, upstream = stage.next_request(upstreams)
            if number:
                upstream.say(OK)
            heard.append(client.hear_message()[0][9:12])
        assert heard[-1] == b"504"
        assert _is_ejected(stage)


def _eject(stage: HTTPStage) -> None:
    """Have the first instance wait for a probe."""
    [pool] = stage.proxy.mapped.dialer.failover.pools
    found = [
        each for each in pool.upstreams() if each.instance.identity.service_id == "web0"
    ]

    def eject() -> None:
        assert pool.eject(found[0].instance.identity) == ""
        pool._outliers.hasten()

    stage.proxy.call(eject)


@pytest.mark.parametrize("status", [b"200", b"503"])
def test_a_probe_that_is_answered_ends_the_ejection(status: bytes) -> None:
    """One request goes to an ejected instance, and its response restores it."""
    with HTTPStage(upstreams=2) as stage:
        _eject(stage)
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream(0)
        upstream.hear()
        assert _is_ejected(stage)
        upstream.say(OK.replace(b"200", status))
        client.hear_message()
        assert not _is_ejected(stage)


def test_a_probe_without_an_answer_fails() -> None:
    """An instance that accepts, and never answers its probe, stays ejected."""
    with HTTPStage(upstreams=2, response_timeout=0.2) as stage:
        _eject(stage)
        client = stage.client()
        client.say(GET)
        stage.upstream(0).hear()
        assert client.hear_message()[0].startswith(b"HTTP/1.1 504 ")
        [pool] = stage.proxy.mapped.dialer.failover.pools
        [upstream] = pool.ejected
        assert upstream.record is not None
        assert (upstream.record.ejections, upstream.record.probe) == (2, None)


def test_a_probe_that_takes_long_lets_another_follow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A request that waits for long does not keep its instance ejected."""
    monkeypatch.setattr(http_exchange, "PROBE_TIMEOUT", 0.0)
    with HTTPStage(upstreams=2, response_timeout=0.4) as stage:
        _eject(stage)
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream(0)
        upstream.hear()
        [pool] = stage.proxy.mapped.dialer.failover.pools
        [ejected] = pool.ejected
        record = ejected.record
        assert record is not None
        eventually(lambda: record.probe is None, "the probe is put off")
        upstream.say(OK)
        client.hear_message()
        assert not _is_ejected(stage)


def test_a_bad_response_fails_a_probe() -> None:
    """An instance whose answer to the probe is not HTTP stays ejected."""
    with HTTPStage(upstreams=2) as stage:
        _eject(stage)
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream(0)
        upstream.hear()
        upstream.say(b"SSH-2.0-OpenSSH\r\n")
        assert client.hear_message()[0].startswith(b"HTTP/1.1 502 ")
        assert _is_ejected(stage)


def test_a_first_connection_that_ends_at_once_counts() -> None:
    """An instance that ends new connections without an answer is ejected."""
    with HTTPStage(upstreams=2) as stage:
        client, upstreams, heard = stage.client(), dict[int, Peer](), list[bytes]()
        while heard.count(b"502") < 6:
            client.say(GET)
            number, upstream = stage.next_request(upstreams)
            if number:
                upstream.say(OK)
            else:
                del upstreams[0]
                upstream.close()
            heard.append(client.hear_message()[0][9:12])
        assert _is_ejected(stage)
