"""A TLS stream behaves as a socket does, whatever the network makes of its records."""

import errno
import os
import select
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from lbconsul.net.sockets import reset_on_close
from lbconsul.net.stream import Stream
from lbconsul.tls.errors import TLSError, Truncated
from lbconsul.tls.openssl import WANT_READ, WANT_WRITE, DirectCalls, PublicCalls
from lbconsul.tls.stream import RECORD, TLSStream
from tests.support.certificates import Authority, Issued
from tests.support.loopback import PATIENCE, receive_all, reset, was_reset
from tests.support.tls import (
    NOT_NOW,
    client_side,
    drive,
    in_turn,
    non_blocking_pair,
    peer_reads,
    plain_server_context,
    python_client,
    read_some,
    say_end,
    server_side,
    shake_hands,
)
from tests.support.waiting import eventually

Pair = tuple[TLSStream, ssl.SSLSocket]


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    """A certificate for localhost."""
    return Authority(tmp_path_factory.mktemp("authority")).issue("localhost")


@pytest.fixture(params=[DirectCalls, PublicCalls])
def calls(request: pytest.FixtureRequest) -> type[PublicCalls]:
    """Both ways to OpenSSL: below pyOpenSSL's public API, and through it."""
    chosen: type[PublicCalls] = request.param
    return chosen


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    """Both versions of TLS."""
    return ssl.TLSVersion[request.param]


