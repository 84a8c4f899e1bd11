"""Which orders can be given, and what is asked before.  Pure."""

from attrs import frozen

from lbconsul.top.figures import Status
from lbconsul.top.lines import plural
from lbconsul.top.rows import Row

#: By verb: what comes of it.
_MEANS = {
    "drain": "It gets no new connection, in all mappings; {open} may go on.",
    "undrain": "It serves again, if Consul says so.",
    "eject": "It gets no connection for a while, as if it had failed; {open} go on.",
}

_DONE = {"drain": "drained", "undrain": "undrained", "eject": "ejected"}


@frozen
class Question:
    """An order that can be given, if it is meant."""

    verb: str
    #: The id of the upstream.
    upstream: str
    lines: tuple[str, ...]


def question(
    verb: str, row: Row | None, status: Status, *, has_token: bool
) -> Question | str:
    """What to ask before the order; or why it cannot be given, in one line."""
    if row is None or not row.upstream:
        return f"{verb}: choose an instance first"
    if status["gateway"]["changes"] == "off":
        return f"{verb}: the gateway takes no orders: it has no --admin-token-file"
    if not has_token:
        return (
            f"{verb}: needs the gateway's token: start top with --admin-token-file"
            " or LBCONSUL_ADMIN_TOKEN"
        )
    if row.kind == "gone" and verb != "undrain":
        return f"{verb}: {row.name} is not in Consul"
    text = _MEANS[verb].format(open=plural(row.source.get("open", 0), "connection"))
    return Question(verb, row.upstream, (f"{verb} {row.name.strip()}?", text))


def done(asked: Question, lasts: str) -> str:
    """What was done; `lasts` is for how long, if the gateway says so."""
    return f"{_DONE[asked.verb]} {asked.upstream}{f', {lasts}' if lasts else ''}"
