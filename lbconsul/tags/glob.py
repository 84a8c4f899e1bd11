"""Patterns of hosts and paths with ``*``, ``?``, ``[a-z]`` and ``{a,b}``.  Pure.

They mean what they mean in fabio, which uses https://github.com/gobwas/glob without a
separator: ``*`` and ``**`` are any text, dots, slashes and colons too.  Whatever is in
a tag, to match takes a time that grows with the length of the text times that of the
pattern only.
"""

import re
from collections.abc import Iterator

#: The most texts that the ``{a,b}`` of one pattern may stand for.
_MOST_CHOICES = 64

_SPECIAL = re.compile(r"[*?\[{\\]")
_TOKEN = re.compile(
    r"(?P<escaped>\\.)|(?P<any>\*+)|(?P<one>\?)"
    r"|\[(?P<negated>!?)(?:(?P<low>[^\]\\])-(?P<high>[^\]\\])|(?P<chars>[^\]\\](?!-)[^\]\\]*))\]"
    r"|(?P<text>[^*?\[{\\]+)",
    re.DOTALL,
)


def is_glob(pattern: str) -> bool:
    """Whether a pattern stands for more than itself."""
    return _SPECIAL.search(pattern) is not None


def compiled(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern, for `re.Pattern.fullmatch`.

    :raises ValueError: it is no pattern; the text says what would be right.
    """
    choices = list(_choices(pattern))
    return re.compile("|".join(map(_expression, choices)), re.DOTALL)


def _choices(pattern: str) -> Iterator[str]:
    """The patterns without braces that this one stands for."""
    count, waiting = 0, [pattern]
    while waiting:
        each = waiting.pop()
        begin, end, parts = _first_braces(each)
        if begin < 0:
            yield each
            count += 1
        else:
            waiting += [each[:begin] + part + each[end:] for part in reversed(parts)]
        if count + len(waiting) > _MOST_CHOICES:
            raise ValueError(
                f"{pattern!r} has braces for more than {_MOST_CHOICES} patterns; write"
                " several tags"
            )


def _first_braces(pattern: str) -> tuple[int, int, list[str]]:
    """Where the first braces begin and end, and what is between the commas in them.

    The begin is -1 if there are none.
    """
    begin, depth, parts, at = -1, 0, list[str](), 0
    place = 0
    while place < len(pattern):
        char = pattern[place]
        if char == "\\":
            place += 1
        elif char == "[":
            place = max(place, pattern.find("]", place))
        elif char == "{":
            depth += 1
            if depth == 1:
                begin = at = place + 1
        elif depth and char in ",}":
            if depth == 1:
                parts.append(pattern[at:place])
                at = place + 1
            if char == "}":
                depth -= 1
            if not depth:
                return begin - 1, place + 1, parts
        place += 1
    if depth:
        raise ValueError(f"{pattern!r} has a {{ without a }}")
    return -1, -1, parts


def _expression(pattern: str) -> str:
    """The regular expression of a pattern without braces.

    The text before the next ``*`` is looked for at the first place where it can be,
    and at no other: there the rest matches if it matches anywhere.
    """
    pieces, place = [""], 0
    while place < len(pattern):
        match = _TOKEN.match(pattern, place)
        if match is None:
            raise ValueError(_what_is_wrong(pattern, place))
        if match["any"]:
            pieces.append("")
        else:
            pieces[-1] += _piece(match)
        place = match.end()
    first, *rest = pieces
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>.*?{each})" for each in middle) + f".*{last}"


def _piece(match: re.Match[str]) -> str:
    if match["one"]:
        return "."
    if match["escaped"]:
        return re.escape(match["escaped"][1])
    if match["text"]:
        return re.escape(match["text"])
    negation = "^" if match["negated"] else ""
    if match["low"]:
        low, high = match["low"], match["high"]
        if low > high:
            raise ValueError(f"{match[0]!r} ends before it begins")
        return f"[{negation}{re.escape(low)}-{re.escape(high)}]"
    return f"[{negation}{re.escape(match['chars'])}]"


def _what_is_wrong(pattern: str, place: int) -> str:
    if pattern[place] == "[":
        return (
            f"{pattern!r} has a [ that begins neither [abc] nor [a-z]; a pattern may"
            " have *, ?, [a-z] and {a,b}"
        )
    return f"{pattern!r} ends with a backslash, which escapes the next character"
