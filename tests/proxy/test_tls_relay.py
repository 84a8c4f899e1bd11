"""Bytes and ends through relays in which a stream is TLS."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from lbconsul.net.sockets import queued
from lbconsul.proxy.relay_side import READ_SIZE
from lbconsul.proxy.tls_side import TLSSide
from lbconsul.stats.termination import Termination
from tests.support.loopback import reset
from tests.support.relay_stage import (
    HALF_CLOSED,
    IDLE,
    Peer,
    Stage,
    noise,
    relay_stage,
    server_context,
)

KINDS = [("tls", "plain"), ("plain", "tls"), ("tls", "tls")]

#: More than the kernel holds of a connection whose buffers are small.
MIB = 1 << 20


@pytest.fixture(scope="module")
def context() -> SSL.Context:
    """The context of the relay's own TLS."""
    return server_context()


@pytest.fixture(params=KINDS, ids="-".join)
def stage(request: pytest.FixtureRequest, context: SSL.Context) -> Iterator[Stage]:
    """A relay of each kind."""
    with relay_stage(request.param, context) as made:
        yield made


@pytest.fixture
def encrypted(context: SSL.Context) -> Iterator[Stage]:
    """A relay with TLS on both sides, and small buffers."""
    with relay_stage(("tls", "tls"), context, 32768) as made:
        yield made


class Talker:
    """A peer that sends data in pieces, then its end, and hears with pauses."""

    def __init__(self, peer: Peer, data: bytes, chance: random.Random) -> None:
        self.peer = peer
        self._rest = memoryview(data)
        self._chance = chance
        self._has_ended = False

    def go_on(self) -> None:
        """Send or read something, or neither."""
        size = self._chance.choice([0, 1, 100, 16384, 70_000])
        if self._rest and size:
            self._rest = self._rest[self.peer.say(bytes(self._rest[:size])) :]
        elif not self._rest and not self._has_ended:
            self._has_ended = self.peer.end()
        if not self.peer.saw and self._chance.random() < 0.6:
            self.peer.hear(self._chance.choice([1, 1000, 16384, 65536]))


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    kinds=st.sampled_from(KINDS),
    sizes=st.tuples(st.integers(0, MIB), st.integers(0, MIB)),
    buffers=st.sampled_from([0, 32768]),
    seed=st.integers(0, 1 << 32),
)
def test_bytes_arrive_whole(
    context: SSL.Context,
    kinds: tuple[str, str],
    sizes: tuple[int, int],
    buffers: int,
    seed: int,
) -> None:
    """Both directions at once carry every byte and their own end, however slowly."""
    chance = random.Random(seed)
    question, answer = (chance.randbytes(size) for size in sizes)
    with relay_stage(kinds, context, buffers) as stage:
        talkers = [
            Talker(stage.client, question, chance),
            Talker(stage.upstream, answer, chance),
        ]

        def step() -> bool:
            for each in talkers:
                each.go_on()
            return all(each.peer.saw for each in talkers)

        stage.until(step, "both ends")
        assert stage.upstream.received == question
        assert stage.client.received == answer
        assert [stage.client.saw, stage.upstream.saw] == ["end", "end"]
        stage.until(lambda: stage.over, "the relay's end")
        assert stage.over[0][0] is Termination.DONE


def test_bulk(stage: Stage) -> None:
    """Answers that fill many reads arrive whole, though nothing can be spliced."""
    data = noise(3 * MIB)
    rest = memoryview(data)

    def step() -> bool:
        nonlocal rest
        rest = rest[stage.upstream.say(bytes(rest[:MIB])) :]
        stage.client.hear()
        return len(stage.client.received) == len(data)

    stage.until(step, "all of it")
    assert stage.client.received == data
    assert stage.relay.upstream.moved == len(data)


def test_half_close(stage: Stage) -> None:
    """The end of a question is passed on, and the answer still comes."""
    stage.client.say(b"question")
    stage.client.end()
    stage.hears(stage.upstream, b"question")
    stage.sees(stage.upstream, "end")
    stage.upstream.say(b"answer")
    stage.hears(stage.client, b"answer")
    stage.upstream.end()
    stage.sees(stage.client, "end")
    stage.is_over(Termination.DONE, by_upstream=False)


def test_half_close_by_the_upstream(stage: Stage) -> None:
    """The client still sends after the upstream has ended its own direction."""
    stage.upstream.end()
    stage.sees(stage.client, "end")
    stage.client.say(b"more")
    stage.hears(stage.upstream, b"more")
    stage.client.end()
    stage.sees(stage.upstream, "end")
    stage.is_over(Termination.DONE, by_upstream=True)


