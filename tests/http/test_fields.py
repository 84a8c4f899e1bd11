"""Field lines, and the memory for them."""

import pytest

from lbconsul.http.errors import Refused
from lbconsul.http.fields import (
    FieldParser,
    Fields,
    Meaning,
    drop,
    name_of,
    named,
    passed_on,
)
from lbconsul.http.request import request_fields


class Readers:
    """Counts what is read."""

    def __init__(self) -> None:
        self.read: list[tuple[bytes, bytes]] = []
        self.parser = FieldParser({b"odd-name": self._reader})

    def _reader(self, line: bytes, value: bytes) -> Meaning:
        self.read.append((line, value))
        return drop(line, value)

    def dropped(self, *lines: bytes) -> tuple[bytes, ...]:
        """The lines that are dropped."""
        fields = Fields(b"", 1)
        self.parser.parse(list(lines), fields)
        return fields.dropped


def test_read_once() -> None:
    """A line is read once, and means the same whenever it comes again."""
    readers = Readers()
    for _ in range(3):
        assert readers.dropped(b"A: b", b"Odd-Name: \t c \t") == (b"Odd-Name: \t c \t",)
    assert readers.read == [(b"Odd-Name: \t c \t", b"c")]


@pytest.mark.parametrize("name", [b"odd_name", b"Odd_Name", b"odd.name", b"odd~name"])
def test_spellings_of_cgi(name: bytes) -> None:
    """A line that CGI takes for another is dropped unread."""
    readers = Readers()
    assert readers.dropped(name + b": c") == (name + b": c",)
    assert not readers.read


def test_long_lines() -> None:
    """A line is read each time if it is too long to be remembered."""
    readers = Readers()
    long = b"odd-name: " + b"a" * 255
    for _ in range(2):
        readers.dropped(long, b"A: " + b"b" * 255)
    assert len(readers.read) == 2
    assert readers.dropped(b"A: " + b"b" * 255) == ()


@pytest.mark.parametrize(
    ("line", "is_secret"),
    [
        (b"Cookie: a=b", True),
        (b"cookie:", True),
        (b"COOKIE:a\xe9", True),
        (b"Set-Cookie: a", True),
        (b"Authorization: Basic YQ==", True),
        (b"X-Api-Key: abc", True),
        (b"X-Cookie: a=b", False),
        (b"Accept: */*", False),
    ],
)
def test_secrets(line: bytes, is_secret: bool) -> None:
    """No line with a password or a session is remembered."""
    for parser in (FieldParser({}), request_fields()):
        fields = Fields(b"", 1)
        parser.parse([line], fields)
        assert not fields.dropped
        assert not parser._meanings
        assert parser._harmless == (set() if is_secret else {line})


def test_bounded() -> None:
    """Not more lines are remembered than many clients need."""
    readers = Readers()
    for number in range(5000):
        readers.dropped(b"A: %d" % number, b"Odd-Name: %d" % number)
    assert len(readers.parser._harmless) == len(readers.parser._meanings) == 5000 - 4096
    assert readers.dropped(b"A: 0", b"Odd-Name: 0") == (b"Odd-Name: 0",)


def test_malformed() -> None:
    """A malformed line is refused each time."""
    readers = Readers()
    for _ in range(2):
        with pytest.raises(Refused, match="field line that is not valid"):
            readers.dropped(b"A : b")


def test_passed_on() -> None:
    """Lines are passed on in their order, without those dropped or named."""
    lines = [b"A: 1", b"B: 2", b"a: 3", b"C: 4", b"B: 2"]
    whole = b"A: 1\r\nB: 2\r\na: 3\r\nC: 4\r\nB: 2\r\n"
    assert passed_on(Fields(b"", 1), lines, frozenset(), []) == whole
    fields = Fields(b"", 1)
    fields.dropped, fields.rewritten = (b"B: 2",), (b"a: 4", b"E: 6")
    names = frozenset([b"a"])
    assert passed_on(fields, lines, names, [b"D: 5"]) == b"C: 4\r\nE: 6\r\nD: 5\r\n"
    assert passed_on(fields, [b"B: 2"], names | {b"e"}, []) == b""
    assert name_of(b"A-b: c: d") == b"a-b"
    fields.options = frozenset([b"close", b"te", b"x"])
    assert named(fields) == {b"x"}


@pytest.mark.parametrize("value", [b"a\0b", b"a\nb", b"a\x7f", b"\r"])
def test_a_cookie_that_is_not_valid(value: bytes) -> None:
    """A Cookie with controls in it is refused like any other field."""
    with pytest.raises(Refused):
        request_fields().parse([b"Cookie: " + value], Fields(b"", 1))
