"""Field lines of heads: their syntax, their meaning, and which are passed on.  Pure.

Most lines of a head are the same for every request of a client, and mean nothing to a
proxy.  So a line that was found valid once is remembered: to look it up costs a tenth
of reading it, and loosens nothing.
"""

import re
from collections.abc import Callable, Mapping

from lbconsul.config.http_values import SECRET_FIELDS
from lbconsul.http.errors import Refused
from lbconsul.http.host import Host

#: A name, a colon, and a value without controls other than tabs (RFC 9110, 5.5).  A
#: blank before the colon and a folded line are no names (RFC 9112, 5.1 and 5.2).
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]++):([\t\x20-\x7e\x80-\xff]*+)")
match_line = _LINE.fullmatch
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*+")

#: Names as they are looked up: in lower case, and with dashes for what CGI makes an
#: underscore, so that ``Content_Length`` is seen (RFC 3875, 4.1.18; some servers make
#: one of other characters as well).
KEY = bytes(
    ord(char.lower()) if char.isalnum() and char.isascii() else ord("-")
    for char in map(chr, range(256))
)

#: Options of Connection that name no field to be removed, or one that always is.
CLOSE, KEEP_ALIVE, UPGRADE = b"close", b"keep-alive", b"upgrade"
_OPTIONS = frozenset([CLOSE, KEEP_ALIVE, UPGRADE, b"te"])

#: Where the client comes from: only proxies in front that are trusted may say so.
FORWARDED = (b"forwarded", b"x-real-ip")
#: Stands among readers for all names that begin so.
FORWARDED_PREFIX = b"x-forwarded-"

#: Read for the access log alone: other spellings of these names are passed on too.
LOGGED = frozenset([b"referer", b"user-agent"])

#: Lines that hold secrets are not remembered.
SECRET = frozenset(each.encode() for each in SECRET_FIELDS)

#: The line of browsers that differs most, and what every value consists of.
_COOKIE = b"Cookie: "
_LINE_OF_COOKIE = b"\r\n" + _COOKIE
_OF_VALUES = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])

#: The most lines that are remembered of each sort, and the longest, in bytes.  It makes
#: 1 MiB of each, and a browser and a site have some twenty lines.
_MOST, _LONGEST = 4096, 255


class Fields:
    """What the fields of a head mean to a proxy."""

    # Each head that differs from the last one makes one: what few of them have is a
    # default of the class, not an assignment.

    #: None if there is no Host.
    host: Host | None = None
    #: Content-Length; -1 if there is none.
    length: int = -1
    is_chunked: bool = False
    #: The options of Connection, in lower case.
    options: frozenset[bytes] = frozenset()
    #: The protocols that the peer offers, or has chosen; empty if none.
    upgrade: bytes = b""
    #: Whether TE says that trailers are welcome.
    wants_trailers: bool = False
    #: Whether the client waits for an answer 100 before it sends the body.
    expects_continue: bool = False
    #: Whether a scheme of authentication is named that holds for all that follows on
    #: the connection.
    binds: bool = False
    #: Seconds that the peer keeps an idle connection open, if it says so.
    keep_alive: int | None = None
    #: Names in lower case and values of fields that only trusted proxies may send.
    #: They are never passed on as they are.
    forwarded: tuple[tuple[bytes, bytes], ...] = ()
    #: As the access log shows them; ``-`` if there is none.
    referer: str = "-"
    user_agent: str = "-"
    #: Lines that are not passed on.
    dropped: tuple[bytes, ...] = ()
    #: Lines that are passed on instead of some of those.
    rewritten: tuple[bytes, ...] = ()
    #: The length of the body in bytes, or CHUNKED, or UNTIL_CLOSE.
    body: int = 0
    #: Whether the connection ends with the response.
    close: bool = False
    #: The lines that are passed on, each with its end, without the empty line.
    lines: bytes = b""
    #: What is before and behind the value of Cookie, in `raw` and in `lines`; empty if
    #: there is not exactly one.  None: that is not known yet.
    around_cookie: tuple[bytes, ...] | None = None

    def __init__(self, raw: bytes, minor: int) -> None:
        #: The lines as received, with the empty line at the end.
        self.raw = raw
        #: The minor version of HTTP/1, on which depends what they mean.
        self.minor = minor


#: Notes what a line means.
Meaning = Callable[[Fields], None]

#: Reads a line, and its value without blanks around it.
Reader = Callable[[bytes, bytes], Meaning]


