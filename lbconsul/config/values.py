"""Parses single values: durations, numbers, choices, names.

Each function takes text and returns a value, or raises `ValueError` whose text says
what would be right; `lbconsul.config.sources` prefixes it with the place of the text.
"""

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches

from attrs import frozen

from lbconsul.config.address_values import is_host, port
from lbconsul.config.model import MOST_WORKERS, WhenEmpty
from lbconsul.text import decimal, unquoted

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d+)?)(ms|s|m|h|d)")
_LONGEST_NAME = 255
_WHEN_EMPTY = ("close", "wait", "fallback")
_NAME = re.compile(r"[^\s/?#:,]+")
#: A name, or ``package.module:Name``.
_CODE = re.compile(r"[a-zA-Z0-9_][\w.-]*|[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_GO_BOOLS = dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True)
_GO_BOOLS |= dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False)


def printable(text: str) -> str:
    """Any text of printable characters."""
    if not text or not text.isprintable():
        raise ValueError("must not be empty or hold control characters")
    return text


def nearest(word: str, choices: Iterable[str]) -> str:
    """The choice most likely meant by a word; empty if none is."""
    choices = sorted(choices, key=lambda each: (len(each), each))
    longer = [each for each in choices if word and each.startswith(word)]
    near = longer or get_close_matches(word, choices, 1)
    return near[0] if near else ""


def _meant(word: str, choices: Iterable[str]) -> str:
    """The start of the error text about a word that is none of the choices."""
    near = nearest(word, choices)
    return f"did you mean {near}? It " if near else ""


def duration(text: str) -> float:
    """Seconds from ``500ms``, ``5s``, ``2m``, ``1h`` or ``7d``."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(
            "must be a number with a unit, such as 500ms, 5s, 2m, 1h or 7d"
        )
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds <= 0:
        raise ValueError("must be longer than 0")
    return seconds


def duration_between(least: float, most: float) -> Callable[[str], float]:
    """A parser of durations from `least` to `most` seconds."""

    def parse(text: str) -> float:
        seconds = duration(text)
        if not least <= seconds <= most:
            raise ValueError(f"must be from {decimal(least)}s to {decimal(most)}s")
        return seconds

    return parse


def duration_or_off(text: str) -> float:
    """As `duration`; 0 for ``off``."""
    if text in ("off", "0", "0s"):
        return 0.0
    try:
        return duration(text)
    except ValueError as error:
        raise ValueError(f"{error}, or off") from None


def percentage(unit: str) -> Callable[[str], int]:
    """A parser of ``off``, which is 0, and of 1 to 99 with a unit such as ``%``."""

    def parse(text: str) -> int:
        match = re.fullmatch(rf"([1-9]\d?){unit}", text)
        if match is None and text != "off":
            raise ValueError(f"must be off, or a share from 1{unit} to 99{unit}")
        return int(match[1]) if match else 0

    return parse


def switch(text: str) -> bool:
    """A boolean from ``on`` or ``off``, or a synonym of either."""
    truth = {"on": True, "true": True, "1": True, "yes": True}
    truth |= {"off": False, "false": False, "0": False, "no": False}
    if text.lower() not in truth:
        raise ValueError(f"{_meant(text, ('on', 'off'))}must be on or off")
    return truth[text.lower()]


@frozen
class Whole:
    """Parses whole numbers from `least` to `most`."""

    least: int
    most: int

    def __call__(self, text: str) -> int:
        """The number that a text is."""
        number = int(text) if re.fullmatch(r"\d{1,9}", text) else -1
        if not self.least <= number <= self.most:
            raise ValueError(f"must be a whole number from {self.least} to {self.most}")
        return number


def whole(least: int, most: int = 999_999_999) -> Whole:
    """A parser of whole numbers from `least` to `most`."""
    return Whole(least, most)


def go_bool(text: str) -> bool:
    """A boolean as Go's ``strconv.ParseBool`` reads it, which Consul's tools use."""
    if text not in _GO_BOOLS:
        raise ValueError(f"must be one of {', '.join(_GO_BOOLS)}")
    return _GO_BOOLS[text]


def worker_count(text: str) -> int:
    """A number of processes; 0 for ``auto``."""
    if text == "auto":
        return 0
    try:
        return whole(1, MOST_WORKERS)(text)
    except ValueError as error:
        raise ValueError(f"{error}, or auto") from None


@frozen
class OneOf:
    """Parses a text that is one of `choices`."""

    choices: tuple[str, ...]

    def __call__(self, text: str) -> str:
        """The text, if it is one of the choices."""
        known = self.choices
        if text not in known:
            near = nearest(text, known)
            hint = f"did you mean {near}? It" if near else "it"
            raise ValueError(f"unknown; {hint} is one of {', '.join(known)}")
        return text


def one_of(choices: Iterable[str]) -> OneOf:
    """A parser that takes one of `choices`."""
    return OneOf(tuple(sorted(choices)))


def hooks(text: str) -> tuple[str, ...]:
    """What names code, once or several times as in ``one|two``; none twice."""
    names = tuple(text.split("|"))
    if not all(map(_CODE.fullmatch, names)):
        raise ValueError(
            "must be MODULE:NAME such as mypackage.mymodule:MyClass, or the name of an"
            " entry point, or several as one|two"
        )
    if len(set(names)) < len(names):
        raise ValueError("must name each of them once")
    return names


@frozen
class OneOfOrCode(OneOf):
    """Parses a text that is one of `choices`, or names code of the operator's own."""

    def __call__(self, text: str) -> str:
        """One of the choices, the name of an entry point, or MODULE:NAME."""
        if not _CODE.fullmatch(text):
            choices = "".join(f"{each}, " for each in self.choices)
            raise ValueError(
                f"must be {choices}the name of an entry point, or MODULE:NAME such as"
                " mypackage.mymodule:MyClass"
            )
        return text


