"""Makes untrusted text fit for a log line, a mapping or a path.  Pure."""

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

#: A name that needs no quotes: it has no separator of a mapping, a route, an option or
#: a URL, and is not the dash that stands for no service.
_PLAIN = re.compile(r"""(?!-\Z)[^\s/?#:,="][^\s/?#:,=]*""")

#: A list names at most this many words, and counts the others.
_NAMED = 5

#: The most characters shown of one word.
_WORD = 60

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


def printable(text: str, instead: str = "?") -> str:
    """The text with `instead` for each character that is not printable.

    A line break or a control character from outside must not garble a line.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else instead for char in text)


def one_line(text: str, most: int) -> str:
    """The beginning of `text` on one line: at most `most` printable characters."""
    words = " ".join(text[: 4 * most].split())
    return printable(words, "")[:most]


def clipped(text: str, most: int) -> str:
    """`text`, cut to `most` characters with an ellipsis if it is longer."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def listed(words: Iterable[str], longest: int = _WORD) -> str:
    """The first words in order, each bounded and printable, and how many follow."""
    shown = sorted(set(words))
    more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
    return ", ".join(fit(each, longest) for each in shown[:_NAMED]) + more


def fit(word: str, longest: int = _WORD) -> str:
    """An untrusted word, bounded, its unprintable characters replaced by ``?``."""
    shown = printable(word[:longest])
    return shown if len(word) <= longest else f"{shown}..."


def encoded_path(parts: Iterable[str]) -> str:
    """The parts percent-encoded, with slashes between them."""
    return "/".join(quote(each, safe="", errors="surrogatepass") for each in parts)


def decoded_path(path: str) -> list[str]:
    """The parts that `encoded_path` joined."""
    return [unquote(each, errors="surrogatepass") for each in path.split("/")]


def quoted(name: str) -> str:
    """A name as a mapping writes it: in double quotes if it has separators."""
    if _PLAIN.fullmatch(name):
        return name
    escaped = re.sub(r'(["\\])', r"\\\1", name)
    return f'"{escaped}"'


def unquoted(text: str) -> str:
    """The text in double quotes; a backslash escapes a quote or a backslash.

    :raises ValueError: the quotes are not closed, or text follows them.
    """
    match = _QUOTED.fullmatch(text)
    if match is None:
        raise ValueError(f"{text} must end with the quote that closes it")
    return re.sub(r"\\(.)", r"\1", match[1])


def decimal(number: float) -> str:
    """A number in plain decimal notation: not as 1e+06."""
    return f"{number:.9f}".rstrip("0").rstrip(".")
