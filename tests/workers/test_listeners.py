"""What workers are to serve."""

import socket

import pytest
from attrs import Factory, define, evolve

from lbconsul.config.model import Drain, Limits, Mapping, TCPListen
from lbconsul.workers.listeners import ListenerSet, share
from lbconsul.workers.messages import Assignment, Serve

WEB = Mapping("web", TCPListen("127.0.0.1", 80), drain=Drain(timeout=7.0))


@define(eq=False)
class Fake:
    """A socket of the master's."""

    mapping: Mapping
    sock: socket.socket = Factory(socket.socket)
    is_open: bool = False

    def open(self) -> socket.socket:
        self.is_open = True
        return self.sock

    def close(self) -> None:
        self.is_open = False


@pytest.mark.parametrize(
    ("limit", "workers", "shares"),
    [(10, 3, [4, 3, 3]), (2, 4, [1, 1, 0, 0]), (0, 2, [0, 0]), (256, 2, [128, 128])],
)
def test_share(limit: int, workers: int, shares: list[int]) -> None:
    """A limit is divided so that the parts are the whole again."""
    assert [share(limit, workers, 1 + each) for each in range(workers)] == shares


def test_numbers() -> None:
    """Each socket keeps its number, which no other one ever gets."""
    places = ListenerSet(2, True)
    one, two, three = Fake(WEB), Fake(WEB), Fake(evolve(WEB, drain=Drain(timeout=3.0)))
    places.add(one)
    places.add(two)
    places.replace([two, three], connection_log=False)
    assert not one.is_open
    serve, descriptors = places.of(1)
    assert serve == Serve((Assignment(WEB, 1), Assignment(three.mapping, 2)), False)
    assert descriptors == {1: two.sock.fileno(), 2: three.sock.fileno()}
    assert places.mappings == [WEB, three.mapping]
    places.replace([one], connection_log=False)
    assert places.of(1)[0].places == (Assignment(WEB, 3),)


def test_open_and_close() -> None:
    """They are opened and closed together, and one that is served no more is closed."""
    one, two = Fake(WEB), Fake(WEB)
    places = ListenerSet(2, True)
    for each in (one, two):
        places.add(each)
    places.bind()
    assert [one.is_open, two.is_open] == [True, True]
    places.replace([two], connection_log=True)
    assert [one.is_open, two.is_open] == [False, True]
    places.close()
    assert [one.is_open, two.is_open] == [False, False]


def test_shares() -> None:
    """Each worker has its part of a limit; one without a part has no socket for it."""
    limited = evolve(WEB, limits=Limits(connections=1))
    places = ListenerSet(2, True)
    places.add(Fake(limited))
    assert places.of(1)[0] == Serve((Assignment(limited, 0),), True)
    assert places.of(2) == (Serve((), True, (limited,)), {})


def test_longest_drain() -> None:
    """What was served may still have connections, with the timeout that it had."""
    places = ListenerSet(2, True)
    assert places.longest_drain == 0.0
    places.add(Fake(WEB))
    places.replace([Fake(evolve(WEB, drain=Drain(timeout=1.0)))], connection_log=True)
    assert places.longest_drain == 7.0


def test_number_of_a_mapping() -> None:
    """A mapping is found by where it listens, whatever its options are."""
    places = ListenerSet(2, True)
    mail = evolve(WEB, service="mail", listen=TCPListen("127.0.0.1", 25))
    for each in (WEB, mail):
        places.add(Fake(each))
    assert places.number(evolve(mail, tag="v2")) == 1
    assert places.number(evolve(WEB, listen=None)) is None
    assert places.numbers == {0, 1}
