"""The ClientHello, with which a client of TLS begins: the server name.  Pure.

Nothing is decrypted.  With Encrypted Client Hello (RFC 9849) the names are those of the
outer hello, which is all that there is to see.
"""

import struct

from attrs import frozen

from lbconsul.config.server_names import canonical_name

#: The longest hello that is accepted, in bytes, with the records' heads.  Those with
#: post-quantum keys have about 2 KiB.
MAX_HELLO = 16384

#: The most records that a hello may come in; one is usual.  The bound keeps the cost of
#: a hello that trickles in linear.
_MOST_RECORDS = 16

#: TLS records: type, version and length (RFC 8446, 5.1).
_RECORD_HEAD, _HANDSHAKE, _LONGEST_RECORD = 5, 22, 16384
_LAST_MINOR = 4

#: Handshake messages: type and length (RFC 8446, 4).
_MESSAGE_HEAD, _CLIENT_HELLO = 4, 1

#: Both heads, where the message begins with the record.
_HEADS = struct.Struct("!BBBHI")

#: Bytes of version and random, with which the hello begins (RFC 8446, 4.1.2).
_FIXED = 2 + 32
_LONGEST_SESSION_ID = 32

#: The extension (RFC 6066, 3), and the one type of server name.
_SERVER_NAME = 0
_EXTENSION_HEAD = struct.Struct("!HH")
_HOST_NAME = 0


class BadHello(ValueError):
    """The bytes are no ClientHello, and more of them do not help; the text says why.

    The text holds nothing of what was sent.
    """


class NotTLS(BadHello):
    """The client does not speak TLS, or an SSL older than its version 3."""


@frozen
class ClientHello:
    """What a client sends before anything is encrypted."""

    #: The host name, in lower case and without a final dot.  None if the client sends
    #: none, or what is no host name, such as an IP address (RFC 6066, 3).
    server_name: str | None = None


def parse(data: bytes) -> ClientHello | None:
    """Parse the beginning of a connection; None if more bytes are needed.

    Takes all bytes that have arrived, and refuses them as soon as the heads of records
    and message show that they are no hello.  `MAX_HELLO` bytes never need more; what
    follows the hello is ignored.  While the hello is not complete, a call looks only at
    the heads of its records, so that one that trickles in costs little more.

    :raises NotTLS: the client does not speak TLS.
    :raises BadHello: the hello is malformed, or longer than accepted.
    """
    message = _in_one_record(data) or _message(data[:MAX_HELLO])
    if message is not None:
        return _parse_message(message)
    if len(data) >= MAX_HELLO:
        raise BadHello(f"it is longer than {MAX_HELLO} bytes")
    return None


def _in_one_record(data: bytes) -> bytes:
    """The hello without heads, if it is well-formed so far; else empty.

    It comes to the same as `_message` in less time, and most hellos are such.
    """
    if len(data) < _HEADS.size:
        return b""
    kind, major, minor, length, head = _HEADS.unpack_from(data)
    size = head & 0xFF_FFFF
    end = _HEADS.size + size
    if (
        (kind, major, head >> 24) == (_HANDSHAKE, 3, _CLIENT_HELLO)
        and minor <= _LAST_MINOR
        and _MESSAGE_HEAD + size <= length <= _LONGEST_RECORD
        and end <= MAX_HELLO
        and end <= len(data)
    ):
        return data[_HEADS.size : end]
    return b""


def _message(data: bytes) -> bytes | None:
    """The hello without heads, from its records; None if more bytes are needed."""
    _check_beginning(data)
    parts: list[bytes] = []
    size, at, head = 0, 0, b""
    while at + _RECORD_HEAD <= len(data):
        if len(parts) == _MOST_RECORDS:
            raise BadHello(f"it comes in more than {_MOST_RECORDS} records")
        _check_record(data[at : at + _RECORD_HEAD])
        begin = at + _RECORD_HEAD
        at = begin + int.from_bytes(data[begin - 2 : begin])
        parts.append(data[begin:at])
        size += len(parts[-1])
        head += parts[-1][: _MESSAGE_HEAD - len(head)]
        needed = _needed(head)
        if needed is not None and size >= needed:
            return b"".join(parts)[_MESSAGE_HEAD:needed]
    return None


