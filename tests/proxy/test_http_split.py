"""The plans of requests with equal heads, of which each part has its own."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

from attrs import define, evolve

from lbconsul.config.build import configure
from lbconsul.config.cookies import CookieAttributes
from lbconsul.http.signed_cookie import Tokens
from lbconsul.proxy.http_split import SplitPlans
from lbconsul.proxy.split_cookie import PartCookies

[MAPPING] = configure([], ["80:web,mode=http,split=5%:tag=canary"]).mappings


@define(eq=False)
class APart:
    """The proxy of a part."""

    name: str
    http: object
    is_usable: bool = True


@define(eq=False)
class APlan:
    """A plan of a request with these field lines."""

    lines: bytes = b""
    client: str = "192.0.2.1"
    scheme: str = "http"
    row: Any = None
    split: Any = None
    set_cookie: bytes = b""
    is_ordinary: bool = True

    @property
    def head(self) -> Any:
        return SimpleNamespace(fields=SimpleNamespace(lines=self.lines))


@define(eq=False)
class Turns:
    """A split whose parts take turns."""

    parts: list[APart]
    asked: list[str]
    cookies: PartCookies | None = None

    def of_request(self, client: str) -> APart:
        self.asked.append(client)
        return self.parts[len(self.asked) % len(self.parts)]


def a_split() -> Turns:
    return Turns([APart("rest", "r"), APart("canary", "c")], [])


def plans_of(split: Turns, made: Counter[str], lines: bytes = b"") -> Any:
    def of_part(whole: Any, part: Any) -> Any:
        made[part.name] += 1
        return evolve(whole, row=part)

    kind: Any = SplitPlans
    return kind(APlan(lines), split, of_part)


def test_plans() -> None:
    """Each request is of the part whose turn it is; the plan of a part is made once."""
    made, split = Counter[str](), a_split()
    plans = plans_of(split, made)
    found: list[Any] = [plans.next() for _ in range(4)]
    assert [each.row.name for each in found] == ["canary", "rest"] * 2
    assert made == {"canary": 1, "rest": 1}
    assert {each.split for each in found} == {plans}
    assert set(split.asked) == {"192.0.2.1"}
    # A client whose connection to an instance is its own stays in that part.
    assert plans.bound("c") is found[0]
    assert plans.bound("other") is None


class TestByCookie:
    """A client with the cookie of a part stays there."""

    def test_a_client_is_kept(self) -> None:
        """A client without a cookie gets one, as often as it comes without; with it,
        it has its part, which is told nothing of the cookie.
        """
        split, made = a_split(), Counter[str]()
        rows, keys = MAPPING.rows, [Tokens("split", [b"k" * 32])]
        split.cookies = PartCookies(b"c", CookieAttributes(), lambda: keys[-1], rows)
        plans = plans_of(split, made, b"Host: a\r\n")
        new = [plans.next() for _ in range(2)]
        assert [each.row.name for each in new] == ["canary", "rest"]
        assert all(each.set_cookie.startswith(b"Set-Cookie: c=") for each in new)
        assert not any(each.is_ordinary for each in new)
        [value, *_] = new[0].set_cookie.removeprefix(b"Set-Cookie: c=").split(b";")
        lines = b"Host: a\r\nCookie: a=1; c=%b\r\n" % value
        kept = plans_of(split, made, lines)
        found = [kept.next() for _ in range(3)]
        assert {each.row.name for each in found} == {"canary"}
        assert {each.lines for each in found} == {b"Host: a\r\nCookie: a=1\r\n"}
        assert {each.set_cookie for each in found} == {b""}
        assert all(each.is_ordinary for each in found)
        # While its part is unusable it has another one, and the cookie of that.
        split.parts[1].is_usable = False
        split.asked = ["once"]
        other = kept.next()
        assert (other.row.name, other.set_cookie) == ("rest", new[1].set_cookie)
        split.parts[1].is_usable = True
        # A newer key makes newer cookies; those of the old one are still known.
        keys.append(Tokens("split", [b"n" * 32, b"k" * 32]))
        later = plans_of(split, made, lines).next()
        assert later.row.name == "canary"
        assert later.set_cookie not in (b"", new[0].set_cookie)

    def test_what_no_gateway_has_made(self) -> None:
        """Another value, or another split's, is as good as none."""
        split = a_split()
        tokens = Tokens("split", [b"k" * 32])
        [other] = configure([], ["81:web,mode=http,split=5%:tag=canary"]).mappings
        mine, theirs = (
            PartCookies(b"c", CookieAttributes(), lambda: tokens, each.rows)
            for each in (MAPPING, other)
        )
        split.cookies = mine
        line = theirs.line(1, is_https=True)
        assert b"; Secure" in line
        value = line.removeprefix(b"Set-Cookie: c=").split(b";")[0]
        for each in (b"rest", b"", value):
            lines = b"Cookie: c=%b\r\n" % each
            assert plans_of(split, Counter[str](), lines).next().set_cookie
