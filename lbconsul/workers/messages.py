"""What a master and its workers say to each other, and how it is written.

A master speaks pickle: its workers run the same code and believe it anyway.
Workers speak JSON, which is data and no more, whatever became of a worker.
"""

import json
import pickle
from collections.abc import Mapping as AbstractMapping
from typing import Any

from attrs import asdict, frozen

from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.model import Mapping

#: The longest frame either may send, in bytes: far beyond any in use.
MAX_FRAME = 1 << 26

#: What a worker's frame is, by its first byte.
REPORT, LOG, FIGURES, ANSWER = b"r", b"l", b"f", b"a"


@frozen
class Setup:
    """What a worker must know before all else: its row, and how many there are."""

    row: int
    rows: int


@frozen
class Assignment:
    """A mapping that a worker serves, with its share of the connections.

    The listening socket with this `number` was sent before.
    """

    mapping: Mapping
    number: int


@frozen
class Serve:
    """Serve just these: what stays as it was is not touched."""

    places: tuple[Assignment, ...]
    connection_log: bool
    #: What the others serve alone: answers for it are to be kept all the same.
    others: tuple[Mapping, ...] = ()
    #: How many listening sockets were sent for this.
    sent: int = 0


@frozen
class CatalogChunk:
    """A part of a change of one question's answer; the change is made with the last.

    `put` joined or were altered, each with its slot; `drop` left.  With `whole`
    set, the answer is what was put and nothing else.  Whoever has made the
    change knows the catalog as it was in version `level`.  With `gone` set nobody
    asks the question any more; with `pending` set there may be more, whose host names
    are being looked up.
    """

    question: ServiceQuery
    put: tuple[tuple[Instance, int | None], ...] = ()
    drop: tuple[Identity, ...] = ()
    whole: bool = False
    level: int = 0
    last: bool = True
    gone: bool = False
    pending: bool = False


@frozen
class SyncComplete:
    """That was all that the master knows: accept, be every question answered or not."""


@frozen
class Retire:
    """Accept nobody any more, let what is open end, report, and end."""


@frozen
class Rest:
    """An operator has drained these registrations, and no others any longer.

    Each with its CreateIndex.
    """

    resting: AbstractMapping[Identity, int]


@frozen
class Eject:
    """Eject this one, as if it had failed; answer with this number how it went."""

    identity: Identity
    number: int


@frozen
class Stop:
    """Accept nobody any more, close what is open, report, and end."""


Command = Setup | Serve | CatalogChunk | SyncComplete | Retire | Stop | Rest | Eject


@frozen
class Count:
    """Connections: accepted since the start, and open."""

    accepted: int = 0
    open: int = 0


@frozen
class Report:
    """How a worker is."""

    #: The version of the catalog that it knows.
    level: int = 0
    count: Count = Count()
    #: Leases that are not ended.
    leases: int = 0
    #: Whether it accepts clients.
    serves: bool = False
    #: What is full: for what reason, and of which mapping, if of one.
    full: tuple[tuple[str, str], ...] = ()


def write_order(order: Command) -> bytes:
    """An order as the worker gets it."""
    return pickle.dumps(order, pickle.HIGHEST_PROTOCOL)


def read_order(data: bytes) -> Command:
    """The order that was written so."""
    order: Command = pickle.loads(data)
    return order


def write_report(report: Report) -> bytes:
    """A report as the master gets it."""
    return REPORT + json.dumps(asdict(report)).encode()


def read_report(data: bytes) -> Report:
    """The report that was written so, without its first byte.

    :raises ValueError: it is none.
    """
    said: Any = json.loads(data)
    try:
        count = Count(
            _number(said["count"]["accepted"]), _number(said["count"]["open"])
        )
        level, leases = _number(said["level"]), _number(said["leases"])
        full = tuple((_text(reason), _text(name)) for reason, name in said["full"])
        return Report(level, count, leases, said["serves"] is True, full)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no report: {error!r}") from None


def _number(said: Any) -> int:
    if type(said) is not int or said < 0:
        raise TypeError(f"{said!r} counts nothing")
    return said


def _text(said: Any) -> str:
    if type(said) is not str:
        raise TypeError(f"{said!r} is no text")
    return said


def write_stats(number: int, news: dict[str, Any]) -> bytes:
    """The news of the place with this number, as the master gets them."""
    return FIGURES + json.dumps([number, news]).encode()


def read_figures(data: bytes) -> tuple[int, dict[str, Any]]:
    """The number and news that were written so, without their first byte.

    :raises ValueError: they are none.
    """
    match json.loads(data):
        case [int(number), dict(news)]:
            return number, news
        case _:
            raise ValueError("no figures")


def write_answer(number: int, reason: str) -> bytes:
    """Why an order of this number was not carried out, or nothing if it was."""
    return ANSWER + json.dumps([number, reason]).encode()


def read_answer(data: bytes) -> tuple[int, str]:
    """The number and reason that were written so, without their first byte.

    :raises ValueError: they are none.
    """
    match json.loads(data):
        case [int(number), str(reason)]:
            return number, reason
        case _:
            raise ValueError("no answer")
