"""The options of a mapping that split its clients or requests among parts."""

import re
from collections.abc import Iterator

from lbconsul.config import affinity_values, values
from lbconsul.config.option import Option
from lbconsul.config.split import Share, Sticky, Trait
from lbconsul.text import unquoted

#: The cookie that keeps a client in its part, where no name is given.
COOKIE = "lbconsul-split"

#: A part: up to a ``|`` that is not within double quotes.
_PART = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^|])*')

_SHARE = re.compile(r"(\d{1,2}(?:\.\d{1,4})?)%:(tag|meta|service)=(.+)", re.DOTALL)

_META_KEY = re.compile(r"[A-Za-z0-9_-]{1,128}")

_FORM = "must be SHARE:tag=TAG, SHARE:meta=KEY:VALUE or SHARE:service=NAME, as in"


def split(text: str) -> tuple[Share, ...]:
    """Parts with ``|`` between them, as ``5%:tag=canary|10%:service=web-next``."""
    shares = tuple(map(_share, _pieces(text)))
    names = [each.name for each in shares]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is given twice")
    total = sum(each.percent for each in shares)
    if total > 100 - 1e-6:
        raise ValueError(
            f"the parts have {total:g}% together, and must leave something for the"
            " other instances"
        )
    return shares


def _pieces(text: str) -> Iterator[str]:
    end = -1
    while end < len(text):
        piece = _PART.match(text, end + 1)
        assert piece is not None  # it may be empty
        yield piece[0]
        end = piece.end()


def _share(text: str) -> Share:
    match = _SHARE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} {_FORM} 5%:tag=canary; several with | between them")
    percent, kind, what = float(match[1]), match[2], match[3]
    if percent <= 0:
        raise ValueError(f"{text!r} must have a share of more than 0%")
    if kind == "meta":
        key, colon, value = what.partition(":")
        if not colon or not _META_KEY.fullmatch(key):
            raise ValueError(f"{text!r} {_FORM} 5%:meta=version:2")
        return Share(percent, Trait(key=key, value=_word(value)))
    if kind == "service":
        return Share(percent, service=values.service(_word(what)))
    return Share(percent, Trait(_word(what)))


def _word(text: str) -> str:
    return values.printable(unquoted(text) if text.startswith('"') else text)


def sticky(text: str) -> Sticky:
    """``off``, ``source``, ``cookie`` or ``cookie:NAME``."""
    if text in ("off", "source"):
        return Sticky("" if text == "off" else text)
    try:
        name = affinity_values.sticky(text)
    except ValueError:
        raise ValueError(
            "must be off, source, cookie or cookie:NAME, such as cookie:CANARY"
        ) from None
    return Sticky("cookie", name if ":" in text else COOKIE)


SPLIT_OPTIONS = (
    Option(
        "split",
        split,
        "send exact shares of the clients, with mode=http of the requests, to other"
        " instances, such as a canary's: 5%:tag=canary, by meta=KEY:VALUE or"
        " service=NAME; several with | between them",
    ),
    Option(
        "split-sticky",
        sticky,
        "what keeps a client in its part of the split: source, its address; with"
        " mode=http also cookie or cookie:NAME; or off [off]",
    ),
)