def client_context(version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that speaks this version alone, and verifies nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    return context


def made(
    issued: Issued,
    calls: type[PublicCalls],
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    send_buffer: int = 0,
) -> Pair:
    """A stream of ours and its client, neither of which has spoken."""
    ours, theirs = non_blocking_pair()
    if send_buffer:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    stream = server_side(plain_server_context(issued), ours, calls)
    return stream, python_client(theirs, client_context(version))


@pytest.fixture
def pair(
    issued: Issued, calls: type[PublicCalls], version: ssl.TLSVersion
) -> Iterator[Pair]:
    """A stream of ours and its client, after their handshake."""
    stream, peer = made(issued, calls, version)
    shake_hands(stream, peer)
    yield stream, peer
    stream.close()
    peer.close()


def is_readable(stream: Stream) -> bool:
    """Whether a poller would say so."""
    return bool(select.select([stream], [], [], 0)[0])


def fill(stream: TLSStream, data: bytes) -> int:
    """Send for as long as the socket takes it; returns how many bytes of `data`."""
    sent = 0
    while sent < len(data):
        try:
            sent += stream.send(data[sent:])
        except BlockingIOError:
            break
    return sent


def test_a_question_and_its_answer(pair: Pair) -> None:
    """Bytes pass both ways, and each side's end is told from a broken connection."""
    stream, peer = pair
    same: Stream = stream  # mypy checks the signatures
    peer.send(b"question")
    assert read_some(stream) == b"question"
    assert same.send(memoryview(b"answer")) == 6
    assert peer_reads(peer) == b"answer"
    assert stream.send(b"") == 0
    stream.shutdown(socket.SHUT_WR)
    assert peer_reads(peer) == b""
    peer.send(b"more")
    assert read_some(stream) == b"more"
    say_end(peer)
    assert read_some(stream) == b""
    assert read_some(stream) == b""
    assert stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def test_nothing_to_read(pair: Pair) -> None:
    """A read without data waits, and not for the other direction."""
    stream, _ = pair
    with pytest.raises(BlockingIOError):
        stream.recv_into(bytearray(RECORD))
    assert not stream.wants_write


def test_a_handshake_one_byte_at_a_time(
    issued: Issued, calls: type[PublicCalls], version: ssl.TLSVersion
) -> None:
    """A handshake whose bytes trickle in completes, as does what follows it."""
    ours, our_far = non_blocking_pair()
    theirs, their_far = non_blocking_pair()
    stream = server_side(plain_server_context(issued), ours, calls)
    peer = python_client(theirs, client_context(version))
    buffer, received = bytearray(61440), bytearray()

    def trickle() -> None:
        for source, sink in ((our_far, their_far), (their_far, our_far)):
            with suppress(BlockingIOError):
                sink.send(source.recv(1))
        raise BlockingIOError  # it never ends

    def read() -> None:
        received.extend(buffer[: stream.recv_into(buffer)])

    def is_done(*steps: Callable[[], object]) -> bool:
        done = 0
        for step in (trickle, *steps):
            with suppress(*NOT_NOW):
                step()
                done += 1
        return done == len(steps)

    drive(lambda: is_done(stream.handshake, peer.do_handshake), "both are up")
    peer.send(b"x" * 3000)
    drive(lambda: is_done(read) and len(received) == 3000, "all bytes have come")
    assert received == b"x" * 3000
    for each in (stream, peer, our_far, their_far):
        each.close()


def test_a_handshake_that_waits_to_write(
    tmp_path: Path, calls: type[PublicCalls]
) -> None:
    """A handshake whose certificates do not fit into the socket says what it awaits."""
    issuer = Authority(tmp_path)
    chain = issuer.issue("localhost")
    with open(chain.cert, "ab") as file:  # more than the peer's window of 64 KiB
        file.write(240 * Path(issuer.file).read_bytes())
    stream, peer = made(chain, calls, send_buffer=1)
    with pytest.raises(BlockingIOError):
        stream.handshake()
    assert (stream.wants_read, stream.wants_write) == (True, False)
    with pytest.raises(ssl.SSLWantReadError):
        peer.do_handshake()

    def blocks_writing() -> bool:
        with pytest.raises(BlockingIOError):
            stream.handshake()
        return stream.wants_write

    drive(blocks_writing, "the socket is full")
    assert not stream.wants_read
    shake_hands(stream, peer)
    assert not stream.wants_read and not stream.wants_write
    stream.close()
    peer.close()


def test_a_client_that_speaks_no_tls(issued: Issued, calls: type[PublicCalls]) -> None:
    """Plain HTTP to a TLS port is an error that says so, now and later."""
    ours, theirs = non_blocking_pair()
    stream = server_side(plain_server_context(issued), ours, calls)
    theirs.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    for _ in range(2):
        with pytest.raises(TLSError, match="http request"):
            in_turn(stream.handshake)
    with pytest.raises(TLSError, match="http request"):
        stream.send(b"x")
    stream.close()
    theirs.close()


@pytest.mark.parametrize("leave", [socket.socket.close, reset])
def test_a_client_that_leaves_in_the_handshake(
    issued: Issued, calls: type[PublicCalls], leave: object
) -> None:
    """A client that leaves in the midst of the handshake is an error, and no end."""
    stream, peer = made(issued, calls)
    with pytest.raises(ssl.SSLWantReadError):
        peer.do_handshake()
    assert callable(leave)
    leave(peer)
    with pytest.raises((ConnectionResetError, Truncated, BrokenPipeError)):
        in_turn(stream.handshake)
    stream.close()


def test_whole_records_at_once(pair: Pair) -> None:
    """A read takes as many full records as fit, and leaves the rest to the poller."""
    stream, peer = pair
    data = os.urandom(5 * RECORD)
    in_turn(lambda: peer.send(data))
    eventually(lambda: is_readable(stream), "it has come")
    found = b""
    while len(found) < len(data):
        part = read_some(stream)
        assert len(part) <= 3 * RECORD
        found += part
        if len(found) < len(data):
            eventually(lambda: is_readable(stream), "the poller knows of the rest")
    assert found == data


def test_a_buffer_smaller_than_a_record(pair: Pair) -> None:
    """
    A full buffer may leave the rest of a record in OpenSSL; one that is not, none.
    """
    stream, peer = pair
    peer.send(b"0123456789")
    assert read_some(stream, 4) == b"0123"
    assert read_some(stream, 4) == b"4567"
    assert read_some(stream, 4) == b"89"
    with pytest.raises(BlockingIOError):
        stream.recv_into(bytearray(4))


def test_an_end_behind_data(pair: Pair) -> None:
    """
    A close_notify that OpenSSL has read behind data shows to the poller, even though
    the peer keeps TCP open.
    """
    stream, peer = pair
    in_turn(lambda: peer.send(bytes(RECORD)))
    say_end(peer)
    found = b""
    while len(found) < RECORD:
        found += read_some(stream)
    eventually(lambda: is_readable(stream), "the poller knows of the end")
    assert read_some(stream) == b""
    stream.send(b"the other direction")
    stream.shutdown(socket.SHUT_WR)
    assert peer_reads(peer) == b"the other direction"


def test_an_error_behind_data(pair: Pair) -> None:
    """
    A broken record behind data is an error of the next read, which the poller asks for.
    """
    stream, peer = pair
    in_turn(lambda: peer.send(bytes(RECORD)))
    raw = socket.socket(fileno=peer.detach())
    raw.send(b"\x17\x03\x03\x00\x20" + bytes(32))
    found = b""
    while len(found) < RECORD:
        found += read_some(stream)
    eventually(lambda: is_readable(stream), "the poller knows of the error")
    for _ in range(2):
        with pytest.raises(TLSError, match="bad record mac"):
            read_some(stream)
    with pytest.raises(TLSError, match="bad record mac"):
        stream.shutdown(socket.SHUT_WR)
    raw.close()


def test_a_cut(pair: Pair) -> None:
    """A TCP end without close_notify is an error, not the end of the data."""
    stream, peer = pair
    peer.send(b"the beginning of")
    raw = socket.socket(fileno=peer.detach())
    raw.shutdown(socket.SHUT_WR)
    assert read_some(stream) == b"the beginning of"
    for _ in range(2):
        with pytest.raises(Truncated):
            read_some(stream)
        assert stream.is_truncated
    raw.close()


def test_a_reset(pair: Pair) -> None:
    """A reset is the socket's own error, for reads and writes."""
    stream, peer = pair
    reset(peer)
    with pytest.raises(ConnectionResetError):
        read_some(stream)
    with pytest.raises(ConnectionResetError):
        stream.send(b"x")


def test_a_write_to_a_peer_that_is_gone(pair: Pair) -> None:
    """A write fails as one to a socket does."""
    stream, peer = pair
    reset(peer)

    def write() -> None:
        stream.send(b"x")
        raise BlockingIOError

    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        in_turn(write)


def test_a_full_socket(issued: Issued, calls: type[PublicCalls]) -> None:
    """A write that does not fit goes on where it stopped, with the same bytes."""
    stream, peer = made(issued, calls, send_buffer=4096)
    shake_hands(stream, peer)
    data = os.urandom(1 << 23)
    sent = fill(stream, data)
    assert 0 < sent < len(data)
    with pytest.raises(BlockingIOError):
        stream.send(data[sent:])
    assert not stream.wants_read
    found = bytearray()

    def go_on() -> bool:
        nonlocal sent
        with suppress(ssl.SSLWantReadError):
            found.extend(peer.recv(1 << 20))
        # As a relay does it: the rest, in another place of memory.
        if sent < len(data):
            sent += fill(stream, bytes(data[sent:]))
        return len(found) == len(data)

    drive(go_on, "all bytes have come")
    assert found == data
    stream.close()
    peer.close()


def test_an_end_that_does_not_fit(
    issued: Issued, calls: type[PublicCalls], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A close_notify that the socket does not take is to be sent again."""
    stream, peer = made(issued, calls)
    shake_hands(stream, peer)
    with monkeypatch.context() as patch:
        patch.setattr(calls, "shutdown", lambda self: WANT_WRITE)
        with pytest.raises(BlockingIOError):
            stream.shutdown(socket.SHUT_WR)
    with pytest.raises(ssl.SSLWantReadError):
        peer.recv(1)
    stream.shutdown(socket.SHUT_WR)
    assert peer_reads(peer) == b""
    stream.close()
    peer.close()


@pytest.mark.parametrize("operation", ["read", "write"])
def test_the_other_direction(
    issued: Issued,
    calls: type[PublicCalls],
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
) -> None:
    """A read that waits to write, and a write that waits to read, say so."""
    stream, peer = made(issued, calls)
    shake_hands(stream, peer)
    outcome = WANT_WRITE if operation == "read" else (0, WANT_READ)
    with monkeypatch.context() as patch:
        patch.setattr(calls, operation, lambda *_: outcome)
        with pytest.raises(BlockingIOError):
            if operation == "read":
                stream.recv_into(bytearray(RECORD))
            else:
                stream.send(b"x")
    assert stream.wants_write is (operation == "read")
    assert stream.wants_read is (operation == "write")
    stream.close()
    peer.close()


def test_closing_is_orderly(pair: Pair) -> None:
    """A stream that is closed says so by close_notify, and is of no use any more."""
    stream, peer = pair
    stream.send(b"all of it")
    stream.close()
    assert peer_reads(peer) == b"all of it"
    assert peer_reads(peer) == b""
    assert stream.fileno() == -1
    for use in (
        lambda: stream.recv_into(bytearray(10)),
        lambda: stream.send(b"x"),
        stream.handshake,
        lambda: stream.shutdown(socket.SHUT_WR),
    ):
        with pytest.raises(OSError) as closed:
            use()
        assert closed.value.errno == errno.EBADF
    stream.close()


def test_closing_with_a_reset(pair: Pair) -> None:
    """A stream that is reset never looks complete."""
    stream, peer = pair
    stream.send(b"the beginning of")
    assert peer_reads(peer) == b"the beginning of"
    reset_on_close(stream)
    stream.close()
    raw = socket.socket(fileno=peer.detach())
    raw.settimeout(PATIENCE)
    assert was_reset(raw)
    raw.close()


def test_closing_says_the_end_once(
    pair: Pair, calls: type[PublicCalls], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A close after the own end sends nothing more."""
    stream, peer = pair
    stream.shutdown(socket.SHUT_WR)
    monkeypatch.delattr(calls, "shutdown", raising=False)
    monkeypatch.delattr(PublicCalls, "shutdown", raising=False)
    stream.close()
    assert peer_reads(peer) == b""


def test_options_of_the_socket(pair: Pair) -> None:
    """An option other than how to close leaves the close orderly."""
    stream, peer = pair
    one = (1).to_bytes(4, sys.byteorder)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, one)
    assert stream.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    stream.close()
    assert peer_reads(peer) == b""


def test_an_end_to_a_peer_that_is_gone(pair: Pair) -> None:
    """An end that cannot be sent is an error, as it is for a socket."""
    stream, peer = pair
    stream.shutdown(socket.SHUT_WR)
    stream.shutdown(socket.SHUT_WR)
    reset(peer)
    eventually(lambda: is_readable(stream), "the reset has come")
    with pytest.raises(OSError, match="not connected"):
        stream.shutdown(socket.SHUT_WR)


def test_an_end_after_a_reset(pair: Pair) -> None:
    """An end to a peer that has reset the connection is the socket's error."""
    stream, peer = pair
    reset(peer)
    eventually(lambda: is_readable(stream), "the reset has come")
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        stream.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("side", [server_side, client_side])
def test_an_end_in_the_handshake(
    issued: Issued, calls: type[PublicCalls], side: Callable[..., TLSStream]
) -> None:
    """A peer that says its end instead of a greeting has no connection."""
    ours, theirs = non_blocking_pair()
    stream = side(plain_server_context(issued), ours, calls)
    theirs.send(b"\x15\x03\x03\x00\x02\x01\x00")  # an alert: warning, close_notify
    for _ in range(2):
        with pytest.raises(ConnectionError):
            in_turn(stream.handshake)
    stream.close()
    theirs.close()


def test_closing_before_the_handshake(issued: Issued, calls: type[PublicCalls]) -> None:
    """A stream that is not up is closed without a word."""
    stream, peer = made(issued, calls)
    stream.close()
    raw = socket.socket(fileno=peer.detach())
    raw.settimeout(PATIENCE)
    assert receive_all(raw) == b""
    raw.close()


def test_closing_a_full_socket(issued: Issued, calls: type[PublicCalls]) -> None:
    """A stream with a write under way is closed without an end: the write is cut."""
    stream, peer = made(issued, calls, send_buffer=4096)
    shake_hands(stream, peer)
    fill(stream, bytes(1 << 23))
    stream.close()

    def read() -> None:
        while True:
            assert peer.recv(1 << 20) != b"", "looks complete"

    with pytest.raises((ssl.SSLError, ConnectionResetError)) as cut:
        in_turn(read)
    assert not isinstance(cut.value, NOT_NOW)
    peer.close()


@settings(max_examples=15)
@given(
    data=st.data(),
    chosen=st.sampled_from([DirectCalls, PublicCalls]),
    upward=st.binary(max_size=200_000),
    downward=st.integers(0, 200_000).map(lambda size: os.urandom(size)),
    room=st.sampled_from([4096, 65536, 0]),
)
def test_both_directions_at_once(
    issued: Issued,
    data: st.DataObject,
    chosen: type[PublicCalls],
    upward: bytes,
    downward: bytes,
    room: int,
) -> None:
    """Bytes are whole, with both sides writing at once in pieces of any size."""
    ours, theirs = non_blocking_pair()
    for each in (ours, theirs):
        if room:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
    server = server_side(plain_server_context(issued), ours, chosen)
    client = client_side(SSL.Context(SSL.TLS_METHOD), theirs, chosen)
    shake_hands(server, client)
    piece = data.draw(st.sampled_from([1, 100, 5000, 16385, 61440]), "piece")
    size = data.draw(st.sampled_from([1, 1000, 16384, 61440]), "buffer")
    if piece == 1 or size == 1:
        upward, downward = upward[:2000], downward[:2000]
    left = {server: downward, client: upward}
    found = {server: bytearray(), client: bytearray()}
    talking = [server, client]
    ended: set[TLSStream] = set()
    buffer = bytearray(size)

    def go_on() -> bool:
        for each in (server, client):
            try:
                if left[each]:
                    left[each] = left[each][each.send(left[each][:piece]) :]
                elif each in talking:
                    each.shutdown(socket.SHUT_WR)
                    talking.remove(each)
            except BlockingIOError:
                pass
            try:
                count = each.recv_into(buffer)
            except BlockingIOError:
                continue
            found[each].extend(buffer[:count])
            if not count:
                ended.add(each)
        return len(ended) == 2 and not talking

    drive(go_on, "both ends have come")
    assert found[server] == upward
    assert found[client] == downward
    server.close()
    client.close()
