"""Which route a request takes, and why: ``/why`` as values, and as lines for people.

Names are those of ``/status``.
"""

from collections.abc import Iterator, Mapping

from attrs import Factory, frozen

from lbconsul.text import printable

#: The most candidates of a mapping that are listed; one host can have thousands.
MOST_CANDIDATES = 100


@frozen
class Question:
    """A request that a client could send."""

    #: ``http://example.com:8080/path?query``; without a scheme it is http.
    url: str
    method: str = "GET"
    #: Names and values; a ``Host`` stands for that of the URL.
    fields: tuple[tuple[str, str], ...] = ()


@frozen
class CandidateStatus:
    """A route that was considered, or the mapping's own service."""

    #: The mapping or route that it is.
    name: str
    #: Its pattern and conditions; empty if it is for what no route takes.
    route: str
    #: Empty if it has no service, but answers itself.
    service: str
    #: What about the request does not match; empty if everything does.
    mismatch: str = ""


@frozen
class PoolCount:
    """How many upstreams of a pool there are."""

    query: str
    upstreams: int
    #: Those that Consul lets serve and that are not ejected.
    usable: int
    #: Whether new connections go there.
    used: bool
    #: Whether the pool serves only while all others are empty.
    fallback: bool


@frozen(kw_only=True)
class MappingExplanation:
    """What one mapping does with the request."""

    mapping: str
    listen: str
    #: ``http``, ``sni``, ``tcp``.
    mode: str
    #: The path in the form that routes are compared with; empty without ``mode=http``.
    path: str = ""
    #: In the order in which they are considered, the first `MOST_CANDIDATES`.
    candidates: tuple[CandidateStatus, ...] = ()
    #: How many candidates there are.
    considered: int = 0
    #: How many routes are for other hosts only.
    others: int = 0
    #: The candidate that takes the request; None if none does.
    winner: CandidateStatus | None = None
    #: The status of the gateway's own answer; 0 if an instance answers, or if the
    #: client is closed without an answer.
    status: int = 0
    #: Why no instance answers, as far as that is known; empty if one does.
    reason: str = ""
    #: Where a redirect leads; empty if it is none.
    location: str = ""
    #: The request line that instances get; empty if they get none.
    sends: str = ""
    #: The options of the winner that rewrite, or say who is served.
    options: Mapping[str, str] = Factory(dict)
    #: The winner's, in the order in which they are preferred.
    pools: tuple[PoolCount, ...] = ()
    #: What else is to be known.
    notes: tuple[str, ...] = ()


@frozen
class Why:
    """The answer: of each mapping that may get the request."""

    url: str
    method: str
    mappings: tuple[MappingExplanation, ...]


def lines(why: Why) -> Iterator[str]:
    """The answer for a terminal: names in it are not trusted, and made printable."""
    for each in _lines(why):
        yield printable(each, "\ufffd").rstrip()


def _lines(why: Why) -> Iterator[str]:
    yield f"{why.method} {why.url}"
    for each in why.mappings:
        yield ""
        yield from _mapping(each)


def _mapping(told: MappingExplanation) -> Iterator[str]:
    path = f", path {told.path}" if told.path else ""
    yield f"{told.mapping} on {told.listen}, mode={told.mode}{path}"
    yield from _candidates(told)
    if told.considered > len(told.candidates):
        yield f"    and {told.considered - len(told.candidates)} more candidates"
    if told.others:
        yield f"    {_count(told.others, 'route is', 'routes are')} for other hosts"
    yield f"  {_outcome(told)}"
    for pool in told.pools:
        yield f"    {_pool(pool)}"
    if told.sends:
        yield f"    instances get: {told.sends}"
    for name, text in told.options.items():
        yield f"    {name}={text}"
    for note in told.notes:
        yield f"  note: {note}"


def _candidates(told: MappingExplanation) -> Iterator[str]:
    rows = []
    is_found = False
    for each in told.candidates:
        is_winner = each == told.winner
        is_found = is_found or is_winner
        mark = "=>" if is_winner else " x" if each.mismatch else " -"
        why = each.mismatch or (
            "matches" if is_winner else "matches, but an earlier one does as well"
        )
        route = each.route or "what no route takes"
        rows.append((mark, route, each.service or "-", why))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        yield "  " + "  ".join(cell.ljust(width) for cell, width in cells)


def _outcome(told: MappingExplanation) -> str:
    if told.location:
        return f"{told.status}: sent to {told.location}"
    if told.status:
        return f"{told.status}: {told.reason}"
    if told.reason or told.winner is None:
        return f"closed: {told.reason}"
    return f"served by {told.winner.service}, as {told.winner.name}"


def _pool(pool: PoolCount) -> str:
    of = _count(pool.upstreams, "instance", "instances")
    kind = " (fallback)" if pool.fallback else ""
    used = ", in use" if pool.used else ""
    return f"{pool.query}{kind}: {pool.usable} of {of} usable{used}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
