"""The tables of README.md and docs/performance.md, to be copied from `tables.md`."""

from collections.abc import Iterator, Sequence

from attrs import frozen

from bench.peers.all import YARDSTICK
from bench.results import Results
from bench.table import aligned, ratio_of
from bench.work import CPU, IDLE_MEMORY, P99, TLS_MEMORY, Measure

#: HAProxy with a log line for each connection.
_LOGGING_YARDSTICK = "haproxy, tcplog"

#: What stands beside lbconsul, and its name in the head.
_OTHERS = {
    "nginx stream": "nginx stream",
    "envoy": "Envoy",
    "portforward": "Twisted's portforward",
    "bare loop": "a bare loop in Python",
}


@frozen
class _Row:
    title: str
    measure: Measure
    #: Whether lbconsul and HAProxy log each connection; the others are left out.
    logs: bool = False

    @property
    def base(self) -> str:
        """The peer that the ratios are to."""
        return _LOGGING_YARDSTICK if self.logs else YARDSTICK


_ROWS = (
    _Row("CPU, a request on a kept connection", CPU["keep-alive"]),
    _Row("CPU, a new connection", CPU["new connection"]),
    _Row("CPU, a new connection, both with a log line", CPU["new connection"], True),
    _Row("CPU, an answer of 64 KiB", CPU["64 KiB bodies"]),
    _Row("CPU, a MB of large answers", CPU["100 MiB bodies"]),
    _Row("p99 of latency at half load", P99),
    _Row("memory of an idle connection", IDLE_MEMORY),
)

_TLS_ROWS = (
    _Row("CPU, TLS, a request on a kept connection", CPU["TLS, keep-alive"]),
    _Row("CPU, TLS, a full handshake", CPU["TLS, full handshake"]),
    _Row("CPU, TLS, a resumed handshake", CPU["TLS, resumed handshake"]),
    _Row("CPU, TLS, an answer of 64 KiB", CPU["TLS, 64 KiB bodies"]),
    _Row("CPU, TLS, a MB of large answers", CPU["TLS, 100 MiB bodies"]),
    _Row("memory of an idle connection with TLS", TLS_MEMORY),
    _Row("CPU, a new connection by its server name", CPU["TLS not decrypted, by SNI"]),
    _Row("CPU, a new connection, PROXY header sent", CPU["PROXY header sent"]),
    _Row("CPU, a new connection, PROXY header accepted", CPU["PROXY header accepted"]),
)


def summary(results: Results) -> str:
    """The ratios to HAProxy's with their spread, and the builds; empty without any."""
    tables = [_table(results, rows) for rows in (_ROWS, _TLS_ROWS)]
    return "\n\n".join(filter(None, tables))


def _table(results: Results, wanted: Sequence[_Row]) -> str:
    rows = [each for each in wanted if each.base in results.peers(each.measure)]
    if not rows:
        return ""
    measured = {peer for row in rows for peer in results.peers(row.measure)}
    pythons = [
        f", {each}" for each in results.builds if f"lbconsul, {each}" in measured
    ]
    ours = ["", *pythons]
    others = [each for each in _OTHERS if each in measured]
    head = ["ratio to HAProxy's", *(f"lbconsul{each}" for each in ours)]
    head += [_OTHERS[each] for each in others]
    table = [[row.title, *_cells(results, row, ours, others)] for row in rows]
    return "\n\n".join((_introduction(results, rows), aligned([head, *table])))


def _introduction(results: Results, rows: Sequence[_Row]) -> str:
    versions = results.about["versions"]
    rounds = max(results.rounds(row.measure) for row in rows)
    spread = ", in brackets the lowest and the highest ratio of a round"
    return (
        f"lbconsul {versions['lbconsul']} on Python {versions['python']} beside HAProxy"
        f" {versions['haproxy']}, "
        + (f"medians of {rounds} rounds{spread}" if rounds > 1 else "one round")
        + "; less is better. "
        + " ".join(f"{name}: {build}." for name, build in results.builds.items())
    )


def _cells(
    results: Results, row: _Row, ours: Sequence[str], others: Sequence[str]
) -> Iterator[str]:
    name = "lbconsul, logging" if row.logs else "lbconsul"
    for each in ours:
        yield _ratio(results, row.measure, f"{name}{each}", row.base)
    for each in others:
        yield "" if row.logs else _ratio(results, row.measure, each, row.base)


def _ratio(results: Results, measure: Measure, peer: str, base: str) -> str:
    # The last place on a curve stands for it here, as in the other table.
    at = results.places(measure)[-1]
    return ratio_of(results, (measure, peer, at), (measure, base, at))
