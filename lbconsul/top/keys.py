"""The keys, and what they do.  Pure."""

from collections.abc import Iterator

from attrs import frozen

from lbconsul.top.lines import HEAD, Line, line, paragraph


@frozen
class Key:
    """A key: as Textual calls it, and as people do; the action; what it does."""

    codes: str
    label: str
    action: str
    help: str
    #: For the last line of the terminal; empty if it has no room there.
    short: str = ""


KEYS = (
    Key("j,down", "j, Down", "move(1)", "go down one row"),
    Key("k,up", "k, Up", "move(-1)", "go up one row"),
    Key("pagedown,ctrl+d", "PgDn, ^D", "page(1)", "go down one page"),
    Key("pageup,ctrl+u", "PgUp, ^U", "page(-1)", "go up one page"),
    Key("g,home", "g, Home", "edge(0)", "go to the first row"),
    Key("G,end", "G, End", "edge(1)", "go to the last row"),
    Key("enter", "Enter", "details", "show all about the row", "details"),
    Key("space", "Space", "fold", "hide a mapping's instances, or show them"),
    Key(
        "slash", "/", "filter",
        "show only rows with these words: names, services, addresses, standings,"
        " reasons, tags; Esc ends it", "filter",
    ),
    Key(
        "s", "s", "sort",
        "sort by problems, name, open connections, connections, requests, errors,"
        " latency, bytes sent", "sort",
    ),
    Key("d", "d", "order('drain')", "drain the instance: no new connections", "drain"),
    Key("u", "u", "order('undrain')", "end its drain", "undrain"),
    Key("e", "e", "order('eject')", "eject it, as if it had failed", "eject"),
    Key("l", "l", "events", "show what changes, live", "events"),
    Key("question_mark,h", "?, h", "help", "show this", "help"),
    Key("q,ctrl+c", "q, ^C", "app.quit", "end", "quit"),
)  # fmt: skip

#: What the words of the table mean.
_WORDS = (
    (
        "Rates and latencies",
        "are of the last 5 seconds. P50 and P99 are within how long the first byte of"
        " half the answers came, and of 99 of 100: of a mapping in HTTP mode from the"
        " request on, else from the connection on; of an instance they are of its"
        " latest answers. CONNECT is the half of the times to connect, too.",
    ),
    (
        "FAIL/S",
        "is connections and requests that went wrong; of an instance, connects.",
    ),
    (
        "Marks",
        "+ serving  ~ warming up  - draining  ? suspect  x ejected  ! a mapping"
        " without upstreams, or one that does not listen",
    ),
)


def hints(width: int) -> Line:
    """The keys that do most, in one line."""
    parts = [(each.label.split(",")[0], each.short) for each in KEYS if each.short]
    needed = sum(len(key) + len(text) + 3 for key, text in parts)
    if needed + len("j/k move  ") <= width:
        parts.insert(0, ("j/k", "move"))
    gap = "  " if needed <= width else " "
    spans: list[str | tuple[str, str]] = []
    for key, text in parts:
        spans += [(key, HEAD), f" {text}{gap}"]
    return line(*spans)


def help_lines(width: int) -> Iterator[Line]:
    """All keys, and what the words of the table mean."""
    for each in KEYS:
        first, *rest = paragraph(each.help, max(20, width - 12))
        yield line((each.label.ljust(12), HEAD), first.text)
        yield from (line(" " * 12, other.text.strip()) for other in rest)
    for title, text in _WORDS:
        yield line()
        yield from paragraph(f"{title} {text}", width)
