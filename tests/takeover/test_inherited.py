"""What the new gateway has, and what it tells the old one."""

import os
import select
import socket
from pathlib import Path

from twisted.internet.interfaces import IReactorTime

from lbconsul.takeover.inherited import InheritedSockets
from lbconsul.takeover.rendezvous import listen_at
from tests.support.descriptors import descriptors
from tests.support.in_reactor import run, until
from tests.support.loopback import PATIENCE, listening
from tests.support.old_gateway import hear, hear_all


class Pair:
    """A new gateway's part, and the other end."""

    def __init__(self, path: str) -> None:
        ours, self.theirs = socket.socketpair()
        self.theirs.settimeout(PATIENCE)
        with listening() as sock:
            self.taken = InheritedSockets(
                path, {"127.0.0.1:80": os.dup(sock.fileno())}, ours
            )


def test_accepting(tmp_path: Path) -> None:
    """
    The old gateway gets the notice, and once it has read it the takeover is complete.
    """

    async def scenario(reactor: IReactorTime) -> None:
        pair = Pair(str(tmp_path / "lb.sock"))
        heard = pair.taken.accepting(reactor)
        await until(reactor, lambda: heard_by(pair.theirs))
        assert not heard.called
        pair.theirs.sendall(b'{"takeover": "retiring"}\n')
        assert await heard is True
        # When we are done it sees that it may leave its door.
        assert not is_over(pair.theirs)
        pair.taken.close()
        pair.taken.close()
        await until(reactor, lambda: is_over(pair.theirs))
        pair.theirs.close()

    run(scenario)


def heard_by(theirs: socket.socket) -> bool:
    """Whether they have heard that we accept."""
    return is_ready(theirs) and hear(theirs) == b'{"takeover": "accepting"}\n'


def is_over(theirs: socket.socket) -> bool:
    """Whether we have ended the conversation."""
    return is_ready(theirs) and theirs.recv(1) == b""


def is_ready(theirs: socket.socket) -> bool:
    """Whether there is something to hear."""
    return bool(select.select([theirs], [], [], 0)[0])


def test_old_one_dead(tmp_path: Path) -> None:
    """If the old gateway has died, the takeover is complete."""

    async def scenario(reactor: IReactorTime) -> None:
        pair = Pair(str(tmp_path / "lb.sock"))
        pair.theirs.close()
        assert await pair.taken.accepting(reactor) is True
        pair.taken.close()

    run(scenario)


def test_old_one_lost_its_patience(tmp_path: Path) -> None:
    """If it has ended the conversation and is still there, it is the gateway."""

    async def scenario(reactor: IReactorTime) -> None:
        path = str(tmp_path / "lb.sock")
        for last in (b"", b'{"takeover": "accepting"}\n', b"nonsense\n"):
            pair = Pair(path)
            with listen_at(path):
                pair.theirs.sendall(last)
                pair.theirs.shutdown(socket.SHUT_WR)
                assert await pair.taken.accepting(reactor) is False
            pair.taken.close()
            pair.theirs.close()

    run(scenario)


def test_given_up(tmp_path: Path) -> None:
    """Giving up before ends the session, and leaves no socket open."""
    before = descriptors()
    pair = Pair(str(tmp_path / "lb.sock"))
    pair.taken.drop_sockets(["127.0.0.1:81"])
    assert pair.taken.sockets == {}
    assert pair.taken.unused == ["127.0.0.1:80"]
    pair.taken.close()
    assert hear_all(pair.theirs) == []
    pair.theirs.close()
    assert descriptors() - before == set()
