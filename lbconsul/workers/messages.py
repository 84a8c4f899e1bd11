"""The messages between the master and its workers, and their encoding.

The master sends pickle: workers run the same code and trust the master.  Workers send
JSON, which is only data, so a compromised worker cannot run code in the master.
"""

import json
import pickle
from collections.abc import Mapping as AbstractMapping
from typing import TYPE_CHECKING, Any

from attrs import asdict, field, frozen

from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.own_checks import ResultChanges
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.model import TLS, Mapping
from lbconsul.logs.format import LineFormat
from lbconsul.proxy.live_routes import RowChanges

if TYPE_CHECKING:  # OpenSSL takes memory that mappings without TLS do without
    from lbconsul.http.htpasswd import Passwords
    from lbconsul.tls.material import PEMText

#: The longest frame in bytes that either side may send: far beyond any in use.
MAX_FRAME = 1 << 26

#: The kinds of a worker's frames, by their first byte.
REPORT, LOG, LINES, TRAFFIC, ANSWER = b"r", b"l", b"c", b"f", b"a"


@frozen
class Setup:
    """The first message: the worker's row in the table, and how many rows there are.

    The worker's number is that of its row.
    """

    row: int
    rows: int
    #: The form of the access log's lines; None: connections are log events.
    line_format: LineFormat | None = None


@frozen
class Assignment:
    """A mapping that a worker serves, with the worker's share of its limits.

    Its listening socket was sent before, under this `number`, and its traffic is
    reported under it; that of its other rows under `routes`, in their order.
    """

    mapping: Mapping
    number: int
    routes: tuple[int, ...] = ()
    #: The slots of credits of the rows that are parts of splits; None for the others.
    #: Empty: there are no parts.
    slots: tuple[int | None, ...] = ()

    @property
    def rows(self) -> dict[int, Mapping]:
        """The mapping and its other rows, by number."""
        numbers = self.number, *self.routes
        return dict(zip(numbers, self.mapping.rows, strict=True))


@frozen
class Serve:
    """Serve exactly these mappings; unchanged ones are left alone."""

    assignments: tuple[Assignment, ...]
    connection_log: bool
    #: Mappings that only other workers serve; this worker keeps their pools
    #: nevertheless.
    others: tuple[Mapping, ...] = ()
    #: How many listening sockets were sent for this message.
    sent: int = 0
    #: The keys of the gateway's own cookies; the first one makes new ones.
    cookie_keys: tuple[bytes, ...] = field(default=(), repr=False)


@frozen
class Amend:
    """Changes of a mapping's rows, which come and go while it is served."""

    #: That of the mapping's assignment.
    number: int
    changes: RowChanges
    #: The numbers of the rows that are put, by `Mapping.route`.
    numbers: AbstractMapping[str, int]


@frozen
class CatalogChunk:
    """A part of one change of a query's answer; the last part completes the change.

    `put` holds the instances that joined or changed, each with its slot; `drop` those
    that left.  With `whole` the answer is what was put and nothing else.  After the
    last part the worker has this version of the catalog.  `gone`: the query is no
    longer asked.  `pending`: more instances may follow, whose host names are being
    looked up.
    """

    query: ServiceQuery
    put: tuple[tuple[Instance, int | None], ...] = ()
    drop: tuple[Identity, ...] = ()
    whole: bool = False
    version: int = 0
    last: bool = True
    gone: bool = False
    pending: bool = False


@frozen
class CertificatesChunk:
    """A part of the certificates for some TLS options, in their order.

    From the last part on new clients are served with all of them, and no others.
    """

    tls: TLS
    certificates: "tuple[PEMText, ...]"
    is_first: bool = True
    is_last: bool = False
    client_ca: "PEMText | None" = None
    client_crl: "PEMText | None" = None


@frozen
class KeepCertificates:
    """Drop the certificates of all TLS options but these."""

    wanted: tuple[TLS, ...]


@frozen
class UsePasswords:
    """The passwords in the file of this path, from now on."""

    path: str
    passwords: "Passwords"


@frozen
class KeepPasswords:
    """Drop the passwords of all files but these."""

    wanted: tuple[str, ...]


@frozen
class SyncComplete:
    """The worker has the master's whole catalog: accept, even if some queries have no
    answer yet.
    """


@frozen
class Drain:
    """Stop accepting, let open connections end, report, and exit."""


@frozen
class SetDrained:
    """The registrations that an operator has drained; all others are not drained.

    Each is given with its CreateIndex.
    """

    drained: AbstractMapping[Identity, int]


@frozen
class SetCheckResults:
    """Other results of the gateway's own checks, which the master makes."""

    changes: ResultChanges


@frozen
class Eject:
    """Eject this upstream as if it had failed; answer under this number."""

    identity: Identity
    number: int


@frozen
class Stop:
    """Stop accepting, close open connections, report, and exit."""


Command = (
    Setup
    | Serve
    | Amend
    | CatalogChunk
    | CertificatesChunk
    | KeepCertificates
    | UsePasswords
    | KeepPasswords
    | SyncComplete
    | Drain
    | SetCheckResults
    | Stop
    | SetDrained
    | Eject
)


@frozen
class Count:
    """Connections: accepted since the start, and open now."""

    accepted: int = 0
    open: int = 0


@frozen
class Report:
    """A worker's state."""

    #: The version of the catalog that the worker has.
    version: int = 0
    count: Count = Count()
    #: Leases that have not ended.
    leases: int = 0
    #: Whether the worker accepts clients.
    serves: bool = False
    #: What is full: the reason, and the mapping's name if it concerns one mapping.
    full: tuple[tuple[str, str], ...] = ()
    #: How often a policy or a hook was at fault, after its name and the kind.
    faults: tuple[tuple[str, str, int], ...] = ()

    @property
    def faults_by_kind(self) -> dict[tuple[str, str], int]:
        """The same by name and kind."""
        return {(name, kind): count for name, kind, count in self.faults}


def write_command(command: Command) -> bytes:
    """Encode a command for the worker."""
    return pickle.dumps(command, pickle.HIGHEST_PROTOCOL)


def read_command(data: bytes) -> Command:
    """Decode a command."""
    command: Command = pickle.loads(data)
    return command


def write_report(report: Report) -> bytes:
    """Encode a report for the master."""
    return REPORT + json.dumps(asdict(report)).encode()


def read_report(data: bytes) -> Report:
    """Decode a report, without its first byte.

    :raises ValueError: the data is no report.
    """
    value: Any = json.loads(data)
    try:
        count = Count(
            _number(value["count"]["accepted"]), _number(value["count"]["open"])
        )
        version, leases = _number(value["version"]), _number(value["leases"])
        full = tuple((_text(reason), _text(name)) for reason, name in value["full"])
        faults = tuple(
            (_text(name), _text(kind), _number(number))
            for name, kind, number in value["faults"]
        )
        serves = value["serves"] is True
        return Report(version, count, leases, serves, full, faults)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a report: {error!r}") from None


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"{value!r} is not a count")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"{value!r} is not text")
    return value


def write_answer(number: int, reason: str) -> bytes:
    """Encode the answer to a command: the reason for its failure, or "" on success."""
    return ANSWER + json.dumps([number, reason]).encode()


def read_answer(data: bytes) -> tuple[int, str]:
    """Decode an answer's number and reason, without their first byte.

    :raises ValueError: the data is no answer.
    """
    match json.loads(data):
        case [int(number), str(reason)]:
            return number, reason
        case _:
            raise ValueError("not an answer")
