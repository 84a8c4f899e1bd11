"""Visit a gateway, and see which instance answers."""

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from tests.support.load import Address, Visitor, connect
from tests.support.waiting import eventually
from tests.support.workers import one_by_one


def visit(address: Address) -> str:
    """The instance that answers one request on a connection of its own."""
    with Visitor(address) as visitor:
        return name_in(visitor.ask())


def visits(address: Address, count: int) -> Counter[str]:
    """How many requests of `count` each server answers, one after the other."""
    return Counter(visit(address) for _ in range(count))


def name_in(answer: str) -> str:
    """The server's name, out of its answer."""
    return answer.partition(" ")[0]


@contextmanager
def held(address: Address, count: int) -> Iterator[list[tuple[str, Visitor]]]:
    """So many connections that stay open, with the name of each one's server."""
    with ExitStack() as stack:
        visitors = [stack.enter_context(Visitor(address)) for _ in range(count)]
        yield [(name_in(each.ask()), each) for each in visitors]


def held_by(held: list[tuple[str, Visitor]]) -> Counter[str]:
    """How many of the connections each server has."""
    return Counter(name for name, _ in held)


def eventually_shared(address: Address, shares: Mapping[str, int]) -> None:
    """Wait until one round of requests is shared so, which must be roundrobin's."""
    rounds: list[Counter[str]] = []

    def is_shared() -> bool:
        try:
            rounds.append(visits(address, sum(shares.values())))
        except OSError:  # not listening yet
            rounds.append(Counter())
        return rounds[-1] == dict(shares)

    eventually(is_shared, f"requests shared {dict(shares)}")


def each_worker_shares(
    address: Address, pids: Collection[int], names: Collection[str], count: int = 12
) -> None:
    """Wait until each of these workers has just these servers answer.

    Of a gateway without workers, none are to be named.
    """

    def is_shared() -> bool:
        return visits(address, count).keys() == set(names)

    for _ in one_by_one(pids or [os.getpid()]):
        eventually(is_shared, f"{', '.join(names)} answer, and no other")


def is_closed_at_once(address: Address) -> bool:
    """Whether a client is accepted and hears the end without any answer."""
    with connect(address) as sock:
        sock.settimeout(0.5)
        try:
            return sock.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True
