"""Operations of TLS that wait for the other event than a plain socket's would."""

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from OpenSSL import SSL
from twisted.internet.interfaces import IReadWriteDescriptor
from zope.interface.verify import verifyObject

from lbconsul.stats.termination import Termination
from lbconsul.tls.openssl import WANT_READ, WANT_WRITE
from tests.support.relay_stage import Stage, hinder, relay_stage, server_context

IN, OUT = 1, 4


@pytest.fixture(scope="module")
def context() -> SSL.Context:
    """The context of the relay's own TLS."""
    return server_context()


@pytest.fixture
def stage(context: SSL.Context) -> Iterator[Stage]:
    """A relay whose client has TLS."""
    with relay_stage(("tls", "plain"), context) as made:
        yield made


def until_watched(stage: Stage, events: int) -> None:
    """Turn until the client's side is watched for these events alone."""
    side = stage.relay.client
    stage.until(lambda: side.watched == events, "the events")


def test_descriptor(stage: Stage) -> None:
    """A reactor takes a side for a reader and a writer."""
    assert verifyObject(IReadWriteDescriptor, stage.relay.client)


def test_read_that_wants_to_write(stage: Stage) -> None:
    """A read that must write first waits for room, and does not spin meanwhile."""
    hinder(stage.relay.client).reads = [WANT_WRITE]
    stage.client.say(b"hello")
    until_watched(stage, OUT)
    stage.hears(stage.upstream, b"hello")
    until_watched(stage, IN)
    stage.client.say(b"more")
    stage.hears(stage.upstream, b"more")


def test_read_that_wants_to_write_twice(stage: Stage) -> None:
    """Room that does not suffice for the read is waited for again."""
    hinder(stage.relay.client).reads = [WANT_WRITE, WANT_WRITE, WANT_READ]
    stage.client.say(b"hello")
    stage.hears(stage.upstream, b"hello")
    until_watched(stage, IN)


def test_write_that_wants_to_read(stage: Stage) -> None:
    """A write that must read first waits for bytes of the client, which go on."""
    side = stage.relay.client
    hinder(side).writes = [WANT_READ]
    stage.upstream.say(b"answer")
    stage.until(lambda: side.pending, "the write waits")
    assert side.watched == IN
    assert stage.relay.upstream.watched == 0
    stage.client.say(b"question")
    stage.hears(stage.client, b"answer")
    stage.hears(stage.upstream, b"question")
    assert side.watched == stage.relay.upstream.watched == IN


def test_write_that_wants_to_read_again(stage: Stage) -> None:
    """A write waits for each event in turn until it is through."""
    side = stage.relay.client
    hinder(side).writes = [WANT_WRITE, WANT_READ]
    stage.upstream.say(b"answer")
    stage.until(lambda: side.write_wants_read, "the write waits for bytes")
    stage.client.say(b"question")
    stage.hears(stage.client, b"answer")


def test_read_and_write_at_odds(stage: Stage) -> None:
    """A read that waits for room goes on beside a write that waits for bytes."""
    side = stage.relay.client
    hinder(side).reads = [WANT_WRITE]
    hinder(side).writes = [WANT_READ]
    stage.client.say(b"question")
    stage.upstream.say(b"answer")
    stage.hears(stage.upstream, b"question")
    stage.client.say(b".")
    stage.hears(stage.client, b"answer")
    stage.hears(stage.upstream, b".")


def is_half_closed(stage: Stage) -> bool:
    """Whether one direction is over."""
    return stage.relay.is_half_closed


def test_end_without_room(stage: Stage) -> None:
    """A close_notify that does not fit is sent once there is room."""
    hinder(stage.relay.client).shutdowns = [WANT_WRITE]
    stage.upstream.end()
    stage.until(lambda: stage.relay.client.is_ending, "the end waits")
    assert not is_half_closed(stage)
    stage.sees(stage.client, "end")
    assert is_half_closed(stage)
    stage.client.end()
    stage.is_over(Termination.DONE, by_upstream=True)


@pytest.fixture
def backlog() -> Iterator[None]:
    """Sockets hold what their peers have not got yet."""
    with patch("lbconsul.proxy.tls_relay.queued", return_value=1):
        yield


@pytest.mark.usefixtures("backlog")
def test_last_end_without_room(stage: Stage) -> None:
    """A relay is not over before the last close_notify is sent."""
    side = stage.relay.client
    stage.client.end()
    stage.sees(stage.upstream, "end")
    hinder(side).shutdowns = [WANT_WRITE]
    stage.upstream.end()
    stage.until(lambda: side.is_ending, "the end waits")
    assert not stage.over
    stage.is_over(Termination.DONE, by_upstream=False)
    stage.sees(stage.client, "end")


@pytest.mark.usefixtures("backlog")
def test_both_ends_without_room(context: SSL.Context) -> None:
    """Ends that come together are over once both close_notify are sent."""
    with relay_stage(("tls", "tls"), context) as stage:
        for side in (stage.relay.client, stage.relay.upstream):
            hinder(side).shutdowns = [WANT_WRITE]
        stage.client.end()
        stage.upstream.end()
        stage.until(lambda: stage.over, "the end of both")
        assert stage.over[0][0] is Termination.DONE
        stage.sees(stage.client, "end")
        stage.sees(stage.upstream, "end")


@pytest.mark.usefixtures("backlog")
def test_peer_that_is_gone_at_the_last_end(stage: Stage) -> None:
    """A client that is gone before its close_notify ends the relay as a reset does."""
    stage.client.end()
    stage.sees(stage.upstream, "end")
    hinder(stage.relay.client).shutdowns = [BrokenPipeError()]
    stage.upstream.end()
    stage.is_over(Termination.CLIENT_RESET, by_upstream=False)


def test_peer_that_is_gone_at_the_end(stage: Stage) -> None:
    """A client that is gone as the end is passed on ends the relay as a reset does."""
    hinder(stage.relay.client).shutdowns = [BrokenPipeError()]
    stage.upstream.end()
    stage.is_over(Termination.CLIENT_RESET, by_upstream=False)
