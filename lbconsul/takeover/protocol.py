"""What a gateway and the one that takes over from it say, and how it is written.

Each says lines of JSON, in this order::

    the new one   {"takeover": [1], "program": "lbconsul 0.1.0"}
    the old one   {"takeover": 1, "sockets": ["0.0.0.0:80", "unix:/run/web.sock"]}
    the new one   {"takeover": "accepting"}
    the old one   {"takeover": "retiring"}

First come the versions that the new one speaks.  With the bytes of the second
line come the descriptors of the sockets, in their order; all are there when the
line is whole.  It may also have ``"state": {...}``, which is what the new one should
know of the old one; who does not know a name in it does without.  Instead of that line
the old one may say ``{"refused": "why"}``.  When the
new one ends the conversation after the last line the old one retires; if it ends
earlier, the old one goes on as if nothing had been.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

#: The version that we speak.  To add a word to a line is no new version.
VERSION = 1

#: The longest line that either takes, and the most sockets, in that order: far
#: beyond any in use.
MAX_LINE, MOST_SOCKETS = 1 << 22, 10_000

#: The longest line that the new one says.
MAX_WORD = 4096

#: The longest listening address, and the longest reason to refuse, in characters.
_LONGEST = 300

#: What the new one says when it accepts, and what the old one answers to that.
ACCEPTING, RETIRING = "accepting", "retiring"


class ProtocolError(ValueError):
    """The other one said what cannot be understood; the text says what."""


class Refused(Exception):
    """The other one will not hand over; the text says why."""


def write_question(program: str) -> bytes:
    """The new one asks for the sockets."""
    return _line(takeover=[VERSION], program=program)


def read_question(line: bytes) -> None:
    """Understand it.

    :raises Nonsense: it is none, or none of a version that we speak.
    """
    versions = _read(line).get("takeover")
    if not isinstance(versions, list):
        raise ProtocolError("it is no request for our sockets")
    if VERSION not in versions:
        spoken = ", ".join(str(each) for each in versions[:5])[:_LONGEST]
        raise ProtocolError(
            f"it speaks version {spoken or 'none'}, and we speak {VERSION}"
        )


def write_offer(
    addresses: Collection[str], state: Mapping[str, object] | None = None
) -> bytes:
    """The old one says which sockets come with this line, by listening address.

    And its state, where there is room for that.

    :raises Nonsense: they are too many.
    """
    said = {"takeover": VERSION, "sockets": list(addresses)}
    line = _line(**said, state=state) if state else _line(**said)
    if len(line) > MAX_LINE:
        line = _line(**said)
    if len(addresses) > MOST_SOCKETS or len(line) > MAX_LINE:
        raise ProtocolError(
            f"{len(addresses)} sockets are more than can be handed over"
        )
    return line


def read_offer(line: bytes) -> list[str]:
    """The listening addresses of the sockets that came with this line.

    :raises Refused: there are none, and this is why.
    :raises Nonsense: it is no offer, or none of a version that we speak.
    """
    said = _read(line)
    if "refused" in said:
        raise Refused(str(said["refused"])[:_LONGEST])
    if said.get("takeover") != VERSION:
        raise ProtocolError(
            f"it answers in version {str(said.get('takeover'))[:_LONGEST]},"
            f" and we speak {VERSION}"
        )
    addresses = said.get("sockets")
    if not isinstance(addresses, list) or len(addresses) > MOST_SOCKETS:
        raise ProtocolError("it names no sockets")
    for each in addresses:
        if not isinstance(each, str) or not 0 < len(each) <= _LONGEST:
            raise ProtocolError("it names a socket that is none")
    if len(set(addresses)) < len(addresses):
        raise ProtocolError("it names a socket twice")
    return addresses


def read_state(line: bytes) -> dict[str, Any]:
    """The state that came with an offer; empty from a gateway that says none."""
    state = _read(line).get("state")
    return state if isinstance(state, dict) else {}


def write_refusal(why: str) -> bytes:
    """The old one will not hand over."""
    return _line(refused=why)


def write_word(word: str) -> bytes:
    """One of the words that follow."""
    return _line(takeover=word)


def read_word(line: bytes) -> str:
    """The word that was written so.

    :raises Nonsense: it is none.
    """
    word = _read(line).get("takeover")
    if word not in (ACCEPTING, RETIRING):
        raise ProtocolError(f"it says {str(word)[:_LONGEST]!r}, which means nothing")
    return str(word)


def _line(**said: object) -> bytes:
    return json.dumps(said).encode() + b"\n"


def _read(line: bytes) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        raise ProtocolError("it says what is no JSON") from None
    if not isinstance(said, dict):
        raise ProtocolError("it says what is no JSON object")
    return said