def _check_beginning(data: bytes) -> None:
    """Refuse other protocols by their first bytes."""
    if data[:1] and data[0] & 0x80 and data[2:3] == b"\1":
        raise NotTLS("it is a hello of SSL 2")
    if data[:1] not in (b"", bytes([_HANDSHAKE])) or data[1:2] not in (b"", b"\3"):
        raise NotTLS("it is not TLS")


def _check_record(head: bytes) -> None:
    """Check the head of a record.

    :raises BadHello: it is none of a handshake.
    """
    kind, major, minor, length = head[0], head[1], head[2], int.from_bytes(head[3:])
    if kind != _HANDSHAKE or major != 3 or minor > _LAST_MINOR:
        raise BadHello("it has a record that is none of a handshake, or of no version")
    if not 0 < length <= _LONGEST_RECORD:
        raise BadHello("it has a record that is empty, or too long")


def _needed(head: bytes) -> int | None:
    """Bytes of the message with its head, if the head is complete.

    :raises BadHello: it is another message, or longer than accepted.
    """
    if head and head[0] != _CLIENT_HELLO:
        raise BadHello("it is a handshake that does not begin with a ClientHello")
    if len(head) < _MESSAGE_HEAD:
        return None
    needed = _MESSAGE_HEAD + int.from_bytes(head[1:4])
    if needed + _RECORD_HEAD > MAX_HELLO:
        raise BadHello(f"it is longer than {MAX_HELLO} bytes")
    return needed


def _parse_message(hello: bytes) -> ClientHello:
    session_id, at = _vector(hello, _FIXED, 1)
    if len(session_id) > _LONGEST_SESSION_ID:
        raise BadHello("its session id is too long")
    ciphers, at = _vector(hello, at, 2)
    if not ciphers or len(ciphers) % 2:
        raise BadHello("its cipher suites are malformed")
    compressions, at = _vector(hello, at, 1)
    if not compressions:
        raise BadHello("it has no compression method")
    if at == len(hello):
        return ClientHello()
    extensions = _extensions(_only(hello, at, 2))
    return ClientHello(_server_name(extensions.get(_SERVER_NAME)))


def _extensions(block: bytes) -> dict[int, bytes]:
    """Extensions by type: there is one of each at most (RFC 8446, 4.2)."""
    found: dict[int, bytes] = {}
    unpack, head = _EXTENSION_HEAD.unpack_from, _EXTENSION_HEAD.size
    at, last = 0, len(block) - head
    while at <= last:
        kind, size = unpack(block, at)
        if kind in found:
            raise BadHello("it has an extension twice")
        at += head + size
        found[kind] = block[at - size : at]
    if at != len(block):
        raise BadHello("it is cut short within")
    return found


def _server_name(extension: bytes | None) -> str | None:
    """The one host name of the list (RFC 6066, 3), if it is one."""
    if extension is None:
        return None
    names = _only(extension, 0, 2)
    if names[:1] != bytes([_HOST_NAME]):
        raise BadHello("its server name is of an unknown type")
    name = _only(names, 1, 2)
    if not name:
        raise BadHello("its server name is empty")
    return canonical_name(name.decode("ascii", "replace"))


def _vector(data: bytes, at: int, width: int) -> tuple[bytes, int]:
    """The bytes at `at`, behind their length in `width` bytes, and where they end.

    :raises BadHello: `data` ends before they do.
    """
    begin = at + width
    end = begin + int.from_bytes(data[at:begin])
    if end > len(data):
        raise BadHello("it is cut short within")
    return data[begin:end], end


def _only(data: bytes, at: int, width: int) -> bytes:
    """As `_vector`, where nothing follows.

    :raises BadHello: something does, or `data` ends too early.
    """
    value, end = _vector(data, at, width)
    if end < len(data):
        raise BadHello("it has bytes where it should end")
    return value
