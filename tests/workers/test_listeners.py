"""What workers are to serve."""

from collections.abc import Callable, Iterator

import pytest
from attrs import evolve

from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Drain, Limits, Mapping
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.workers.listeners import ListenerSet, share
from lbconsul.workers.messages import Assignment, Serve

WEB = Mapping("web", TCPListen("127.0.0.1", 0), drain=Drain(timeout=7.0))


#: Makes the socket of a mapping, which the test does not leave open.
Owned = Callable[[Mapping], OwnedSocket]


@pytest.fixture
def owned() -> Iterator[Owned]:
    """Sockets of the master's."""
    made: list[OwnedSocket] = []

    def make(mapping: Mapping) -> OwnedSocket:
        made.append(OwnedSocket(mapping))
        return made[-1]

    yield make
    for each in made:
        each.close()


def _open(*sockets: OwnedSocket) -> list[bool]:
    """Which of them are open."""
    return [each.sock is not None for each in sockets]


@pytest.mark.parametrize(
    ("limit", "workers", "shares"),
    [(10, 3, [4, 3, 3]), (2, 4, [1, 1, 0, 0]), (0, 2, [0, 0]), (256, 2, [128, 128])],
)
def test_share(limit: int, workers: int, shares: list[int]) -> None:
    """A limit is divided so that the parts are the whole again."""
    assert [share(limit, workers, 1 + each) for each in range(workers)] == shares


def test_numbers(owned: Owned) -> None:
    """Each socket keeps its number, which no other one ever gets."""
    listeners = ListenerSet(2, True)
    one, two, three = (
        owned(WEB),
        owned(WEB),
        owned(evolve(WEB, drain=Drain(timeout=3.0))),
    )
    listeners.add(one)
    listeners.add(two)
    listeners.replace([two, three], connection_log=False)
    assert _open(one) == [False]
    serve, descriptors = listeners.of(1)
    assert serve == Serve((Assignment(WEB, 1), Assignment(three.mapping, 2)), False)
    assert descriptors == {1: two.open().fileno(), 2: three.open().fileno()}
    assert listeners.mappings == [WEB, three.mapping]
    listeners.replace([one], connection_log=False)
    assert listeners.of(1)[0].assignments == (Assignment(WEB, 3),)


def test_open_and_close(owned: Owned) -> None:
    """
    Sockets are opened and closed together, and that of a removed mapping is closed.
    """
    one, two = owned(WEB), owned(WEB)
    listeners = ListenerSet(2, True)
    for each in (one, two):
        listeners.add(each)
    listeners.bind()
    assert _open(one, two) == [True, True]
    listeners.replace([two], connection_log=True)
    assert _open(one, two) == [False, True]
    listeners.close()
    assert _open(one, two) == [False, False]


def test_shares(owned: Owned) -> None:
    """Each worker has its part of a limit; one without a part has no socket for it."""
    limited = evolve(WEB, limits=Limits(connections=1))
    listeners = ListenerSet(2, True)
    listeners.add(owned(limited))
    assert listeners.of(1)[0] == Serve((Assignment(limited, 0),), True)
    assert listeners.of(2) == (Serve((), True, (limited,)), {})


def test_longest_drain(owned: Owned) -> None:
    """A removed mapping may still have connections, so its drain timeout counts."""
    listeners = ListenerSet(2, True)
    assert listeners.longest_drain == 0.0
    listeners.add(owned(WEB))
    listeners.replace(
        [owned(evolve(WEB, drain=Drain(timeout=1.0)))], connection_log=True
    )
    assert listeners.longest_drain == 7.0


def test_number_of_a_mapping(owned: Owned) -> None:
    """A mapping is found by where it listens, whatever its options are."""
    listeners = ListenerSet(2, True)
    mail = evolve(WEB, service="mail", listen=TCPListen("127.0.0.1", 25))
    for each in (WEB, mail):
        listeners.add(owned(each))
    assert listeners.number(evolve(mail, tag="v2")) == 1
    assert listeners.number(evolve(WEB, listen=None)) is None
    assert listeners.numbers == {0, 1}


def test_routes(owned: Owned) -> None:
    """A route has a number of its own, which it keeps while others come and go."""
    a, b, c = (evolve(WEB, route=f"{each}.com", service=each) for each in "abc")
    listeners, sock = ListenerSet(2, True), owned(evolve(WEB, routes=(a, b)))
    listeners.add(sock)
    assert listeners.mappings == [WEB, a, b]
    [assignment] = listeners.of(1)[0].assignments
    assert assignment == Assignment(evolve(WEB, routes=(a, b)), 0, (1, 2))
    assert assignment.rows == {0: WEB, 1: a, 2: b}
    sock.mapping = evolve(WEB, routes=(c, evolve(b, tag="v2")))
    listeners.replace([sock], connection_log=True)
    assert [listeners.number(each) for each in (WEB, a, b, c)] == [0, None, 2, 3]
    assert listeners.numbers == {0, 2, 3}
    limited = evolve(sock.mapping, limits=Limits(connections=1))
    sock.mapping = limited
    listeners.replace([sock], connection_log=True)
    assert listeners.of(2)[0].others == limited.rows
