"""Crowds account for each of their clients."""

import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from chaos.crowd import Crowd
from chaos.resetting_server import ResettingServer
from chaos.site import Site
from chaos.stream_server import StreamServer
from tests.support.load import TLS
from tests.support.program import OwnProgram


@pytest.mark.process
def test_those_that_fetch_compare_what_comes() -> None:
    """
    Clients that fetch compare the bytes, and clients that send compare the digest.
    """
    with StreamServer("anna") as server:
        for kind in ("fetch", "put"):
            with Crowd(kind, server.port, 20, 5, "/bytes?n=200000") as crowd:
                assert Counter(each.what for each in crowd.stop()) == {"whole": 20}


@pytest.mark.process
def test_those_that_stay() -> None:
    """The clients stay until the row ends them, or a peer ends their connection."""
    with StreamServer("anna") as server:
        with (
            Crowd("hold", server.port, 5) as hold,
            Crowd("slow", server.port, 5) as slow,
            Crowd("deaf", server.port, 5, path="/bytes?n=9000000") as deaf,
        ):
            clients = [*hold.stop(), *slow.stop(), *deaf.stop()]
        assert Counter(each.what for each in clients) == {"open": 15}
        with Crowd("hold", server.port, 5) as hold:
            server.kill()
            time.sleep(0.5)  # they notice before the row ends them
            ends = {each.what for each in hold.stop()}
        assert ends <= {
            "ended",
            "reset",
            "failed: OSError the connection ended before the answer did",
        }


@pytest.mark.process
def test_streams_begin_until_they_are_told_to_leave() -> None:
    """Transfers in progress finish, and those that have not begun do not count."""
    with StreamServer("anna") as server:
        path = "/drip?n=2000&s=0.5"
        with Crowd("stream", server.port, 1000, at_once=3, path=path) as crowd:
            ends = [each.what for each in crowd.stop()]
    assert set(ends) <= {"whole"}
    assert len(ends) <= 6


@pytest.mark.process
def test_switched_protocols() -> None:
    """Their servers are told, and whether a client or a peer ended them."""
    with StreamServer("anna") as anna, Crowd("socket", anna.port, 3) as sockets:
        assert {each.what for each in sockets.stop()} == {"open anna"}
        with Crowd("socket", anna.port, 3) as sockets:
            anna.kill()
            time.sleep(0.5)  # they notice before the row ends them
            ends = {each.what for each in sockets.stop()}
    assert ends <= {"ended anna", "reset anna"}


#: Tells each client that it is too slow.
TOO_SLOW = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    while True:
        with server.accept()[0] as client:
            client.recv(65536)
            client.sendall(b"HTTP/1.1 408 Request Timeout\\r\\n\\r\\n")
"""


@pytest.mark.process
@pytest.mark.parametrize("kind", ["heads", "bodies"])
def test_requests_that_never_end(kind: str) -> None:
    """They stay, or come again once they were told that they are too slow."""
    with StreamServer("anna") as anna, Crowd(kind, anna.port, 3) as crowd:
        assert Counter(each.what for each in crowd.stop()) == {"open": 3}
    with (
        OwnProgram([sys.executable, "-c", TOO_SLOW]) as server,
        Crowd(kind, int(server.said), 1) as crowd,
    ):
        time.sleep(1.0)
        ends = Counter(each.what for each in crowd.stop())
    assert ends["told 408"] > 1


@pytest.mark.process
def test_tls(tmp_path: Path) -> None:
    """With TLS they do the same."""
    with StreamServer("anna", pem=Site(tmp_path).pem) as server:
        address = f"{TLS}{server.port}"
        for kind in ("fetch", "put"):
            with Crowd(kind, address, 5, path="/bytes?n=200000") as crowd:
                assert Counter(each.what for each in crowd.stop()) == {"whole": 5}
        with (
            Crowd("hold", address, 5) as hold,
            Crowd("slow", address, 5) as slow,
            Crowd("deaf", address, 5, path="/bytes?n=9000000") as deaf,
        ):
            clients = [*hold.stop(), *slow.stop(), *deaf.stop()]
        assert Counter(each.what for each in clients) == {"open": 15}


@pytest.mark.process
def test_half_handshakes(tmp_path: Path) -> None:
    """Those that stall come again whenever they are closed."""
    with (
        StreamServer("anna", pem=Site(tmp_path).pem) as server,
        Crowd("mute", server.port, 3) as mute,
        Crowd("trickle", server.port, 3) as trickle,
    ):
        clients = [*mute.stop(), *trickle.stop()]
    assert Counter(each.what for each in clients) == {"open": 6}
    with ResettingServer("dora") as resetting, Crowd("mute", resetting.port, 1) as mute:
        time.sleep(1.0)
        assert len(mute.stop()) > 1


@pytest.mark.process
def test_trouble_is_told() -> None:
    """With what it was."""
    server = ResettingServer("dora")
    server.start()
    try:
        server.wait_until_listening()
        with Crowd("fetch", server.port, 3, path="/bytes?n=10") as crowd:
            ends = {each.what for each in crowd.stop()}
    finally:
        server.kill()
    assert ends == {"reset"}
