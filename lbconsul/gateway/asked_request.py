"""Makes a request of what ``/why`` is asked about."""

import re
from collections.abc import Iterator
from typing import Self

from attrs import frozen

from lbconsul.admin.why import Question
from lbconsul.config.model import Mapping
from lbconsul.config.server_names import canonical_name
from lbconsul.errors import CannotExplain
from lbconsul.http.errors import Refused
from lbconsul.http.head import Limits
from lbconsul.http.host import read_host
from lbconsul.http.request import RequestHead, RequestParser, request_fields

_URL = re.compile(r"(?i)(?:(https?)://)?([^/?#]*[^/?#:])((?:[/?][^#]*)?)(?:#.*)?")
_PORTS = {"http": 80, "https": 443}
_PRINTABLE = re.compile(r"[!-~]+")
_METHOD = re.compile(r"[!-~]{1,32}")
_NAME = re.compile(r"[^\s:]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


@frozen
class AskedRequest:
    """A request as a client would make it, by a URL or as curl's options have it."""

    scheme: str
    port: int
    host: str
    method: str
    target: str
    fields: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, question: Question) -> Self:
        """The request that a client would make.

        :raises CannotExplain: none can be made of it.
        """
        url = question.url
        match = _URL.fullmatch(url) if _PRINTABLE.fullmatch(url) else None
        if match is None:
            raise CannotExplain(
                f"url: {url!r} must be http://HOST:PORT/PATH or https://..., with"
                " blanks and other letters percent-encoded"
            )
        scheme = (match[1] or "http").lower()
        try:
            host = read_host(match[2].encode())
        except Refused as refused:
            why = str(refused).removeprefix("its ")
            raise CannotExplain(f"url: {url!r}: {why}") from None
        if not _METHOD.fullmatch(question.method):
            raise CannotExplain(f"method: {question.method!r} must be one word")
        fields = []
        authority = match[2]
        for name, value in question.fields:
            if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
                raise CannotExplain(f"header: {name!r} must be Name: value")
            if name.lower() == "host":
                authority = value.strip()
            else:
                fields.append((name, value))
        path = match[3] if match[3].startswith("/") else f"/{match[3]}"
        port = _PORTS[scheme] if host.port is None else host.port
        return cls(scheme, port, authority, question.method, path, tuple(fields))

    def head(self, mapping: Mapping) -> RequestHead:
        """Its head, as the mapping reads it.

        :raises Refused: the mapping refuses it.
        """
        target = "*" if self.target == "/*" and self.method == "OPTIONS" else None
        lines = [f"{self.method} {target or self.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self._all_fields()]
        data = "".join(f"{each}\r\n" for each in (*lines, "")).encode("latin-1")
        limits = Limits(head=mapping.http.max_head, target=mapping.http.max_uri)
        head = RequestParser(request_fields(), limits).parse(data)
        assert head is not None  # it is complete
        return head

    def _all_fields(self) -> Iterator[tuple[str, str]]:
        yield "Host", self.host
        yield from self.fields

    @property
    def server_name(self) -> str | None:
        """What a TLS client would ask for."""
        return canonical_name(self.host.partition(":")[0])