def test_reset(stage: Stage) -> None:
    """A reset by either peer resets the other one."""
    reset(stage.client.sock)
    stage.sees(stage.upstream, "reset")
    stage.is_over(Termination.CLIENT_RESET, by_upstream=False)


def test_reset_by_the_upstream(stage: Stage) -> None:
    """An upstream that resets is named as the one that did."""
    reset(stage.upstream.sock)
    stage.sees(stage.client, "reset")
    stage.is_over(Termination.UPSTREAM_RESET, by_upstream=True)


def is_delivered(stage: Stage, listener: Peer) -> None:
    """Turn until a peer's kernel has got all, and the next check after that."""

    def has_all() -> bool:
        return bool(stage.over) or not queued(side_of(stage, listener).stream)

    stage.until(has_all, "all is delivered")
    stage.pass_time(1)


def side_of(stage: Stage, peer: Peer) -> TLSSide:
    """The relay's side of a peer."""
    return stage.relay.client if peer is stage.client else stage.relay.upstream


@pytest.mark.parametrize("client", ["tls", "plain"])
def test_answer_cut_short(context: SSL.Context, client: str) -> None:
    """An upstream that ends TCP without close_notify cut its answer, for the client."""
    with relay_stage((client, "tls"), context) as stage:
        stage.upstream.say(b"half an ans")
        stage.upstream.leave()
        stage.hears(stage.client, b"half an ans")
        is_delivered(stage, stage.client)
        stage.sees(stage.client, "reset")
        stage.is_over(Termination.UPSTREAM_RESET, by_upstream=True)


def cut(stage: Stage, speaker: Peer, listener: Peer, data: bytes) -> None:
    """Have a peer cut off what it sends to a slow one; turn until that is noticed."""
    rest = memoryview(data)
    slow = side_of(stage, listener)

    def step() -> bool:
        nonlocal rest
        if rest:
            rest = rest[speaker.say(bytes(rest)) :]
            if not rest:
                speaker.leave()
        if slow.pending:
            listener.hear(1000)
        return bool(stage.over) or stage.relay.is_half_closed

    stage.until(step, "the cut")
    assert not stage.over
    assert queued(slow.stream)


@pytest.mark.parametrize("client", ["tls", "plain"])
def test_cut_answer_is_delivered_first(context: SSL.Context, client: str) -> None:
    """A slow client gets all that came of a cut answer, and then the reset."""
    data = noise(400_000)
    with relay_stage((client, "tls"), context, 32768) as stage:
        cut(stage, stage.upstream, stage.client, data)
        stage.client.say(b"not wanted any more")

        stage.hears(stage.client, data)
        is_delivered(stage, stage.client)
        stage.sees(stage.client, "reset")
        assert stage.moved == (0, len(data))
        stage.is_over(Termination.UPSTREAM_RESET, by_upstream=True)


def test_cut_answer_for_a_deaf_client(context: SSL.Context) -> None:
    """A client that does not read the rest of a cut answer is reset in the end."""
    data = noise(400_000)
    with relay_stage(("plain", "tls"), context, 32768) as stage:
        cut(stage, stage.upstream, stage.client, data)
        stage.runs_out(HALF_CLOSED, Termination.HALF_CLOSED)
        stage.sees(stage.client, "reset")
        assert len(stage.client.received) < len(data)


@pytest.mark.parametrize("upstream", ["tls", "plain"])
def test_client_that_is_cut_off(context: SSL.Context, upstream: str) -> None:
    """A client that ends TCP without close_notify cut its question."""
    with relay_stage(("tls", upstream), context) as stage:
        stage.client.say(b"half a quest")
        stage.hears(stage.upstream, b"half a quest")
        stage.client.leave()
        stage.sees(stage.upstream, "reset")
        stage.is_over(Termination.CLIENT_RESET, by_upstream=False)


@pytest.mark.parametrize("upstream", ["tls", "plain"])
def test_client_without_close_notify_between_exchanges(
    context: SSL.Context, upstream: str
) -> None:
    """
    A client that has an answer, and closes its kept connection without close_notify,
    ends in order.  The upstream sees a reset: what the client sent may have been cut.
    """
    with relay_stage(("tls", upstream), context) as stage:
        stage.client.say(b"question")
        stage.hears(stage.upstream, b"question")
        stage.upstream.say(b"answer")
        stage.hears(stage.client, b"answer")
        stage.client.leave()
        stage.sees(stage.upstream, "reset")
        stage.is_over(Termination.DONE, by_upstream=False)


