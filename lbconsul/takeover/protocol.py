"""The messages between a running gateway and the new one that takes over from it.

Both send lines of JSON, in this order::

    the new one   {"takeover": [1], "program": "lbconsul 0.1.0"}
    the old one   {"takeover": 1, "sockets": ["0.0.0.0:80", "unix:/run/web.sock"]}
    the new one   {"takeover": "accepting"}
    the old one   {"takeover": "retiring"}

The first line has the versions that the new gateway speaks.  The sockets' descriptors
come with the bytes of the second line, in the order of its addresses; all have arrived
when the line is complete.  That line may also have ``"state": {...}``, the running
gateway's state for the new one; unknown names in it are ignored.  Instead of that line
the running gateway may send ``{"refused": "why"}``.  When the new gateway closes the
connection after the last line, the old one drains; if it closes earlier, the old one
goes on unchanged.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

#: The protocol version of this code.  A further name in a line needs no new version.
VERSION = 1

#: The longest line in bytes, and the most sockets, that are accepted: far beyond any in
#: use.
MAX_LINE, MOST_SOCKETS = 1 << 22, 10_000

#: The longest line that the new gateway sends, in bytes.
MAX_WORD = 4096

#: The most that the name of a part of the state takes in a line, in bytes.
_MARGIN = 100

#: The longest listening address, and the longest reason to refuse, in characters.
_LONGEST = 300

#: The new gateway's word once it accepts, and the running gateway's answer.
ACCEPTING, RETIRING = "accepting", "retiring"


class ProtocolError(ValueError):
    """The other gateway sent an invalid message; the text says what is wrong."""


class Refused(Exception):
    """The running gateway refuses to hand over; the text says why."""


def write_request(program: str) -> bytes:
    """Encode the new gateway's request for the sockets."""
    return _line(takeover=[VERSION], program=program)


def read_request(line: bytes) -> None:
    """Check a request.

    :raises ProtocolError: the line is no request, or of no version known here.
    """
    versions = _read(line).get("takeover")
    if not isinstance(versions, list):
        raise ProtocolError("not a takeover request")
    if VERSION not in versions:
        spoken = ", ".join(str(each) for each in versions[:5])[:_LONGEST]
        raise ProtocolError(f"protocol version {spoken or 'none'} instead of {VERSION}")


def write_offer(
    addresses: Collection[str], state: Mapping[str, object] | None = None
) -> bytes:
    """Encode the addresses of the sockets that come with this line.

    The state is added, without its largest parts if there is no room for them.

    :raises ProtocolError: there are too many sockets.
    """
    message = {"takeover": VERSION, "sockets": list(addresses)}
    line, left = _line(**message), dict(state or {})
    while left:
        sizes = {name: len(json.dumps(value)) for name, value in left.items()}
        if len(line) + sum(sizes.values()) + _MARGIN * (len(sizes) + 1) <= MAX_LINE:
            line = _line(**message, state=left)
            break
        del left[max(sizes, key=lambda name: sizes[name])]
    if len(addresses) > MOST_SOCKETS or len(line) > MAX_LINE:
        raise ProtocolError(
            f"{len(addresses)} sockets are more than can be handed over"
        )
    return line


def read_offer(line: bytes) -> list[str]:
    """The listening addresses of the sockets that come with this line.

    :raises Refused: the running gateway refuses; the text says why.
    :raises ProtocolError: the line is no offer, or of no version known here.
    """
    message = _read(line)
    if "refused" in message:
        raise Refused(str(message["refused"])[:_LONGEST])
    if message.get("takeover") != VERSION:
        raise ProtocolError(
            f"protocol version {str(message.get('takeover'))[:_LONGEST]} instead of"
            f" {VERSION}"
        )
    addresses = message.get("sockets")
    if not isinstance(addresses, list) or len(addresses) > MOST_SOCKETS:
        raise ProtocolError("no list of sockets")
    for each in addresses:
        if not isinstance(each, str) or not 0 < len(each) <= _LONGEST:
            raise ProtocolError("a socket's address is not valid")
    if len(set(addresses)) < len(addresses):
        raise ProtocolError("a socket is named twice")
    return addresses


def read_state(line: bytes) -> dict[str, Any]:
    """The state in an offer; empty if the offer has none."""
    state = _read(line).get("state")
    return state if isinstance(state, dict) else {}


def write_refusal(why: str) -> bytes:
    """Encode the running gateway's refusal."""
    return _line(refused=why)


def write_word(word: str) -> bytes:
    """Encode one of the later words, `ACCEPTING` or `RETIRING`."""
    return _line(takeover=word)


def read_word(line: bytes) -> str:
    """Decode a word.

    :raises ProtocolError: the line is none.
    """
    word = _read(line).get("takeover")
    if word not in (ACCEPTING, RETIRING):
        raise ProtocolError(f"unknown word {str(word)[:_LONGEST]!r}")
    return str(word)


def _line(**message: object) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _read(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise ProtocolError("not JSON") from None
    if not isinstance(message, dict):
        raise ProtocolError("not a JSON object")
    return message
