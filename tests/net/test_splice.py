"""Pipes: when there are any, and that none is lost."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from lbconsul.net import splice
from lbconsul.net.splice import Pipe, Pipes
from tests.support.descriptors import descriptors


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets that are connected."""
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        yield one, other


@pytest.fixture
def asked_anew() -> Iterator[None]:
    """The system is asked again whether it has splice(2), and so it is later."""
    splice._is_allowed.cache_clear()
    yield
    splice._is_allowed.cache_clear()


def refuse(code: int) -> Any:
    """A system call that fails."""

    def call(*args: object, **kwargs: object) -> None:
        raise OSError(code, os.strerror(code))

    return call


def test_through(pair: tuple[socket.socket, socket.socket]) -> None:
    """Bytes pass the pipe unchanged, and it knows how many it holds."""
    one, other = pair
    pipe = Pipe()
    one.send(b"hello")
    assert pipe.fill(other.fileno()) == 5
    assert pipe.held == 5
    pipe.drain(other.fileno())
    assert pipe.held == 0
    assert one.recv(10) == b"hello"
    with pytest.raises(BlockingIOError):
        pipe.fill(other.fileno())
    one.shutdown(socket.SHUT_WR)
    assert pipe.fill(other.fileno()) == 0
    pipe.close()


def test_one_pipe_does_for_many(pair: tuple[socket.socket, socket.socket]) -> None:
    """A pipe that comes back empty is lent again."""
    pipes = Pipes()
    pipe = pipes.lend()
    assert pipe is not None
    pipes.give_back(pipe)
    assert pipes.lend() is pipe
    pipes.give_back(pipe)
    pipes.close()


def test_what_was_not_empty_is_closed(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """No relay gets a pipe with another one's bytes."""
    one, other = pair
    pipes = Pipes(1)
    pipe = pipes.lend()
    assert pipe is not None
    one.send(b"secret")
    pipe.fill(other.fileno())
    pipes.give_back(pipe)
    again = pipes.lend()
    assert again is not None
    assert again is not pipe
    assert again.held == 0
    pipes.give_back(again)
    pipes.close()


def test_no_more_than_so_many() -> None:
    """There is a bound, and what comes back counts no longer."""
    pipes = Pipes(3)
    lent = [pipes.lend() for _ in range(5)]
    assert [each is None for each in lent] == [False] * 3 + [True] * 2
    for pipe in lent[:3]:
        assert pipe is not None
        pipes.give_back(pipe)
    assert pipes.lend() in lent[:3]


def test_few_are_kept() -> None:
    """After a rush most descriptors are given back, and all at the end."""
    Pipes().lend()  # nothing is done for the first time any more
    before = descriptors()
    pipes = Pipes()
    lent = [pipes.lend() for _ in range(20)]
    assert len(descriptors() - before) == 40
    for pipe in lent:
        assert pipe is not None
        pipes.give_back(pipe)
    assert len(descriptors() - before) <= 10
    pipes.close()
    assert descriptors() <= before


def test_out_of_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no descriptor left one copies, and asks again only later."""
    before = descriptors()
    pipes = Pipes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pipe2", refuse(errno.EMFILE))
        assert pipes.lend() is None
    asked = 1
    while (pipe := pipes.lend()) is None:
        asked += 1
    assert asked > 10
    pipes.give_back(pipe)
    pipes.close()
    assert descriptors() <= before


def test_small_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A pipe smaller than a copy's buffer does not pay. The kernel gives no large ones to
    a user with many (pipe(7)).
    """
    before = descriptors()
    monkeypatch.setattr(splice, "PIPE_SIZE", 4096)
    with pytest.raises(OSError, match="small"):
        Pipe()
    assert Pipes().lend() is None
    assert descriptors() <= before


def test_refused_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that may not grow does as it is."""
    ask = fcntl.fcntl

    def refuse_size(descriptor: int, command: int, argument: int = 0) -> int:
        if command == fcntl.F_SETPIPE_SZ:
            raise PermissionError
        return ask(descriptor, command, argument)

    monkeypatch.setattr(fcntl, "fcntl", refuse_size)
    Pipe().close()


def test_size_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe of unknown size is not used, and closed."""
    before = descriptors()
    monkeypatch.setattr(fcntl, "fcntl", refuse(errno.EINVAL))
    assert Pipes().lend() is None
    assert descriptors() <= before


@pytest.mark.usefixtures("asked_anew")
def test_no_such_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no splice(2) one copies."""
    monkeypatch.delattr(os, "splice")
    assert Pipes().lend() is None


@pytest.mark.usefixtures("asked_anew")
@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSYS, errno.EINVAL])
def test_forbidden_call(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Where a sandbox forbids it one copies, and nothing is left open."""
    before = descriptors()
    monkeypatch.setattr(os, "splice", refuse(code))
    assert Pipes().lend() is None
    assert descriptors() <= before


@pytest.mark.usefixtures("asked_anew")
def test_cannot_tell_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A want of descriptors says nothing about whether it is allowed."""
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socketpair", refuse(errno.EMFILE))
        assert Pipes().lend() is None
    assert Pipes().lend() is not None
