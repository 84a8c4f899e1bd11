"""The cookie that keeps a client in its part of a split."""

from collections.abc import Callable, Sequence

from attrs import define, field

from lbconsul.config.cookies import CookieAttributes
from lbconsul.config.model import Mapping
from lbconsul.http.signed_cookie import Tokens, cookie_values, set_cookie


@define(eq=False)
class PartCookies:
    """The cookies of the parts of one split.

    A token stands for the part's name and for what is split, not for the shares: a
    client keeps its part while these change.
    """

    name: bytes
    _attributes: CookieAttributes
    _make: Callable[[], Tokens]
    _rows: Sequence[Mapping]
    #: What has made the tokens below: it is another one with other keys.
    _tokens: Tokens | None = None
    _present: list[bytes] = field(factory=list)
    _numbers: dict[bytes, int] = field(factory=dict)

    def find(self, lines: bytes) -> tuple[int | None, bool]:
        """The number of the part that a request with these field lines is kept in, and
        whether its cookie is of the present key.  None: it has no such cookie.
        """
        self._renew()
        for value in cookie_values(lines, self.name):
            number = self._numbers.get(value)
            if number is not None:
                return number, self._present[number] == value
        return None, False

    def line(self, number: int, *, is_https: bool) -> bytes:
        """What sets the cookie of the part with this number."""
        self._renew()
        value = self._present[number]
        return set_cookie(self.name, value, self._attributes, is_https=is_https)

    def _renew(self) -> None:
        tokens = self._make()
        if tokens is self._tokens:
            return
        self._tokens, self._present = tokens, []
        for number, row in enumerate(self._rows):
            part = "" if row.part is None else row.part.name
            known = tokens.known(str(row.listen or ""), row.route, part)
            self._present.append(known[0])
            self._numbers.update(dict.fromkeys(known, number))