@pytest.mark.parametrize("upstream", ["tls", "plain"])
def test_cut_question_is_delivered_first(context: SSL.Context, upstream: str) -> None:
    """
    An upstream gets all that a client sent that closed without close_notify, and then
    the reset.
    """
    data = noise(400_000)
    with relay_stage(("tls", upstream), context, 32768) as stage:
        cut(stage, stage.client, stage.upstream, data)
        stage.hears(stage.upstream, data)
        is_delivered(stage, stage.upstream)
        stage.sees(stage.upstream, "reset")
        assert stage.moved == (len(data), 0)
        stage.is_over(Termination.CLIENT_RESET, by_upstream=False)


@pytest.mark.parametrize("upstream", ["tls", "plain"])
def test_client_without_close_notify_at_the_end(
    context: SSL.Context, upstream: str
) -> None:
    """A client that has the whole answer may close without close_notify."""
    with relay_stage(("tls", upstream), context) as stage:
        stage.upstream.say(b"answer")
        stage.upstream.end()
        stage.hears(stage.client, b"answer")
        stage.sees(stage.client, "end")
        stage.client.leave()
        stage.is_over(Termination.DONE, by_upstream=True)
        # What the client sent may have been cut.
        stage.sees(stage.upstream, "reset")


@pytest.mark.parametrize("client", ["tls", "plain"])
def test_upstream_without_close_notify_at_the_end(
    context: SSL.Context, client: str
) -> None:
    """An upstream may close without close_notify when the client has done so."""
    with relay_stage((client, "tls"), context) as stage:
        stage.upstream.say(b"answer")
        stage.hears(stage.client, b"answer")
        stage.client.end()
        stage.sees(stage.upstream, "end")
        stage.upstream.leave()
        stage.is_over(Termination.DONE, by_upstream=False)
        # A client that waits for an answer does not take its absence for one.
        stage.sees(stage.client, "reset")


@pytest.mark.parametrize("client", ["tls", "plain"])
def test_answer_cut_short_after_half_close(context: SSL.Context, client: str) -> None:
    """An answer that comes after the client's end, and is cut, counts as cut."""
    with relay_stage((client, "tls"), context) as stage:
        stage.client.end()
        stage.sees(stage.upstream, "end")
        stage.upstream.say(b"half an ans")
        stage.upstream.leave()
        stage.hears(stage.client, b"half an ans")
        is_delivered(stage, stage.client)
        stage.sees(stage.client, "reset")
        stage.is_over(Termination.UPSTREAM_RESET, by_upstream=True)


def stuff(stage: Stage, speaker: Peer) -> int:
    """Have a peer send until nothing moves any more; how many bytes it sent."""
    sent = idle = 0
    while idle < 20:
        count = speaker.say(bytes(16384))
        sent, idle = sent + count, 0 if count else idle + 1
        stage.reactor.turn()
    return sent


def test_deaf_peer(encrypted: Stage) -> None:
    """A peer that does not read stops the other one, at one read of memory."""
    sent = stuff(encrypted, encrypted.upstream)
    relay = encrypted.relay
    assert 0 < len(relay.client.pending) <= READ_SIZE
    assert relay.upstream.pending == b""
    encrypted.client.say(b"still heard")
    encrypted.hears(encrypted.upstream, b"still heard")
    encrypted.hears(encrypted.client, bytes(sent))


def test_deaf_peer_is_idle(encrypted: Stage) -> None:
    """A peer that does not read for the idle timeout is reset: its stream is cut."""
    stuff(encrypted, encrypted.upstream)
    encrypted.runs_out(IDLE, Termination.IDLE)
    encrypted.sees(encrypted.upstream, "reset")


def test_reset_of_a_deaf_peer(encrypted: Stage) -> None:
    """A peer that is not read from is noticed when it resets."""
    stuff(encrypted, encrypted.upstream)
    reset(encrypted.upstream.sock)
    encrypted.pass_time(2)
    encrypted.is_over(Termination.UPSTREAM_RESET, by_upstream=True)


def test_idle(stage: Stage) -> None:
    """An idle relay is closed in order, with close_notify."""
    stage.client.say(b"hello")
    stage.hears(stage.upstream, b"hello")
    stage.runs_out(IDLE, Termination.IDLE)
    stage.sees(stage.client, "end")
    stage.sees(stage.upstream, "end")
    assert stage.moved == (5, 0)


def test_end_of_a_session(stage: Stage) -> None:
    """A second end has no effect."""
    stage.relay.end(Termination.DONE)
    stage.relay.end(Termination.DONE)
    stage.is_over(Termination.DONE, by_upstream=False)
