"""Rewrites requests for instances, and responses for clients.  Pure.

Each class is made once for a mapping or route, and is None for one that rewrites
nothing.
"""

import re
from collections.abc import Iterable
from typing import Self

from attrs import evolve, frozen

from lbconsul.config.rewriting import HSTS, Header, Rewriting
from lbconsul.http.errors import Refused
from lbconsul.http.request import RequestHead
from lbconsul.http.templates import Template, Variables

#: Dot segments, as servers take them (RFC 3986, 5.2.4).
_DOTS = re.compile(rb"(?i)/(?:\.|%2e){1,2}(?:[/?;]|\Z)")
_GROUP = re.compile(rb"\$(.)")

#: Characters of a path that may be escaped, and mean the same (RFC 3986, 2.2).
_RESERVED = frozenset("!$&'()*+,;=:@\"<>[]^`{|}")

_STS = "Strict-Transport-Security"


@frozen
class FieldEdit:
    """Removes header fields, and adds others."""

    #: Finds the lines to remove; None for none.
    _removed: re.Pattern[bytes] | None
    _added: Template

    @classmethod
    def of(
        cls,
        setting: Iterable[Header],
        adding: Iterable[Header],
        removing: Iterable[str],
    ) -> Self | None:
        """The edit that sets, adds and removes these; None if it does nothing."""
        setting, adding = list(setting), list(adding)
        names = [*removing, *(each.name for each in setting)]
        if not names and not adding:
            return None
        lines = [f"{each.name}: {each.value}\r\n" for each in (*setting, *adding)]
        return cls(_lines_of(names) if names else None, Template.of("".join(lines)))

    def applied(self, lines: bytes, variables: Variables) -> bytes:
        """These field lines, each with its end, after the edit."""
        if self._removed is not None:
            lines = self._removed.sub(b"", lines)
        return lines + self._added.filled(variables)


def _lines_of(names: Iterable[str]) -> re.Pattern[bytes]:
    """Finds the field lines with these names, and with those that CGI takes for them.

    There an underscore, and in some servers any other character, is the dash.
    """
    alternatives = "|".join(
        re.sub("[^0-9a-z]", r"[^0-9a-z:\\r\\n]", name.lower()) for name in names
    )
    return re.compile(rb"(?mi)^(?:%b):[^\r\n]*\r\n" % alternatives.encode())


@frozen
class _PathRewrite:
    pattern: re.Pattern[bytes]
    replacement: bytes

    def applied(self, path: bytes) -> bytes | None:
        """What becomes of the path; None if the pattern is not found in it."""
        match = self.pattern.search(path)
        if match is None:
            return None

        def expanded(reference: re.Match[bytes]) -> bytes:
            return b"$" if reference[1] == b"$" else match[int(reference[1])] or b""

        return _GROUP.sub(expanded, self.replacement)


@frozen
class RequestRewriting:
    """Rewrites requests: the prefix is stripped, then the first `rewrite` that matches
    is applied, then a prefix is added; and header fields are edited.
    """

    _strip_prefix: bytes
    _rewrites: tuple[_PathRewrite, ...]
    _add_prefix: bytes
    _fields: FieldEdit | None
    #: Finds the prefix at the front of a path; None: on the bounds of segments.
    _prefix: re.Pattern[bytes] | None = None

    @classmethod
    def of(cls, rewriting: Rewriting) -> Self | None:
        """What a mapping's options say; None if they say nothing."""
        rewrites = tuple(
            _PathRewrite(re.compile(each.pattern.encode()), each.replacement.encode())
            for each in rewriting.rewrite
        )
        found = cls(
            rewriting.strip_prefix.encode(),
            rewrites,
            rewriting.add_prefix.encode(),
            FieldEdit.of(
                rewriting.set_header, rewriting.add_header, rewriting.remove_header
            ),
            _front(rewriting.strip_prefix)
            if rewriting.strips_within_segments
            else None,
        )
        return None if found == cls(b"", (), b"", None) else found

    def line(self, head: RequestHead, path: bytes) -> bytes:
        """The request line to send, with its end.

        `path` is the path of the target without dot segments, as routes see it.

        :raises Refused: the rewritten path would have dot segments.
        """
        sent = path if path == b"*" else self.path(path)
        if sent == head.path:
            return head.line
        query = head.target[len(head.path) :]
        if query and b"?" in sent:
            query = b"&" + query[1:]
        return b"%b %b%b HTTP/1.1\r\n" % (head.method, sent, query)

    def lines(self, lines: bytes, path: bytes, variables: Variables) -> bytes:
        """The field lines to send for those of a request, each with its end.

        `lines` are all that would be sent else; `path` is that given to `line`.
        """
        if self._fields is not None:
            lines = self._fields.applied(lines, variables)
        if self._cut(path):
            lines += b"X-Forwarded-Prefix: %b\r\n" % self._strip_prefix
        return lines

    def _cut(self, path: bytes) -> int:
        """How much of the path is the prefix; 0: it has none."""
        prefix = self._strip_prefix
        if self._prefix is not None:
            match = self._prefix.match(path)
            return 0 if match is None else match.end()
        if prefix and (path == prefix or path.startswith(prefix + b"/")):
            return len(prefix)
        return 0

    def path(self, path: bytes) -> bytes:
        """What becomes of a path.

        :raises Refused: it would have dot segments.
        """
        sent = path
        cut = self._cut(sent)
        if cut:
            sent = b"/" + sent[cut:].lstrip(b"/")
        for each in self._rewrites:
            found = each.applied(sent)
            if found is not None:
                sent = found
                # Groups may have been put together to what they were not before.
                if _DOTS.search(sent):
                    raise Refused(400, "its path would have dot segments")
                break
        if sent.startswith(b"//") and not path.startswith(b"//"):
            sent = b"/" + sent.lstrip(b"/")
        return self._add_prefix + sent


def _front(prefix: str) -> re.Pattern[bytes]:
    """Finds a prefix of paths in normal form, in which a character may be escaped."""
    escaped = (
        f"(?:{re.escape(char)}|%{ord(char):02X})" if char in _RESERVED else char
        for char in prefix
    )
    return re.compile("".join(escaped).encode())


@frozen
class ResponseRewriting:
    """Rewrites responses: header fields, of which HSTS is for https only."""

    _fields: FieldEdit | None
    _fields_of_https: FieldEdit | None

    @classmethod
    def of(cls, rewriting: Rewriting) -> Self | None:
        """What a mapping's options say; None if they say nothing."""
        plain, secure = (
            FieldEdit.of(
                each.set_response_header,
                each.add_response_header,
                each.remove_response_header,
            )
            for each in (rewriting, _with_hsts(rewriting))
        )
        return None if secure is None else cls(plain, secure)

    def lines(self, lines: bytes, variables: Variables) -> bytes:
        """The field lines to send for those of a response, each with its end."""
        is_secure = variables[b"scheme"] == b"https"
        edit = self._fields_of_https if is_secure else self._fields
        return lines if edit is None else edit.applied(lines, variables)


def _with_hsts(rewriting: Rewriting) -> Rewriting:
    if rewriting.hsts is None:
        return rewriting
    field = Header(_STS, _hsts_value(rewriting.hsts))
    setting = (*rewriting.set_response_header, field)
    return evolve(rewriting, set_response_header=setting)


def _hsts_value(hsts: HSTS) -> str:
    """RFC 6797, 6.1."""
    subdomains = "; includeSubDomains" if hsts.include_subdomains else ""
    preload = "; preload" if hsts.preload else ""
    return f"max-age={int(hsts.max_age)}{subdomains}{preload}"
