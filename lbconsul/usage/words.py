"""Parses the words of a command line by the table of its command."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as AbstractMapping

from attrs import frozen

from lbconsul.config import grammar
from lbconsul.errors import ConfigError
from lbconsul.usage.argument import Argument
from lbconsul.usage.commands import Command


@frozen
class Given:
    """The words of a command line: the texts of options by name, and the rest."""

    options: AbstractMapping[str, list[str]]
    rest: tuple[str, ...]

    def __contains__(self, name: str) -> bool:
        return name in self.options

    def last(self, name: str, default: str = "") -> str:
        """The last text of an option."""
        return self.options.get(name, [default])[-1]


@frozen
class _Word:
    """An option with its text, or a word that is none; `raw` is as it was written."""

    raw: tuple[str, ...]
    argument: Argument | None = None
    text: str = ""


def parse(command: Command, words: Iterable[str]) -> Given:
    """What the words say; options may stand anywhere before ``--``.

    :raises ConfigError: an option is unknown, lacks its text, or is given twice.
    """
    options, rest = defaultdict[str, list[str]](list), list[str]()
    for each in _words(command, words, in_front=False):
        if each.argument is None:
            rest += each.raw
            continue
        if each.argument.name in options and not each.argument.repeats:
            raise ConfigError(f"--{each.argument.name}: is given twice")
        options[each.argument.name].append(each.text)
    return Given(dict(options), tuple(rest))


def parted(
    command: Command, words: Iterable[str], names: Iterable[str]
) -> tuple[Given, list[str]]:
    """The options of these names, which stand before other words; and the other words.

    :raises ConfigError: an option is unknown, or lacks its text.
    """
    options, others = defaultdict[str, list[str]](list), list[str]()
    names = set(names)
    for each in _words(command, words, in_front=True):
        if each.argument is not None and each.argument.name in names:
            options[each.argument.name].append(each.text)
        else:
            others += each.raw
    return Given(dict(options), ()), others


def _words(
    command: Command, words: Iterable[str], *, in_front: bool
) -> Iterator[_Word]:
    """The words of a command line.  Those `in_front` end before the first other word,
    and ``--`` is one of the others.
    """
    known = {flag: each for each in command.arguments for flag in each.all_flags}
    rest = iter(words)
    for word in rest:
        if word == "--" or (in_front and (word == "-" or not word.startswith("-"))):
            others = tuple(rest)
            yield _Word((word, *others) if in_front or word != "--" else others)
            return
        if word == "-" or not word.startswith("-"):
            yield _Word((word,))
        elif word.startswith("--"):
            yield _long(word, known, rest)
        else:
            yield from _short(word, known, rest)


def _long(
    word: str, known: AbstractMapping[str, Argument], rest: Iterator[str]
) -> _Word:
    flag, equals, text = word.partition("=")
    if flag not in known:
        flags = [each for each in known if each.startswith("--")]
        raise ConfigError(grammar.unknown("option", flag, flags))
    argument = known[flag]
    if not argument.takes:
        if equals:
            raise ConfigError(f"{flag}: takes no value")
        return _Word((word,), argument)
    if equals:
        return _Word((word,), argument, text)
    text = _next(flag, rest)
    return _Word((word, text), argument, text)


def _short(
    word: str, known: AbstractMapping[str, Argument], rest: Iterator[str]
) -> Iterator[_Word]:
    """One letter or several, of which the last may have a text behind it."""
    for place, letter in enumerate(word[1:], 2):
        flag = f"-{letter}"
        if flag not in known:
            raise ConfigError(f"unknown option {flag!r}")
        if not known[flag].takes:
            yield _Word((flag,), known[flag])
            continue
        text = word[place:] or _next(flag, rest)
        yield _Word((flag, text), known[flag], text)
        return


def _next(flag: str, rest: Iterator[str]) -> str:
    text = next(rest, None)
    if text is None:
        raise ConfigError(f"{flag}: needs a value")
    return text