def mode(choices: Iterable[str]) -> Callable[[str], str]:
    """As `one_of`; it knows what octal digits were meant for in former versions."""
    known = one_of(choices)

    def parse(text: str) -> str:
        if re.fullmatch(r"0?[0-7]{3}", text):
            raise ValueError(
                f"must be one of {', '.join(sorted(choices))}; a UNIX socket's"
                f" permissions are called unix-mode now: unix-mode={text}"
            )
        return known(text)

    return parse


def certificates(text: str) -> str:
    """A path, or ``consul:PREFIX``: where PEM certificates and keys are."""
    printable(text)
    if text.startswith("consul:") and not text.removeprefix("consul:").strip("/"):
        raise ValueError("must have a prefix of keys, as consul:lbconsul/certificates")
    return text


def certificate_files(text: str) -> str:
    """A path where PEM certificates and keys are."""
    if printable(text).startswith("consul:"):
        raise ValueError("must be a file or a folder: it is needed when Consul is away")
    return text


def health(text: str) -> frozenset[str]:
    """Statuses that may get connections: passing, warning, or ``any``."""
    if text == "any":
        return frozenset({"passing", "warning", "critical"})
    statuses = frozenset(re.split(r"[,+]", text))
    if "passing" not in statuses or not statuses <= {"passing", "warning"}:
        odd = next(iter(sorted(statuses - {"passing", "warning"})), "")
        near = _meant(odd, ("passing", "warning", "any"))
        raise ValueError(f"{near}must be passing; passing,warning; or any")
    return statuses


def file_mode(text: str) -> int:
    """Permission bits from octal digits, such as ``660``."""
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise ValueError("must be three octal digits, such as 660")
    return int(text, 8)


def name(text: str) -> str:
    """A name in Consul: of a service, a tag, a node, a datacenter, a namespace."""
    if not _NAME.fullmatch(text) or not text.isprintable():
        raise ValueError("must be a name without spaces and without any of / ? # : ,")
    return text


def service(text: str) -> str:
    """The name of a service, with any characters."""
    if not text or not text.isprintable() or len(text) > _LONGEST_NAME:
        raise ValueError(
            f"service must have 1 to {_LONGEST_NAME} characters, all of them printable"
        )
    return text


def datacenters(text: str) -> tuple[str, ...]:
    """Names of datacenters, as in ``dc1|dc2``; no name twice."""
    try:
        names = tuple(name(each) for each in text.split("|"))
    except ValueError:
        raise ValueError("must be a datacenter's name, or several as dc1|dc2") from None
    if len(set(names)) < len(names):
        raise ValueError("must name each datacenter once")
    return names


def when_empty(text: str) -> WhenEmpty:
    """``close``, ``wait=5s``, ``fallback=SERVICE`` or ``fallback=HOST:PORT``."""
    word, _, value = text.partition("=")
    if text == "close":
        return WhenEmpty()
    if word == "wait" and value:
        return WhenEmpty(wait=duration(value))
    if word == "fallback" and value:
        return _fallback(value)
    near = "" if word in _WHEN_EMPTY else _meant(word, _WHEN_EMPTY)
    raise ValueError(
        f"{near}must be close, wait=5s, fallback=SERVICE or fallback=HOST:PORT"
    )


def _fallback(text: str) -> WhenEmpty:
    if text.startswith('"'):
        return WhenEmpty(fallback=service(unquoted(text)))
    host, colon, number = text.rpartition(":")
    if not colon:
        return WhenEmpty(fallback=name(text))
    if not is_host(host):
        raise ValueError(
            f"{text!r} must be a service or HOST:PORT, with a host name, an IPv4"
            " address, or an IPv6 one in brackets"
        )
    return WhenEmpty(fallback=f"{host}:{port(number)}", is_address=True)
