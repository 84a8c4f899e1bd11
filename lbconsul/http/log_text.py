"""What a log line shows of a request: bounded, and escaped.  Pure."""

import re

#: The most bytes shown of a request's target, of a field, and of a host.
TARGET, FIELD, HOST = 1000, 300, 255

#: All but printable ASCII, and what a reader of quoted fields would stumble over.
_SPECIAL = re.compile(rb"[^ !#-\[\]-~]")
_PLAIN = bytes(each for each in range(0x20, 0x7F) if each not in b'"\\')

#: The bytes of a line that is shown as it is, with its end.
LINE = _PLAIN + b"\r\n"


def escaped(data: bytes, most: int) -> str:
    r"""The bytes as ASCII without quotes; others as ``\xHH``, as nginx has them.

    At most `most` bytes are shown, with an ellipsis if there are more.
    """
    if len(data) > most:
        data = data[:most] + b"..."
    if not data.translate(None, _PLAIN):  # quicker than to search
        return data.decode()
    return _SPECIAL.sub(_escape, data).decode()


def _escape(match: re.Match[bytes]) -> bytes:
    return b"\\x%02X" % match[0][0]


def request_line(data: bytes) -> str:
    """The request line that `data` begins with, as it was sent.

    An empty line before it is left out.
    """
    begin = 2 if data.startswith(b"\r\n") else 0
    end = data.find(b"\n", begin)
    line = data[begin:end].removesuffix(b"\r") if end >= 0 else data[begin:]
    if len(line) > TARGET:
        # What is behind the target is a version, if it is anything.
        last = line[TARGET:].rpartition(b" ")[2]
        return f"{escaped(line, TARGET)} {escaped(last, len(b'HTTP/1.1'))}"
    return escaped(line, TARGET)


def field_texts(head: bytes) -> tuple[str, str, str]:
    """Host, Referer and User-Agent of a head, which need not be valid.

    Each is bounded and escaped; ``-`` if there is none.
    """
    lower = head.lower()
    return (
        _field(head, lower.find(b"\nhost:"), 6, HOST),
        _field(head, lower.find(b"\nreferer:"), 9, FIELD),
        _field(head, lower.find(b"\nuser-agent:"), 12, FIELD),
    )


def _field(head: bytes, at: int, length: int, most: int) -> str:
    """The value of the field whose name, of this length, is there."""
    if at < 0:
        return "-"
    end = head.find(b"\n", at + length)
    value = head[at + length : end] if end >= 0 else head[at + length :]
    return escaped(value.strip(), most) or "-"