class FieldParser:
    """Parses fields of one direction, and remembers lines: a process needs few of them.

    `readers` are of names in lower case.  Where CGI takes another name for one of them,
    as in ``Content_Length``, the line is dropped.
    """

    __slots__ = ("_harmless", "_meanings", "_readers")

    def __init__(self, readers: Mapping[bytes, Reader]) -> None:
        self._readers = dict(readers)
        self._harmless: set[bytes] = set()
        self._meanings: dict[bytes, Meaning] = {}

    def parse(self, lines: list[bytes], fields: Fields) -> None:
        """Note what the lines mean.

        :raises Refused: a line is malformed, or contradicts another.
        """
        harmless, meanings = self._harmless, self._meanings
        for line in lines:
            if line not in harmless:
                meaning = meanings.get(line) or self._learn(line)
                if meaning is not None:
                    meaning(fields)

    def _learn(self, line: bytes) -> Meaning | None:
        """What the line means; None if it means nothing to a proxy."""
        if line.startswith(_COOKIE) and not line.translate(None, _OF_VALUES):
            return None  # as below; a quarter of what browsers send
        match = match_line(line)
        if match is None:
            raise Refused(400, "it has a field line that is not valid")
        name = match[1]
        key = name.translate(KEY)
        read = self._readers.get(key)
        if read is None and key.startswith(FORWARDED_PREFIX):
            read = self._readers.get(FORWARDED_PREFIX)
        if read is not None and key != name.lower():
            read = None if key in LOGGED else drop
        if read is None:
            if len(line) <= _LONGEST and key not in SECRET:
                if len(self._harmless) >= _MOST:
                    self._harmless.clear()
                self._harmless.add(line)
            return None
        meaning = read(line, match[2].strip(b" \t"))
        if len(line) <= _LONGEST and key not in SECRET:
            if len(self._meanings) >= _MOST:
                self._meanings.clear()
            self._meanings[line] = meaning
        return meaning


def with_other_cookie(data: bytes, pos: int, last: Fields) -> Fields | None:
    """The fields at `pos` if they differ from the `last` ones in their Cookie alone.

    It is what differs most between the heads of one client, and means nothing to a
    proxy: all else is known.  None if they are to be parsed.
    """
    around = last.around_cookie
    if around is None:
        around = last.around_cookie = _around_cookie(last)
    if not around or not data.startswith(around[0], pos):
        return None
    begin = pos + len(around[0])
    end = _VALUE.match(data, begin).end()  # type: ignore[union-attr]
    if not data.startswith(around[1], end):
        return None
    cookie = data[begin:end]
    fields = Fields.__new__(Fields)
    fields.__dict__.update(last.__dict__)
    fields.raw = data[pos : end + len(around[1])]
    fields.lines = around[2] + cookie + around[3]
    return fields


def _around_cookie(fields: Fields) -> tuple[bytes, ...]:
    """What `Fields.around_cookie` is to be."""
    found = tuple[bytes, ...]()
    for each in (fields.raw, fields.lines):
        lines = b"\r\n" + each
        if lines.count(_LINE_OF_COOKIE) != 1:
            return ()  # or it is not passed on, as Connection names it
        begin = lines.find(_LINE_OF_COOKIE) + len(_LINE_OF_COOKIE)
        end = lines.find(b"\r\n", begin)
        found += lines[2:begin], lines[end:]
    return found


def drop(line: bytes, value: bytes) -> Meaning:
    """A line that is never passed on."""

    def note(fields: Fields) -> None:
        fields.dropped += (line,)

    return note


def passed_on(
    fields: Fields, lines: list[bytes], names: frozenset[bytes], own: list[bytes]
) -> bytes:
    """The lines that are passed on, each with its end.

    Those that are dropped, and those with one of these `names`, are left out; `own`
    follow.
    """
    kept = lines.copy()
    for each in fields.dropped:
        while each in kept:
            kept.remove(each)
    kept += fields.rewritten
    if names:
        kept = [each for each in kept if name_of(each) not in names]
    kept += own
    return b"\r\n".join(kept) + b"\r\n" if kept else b""


def name_of(line: bytes) -> bytes:
    """The name of a valid field line, in lower case."""
    return line.partition(b":")[0].lower()


def named(fields: Fields) -> frozenset[bytes]:
    """The names of fields that Connection wants removed."""
    return fields.options - _OPTIONS
