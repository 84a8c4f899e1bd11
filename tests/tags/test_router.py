"""Which route takes a request, and in which order they are tried."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbconsul.http.fields import Fields
from lbconsul.http.host import Host, read_host
from lbconsul.tags.glob import compiled
from lbconsul.tags.router import TagRouter
from lbconsul.tags.tag import RouteKey, TagRules, read_route

NAMES = ["x.com", "a.x.com", "b.a.x.com", "com", "y.org", "x.com:80", "x.com:8080"]
PATTERNS = [
    *NAMES,
    "*.x.com",
    "*.a.x.com",
    "*.com",
    "*.com:80",
    "*.com:8080",
    "*",
    "*:80",
    "*:8080",
    "*x.com",
    "?.x.com",
    "{a,b.a}.x.com",
    "[a-c].x.com",
    "",
]
PATHS = ["/", "/foo", "/foo/", "/foobar", "/foo/bar", "/FOO/bar", "/f"]
GLOBS = ["/*", "/foo/*", "/*/bar", "/{foo,f}*", "/foo"]


def _fields(host: str | None) -> Fields:
    fields = Fields(b"\r\n", 1)
    if host is not None:
        fields.host = read_host(host.encode())
    return fields


def _find(router: TagRouter[str], host: str | None, path: str) -> list[str]:
    fields = _fields(host)
    name = None if fields.host is None else fields.host.name
    return list(router.matching(name, path.encode(), b"GET", fields))


def _router(
    *routes: str, is_tls: bool = False, matcher: str = "prefix"
) -> TagRouter[str]:
    rules = TagRules(matcher=matcher)
    router = TagRouter[str](is_tls=is_tls, matcher=matcher)
    for each in routes:
        router.put(read_route(each, rules), each)
    return router


def _reverse_host_port(host: str) -> str:
    """As fabio's function of this name."""
    name, colon, port = host.rpartition(":")
    return f"{name[::-1]}:{port}" if colon else host[::-1]


def _reference(
    routes: list[str], host: str | None, path: str, is_tls: bool, matcher: str
) -> list[str]:
    """fabio's rule, as it is written: every route is looked at for every request."""
    table = dict[str, list[str]]()
    for each in routes:
        name, _, rest = each.partition("/")
        table.setdefault(name, []).append(f"/{rest}")
    default = ":443" if is_tls else ":80"
    asked = "" if host is None else host.removesuffix(default)
    hosts = [
        each
        for each in table
        if each
        and host is not None
        and compiled(each.removesuffix(default)).fullmatch(asked)
    ]
    hosts.sort(key=_reverse_host_port, reverse=True)
    takes = {
        "prefix": lambda own: path.startswith(own),
        "iprefix": lambda own: path.lower().startswith(own.lower()),
        "glob": lambda own: compiled(own).fullmatch(path) is not None,
    }[matcher]
    found = []
    for each in [*hosts, ""]:
        for own in sorted(table.get(each, ()), key=str.encode, reverse=True):
            if takes(own):
                found.append(each + own)
                break
    return found


@settings(deadline=None)
@given(
    routes=st.lists(
        st.tuples(st.sampled_from(PATTERNS), st.sampled_from(PATHS)), unique=True
    ),
    globs=st.lists(
        st.tuples(st.sampled_from(PATTERNS), st.sampled_from(GLOBS)), unique=True
    ),
    gone=st.sets(st.integers(0, 20)),
    host=st.none() | st.sampled_from([*NAMES, "evilx.com", "c.x.com", "x.com:443"]),
    path=st.sampled_from([*PATHS, "/foo/bar/x", "/fo", "/foo-bar"]),
    is_tls=st.booleans(),
    matcher=st.sampled_from(["prefix", "iprefix", "glob"]),
)
def test_order(
    routes: list[tuple[str, str]],
    globs: list[tuple[str, str]],
    gone: set[int],
    host: str | None,
    path: str,
    is_tls: bool,
    matcher: str,
) -> None:
    """Whatever routes come and go, a request finds its routes in fabio's order."""
    pairs = dict.fromkeys([*routes, *globs] if matcher == "glob" else routes)
    texts = [f"{name}{own}" for name, own in pairs]
    router = _router(*texts, is_tls=is_tls, matcher=matcher)
    rules = TagRules(matcher=matcher)
    for number in gone:
        if number < len(texts):
            router.drop(read_route(texts[number], rules))
    left = [each for number, each in enumerate(texts) if number not in gone]
    expected = _reference(left, host, path, is_tls, matcher)
    assert _find(router, host, path) == expected
    assert len(router) == len(left)
    fields = _fields(host)
    name = None if fields.host is None else fields.host.name
    explained = router.explain(name, path.encode(), b"GET", fields)
    winner = None if explained.winner is None else explained.winner.value
    assert winner == (expected[0] if expected else None)
    assert router.find(name, path.encode(), b"GET", fields) == winner
    assert len(explained.candidates) + explained.others == len(left)


def test_boundary() -> None:
    """A bounded route takes whole segments, and comes before one that is not."""
    router = TagRouter[str]()
    router.put(RouteKey("", "/foo", is_bounded=True), "bounded")
    assert _find(router, None, "/foobar") == []
    router.put(RouteKey("", "/foo"), "plain")
    for path, found in [
        ("/foo", "bounded"),
        ("/foo/", "bounded"),
        ("/foo/x", "bounded"),
        ("/foobar", "plain"),
    ]:
        assert _find(router, None, path) == [found]
    router.put(RouteKey("", "/b/", is_bounded=True), "slash")
    assert _find(router, None, "/b/x") == ["slash"]
    router.put(RouteKey("", "/new"), "new")  # a second one of that length
    router.drop(RouteKey("", "/new"))
    router.drop(RouteKey("", "/foo", is_bounded=True))
    router.drop(RouteKey("", "/nothing"))
    assert _find(router, None, "/foo") == ["plain"]


def test_put_again() -> None:
    """A route that is put again leads to the new value alone."""
    router = _router("x.com/")
    router.put(RouteKey("x.com", "/"), "new")
    assert _find(router, "x.com", "/") == ["new"]
    assert len(router) == 1


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("[::1]", ["[::1]/"]),
        ("[0:0::1]:80", ["[::1]/"]),
        ("[::1]:81", ["[::1]:81/"]),
        ("[::2]", []),
    ],
)
def test_ipv6(host: str, found: list[str]) -> None:
    """An IPv6 address is an address, with and without a port."""
    assert _find(_router("[::1]/", "[::1]:81/"), host, "/") == found


@pytest.mark.parametrize(
    ("matcher", "route", "mismatch"),
    [
        ("prefix", "/foo", "the path does not begin with /foo"),
        ("glob", "/f*", "the path is not /f*"),
    ],
)
def test_mismatch(matcher: str, route: str, mismatch: str) -> None:
    """For a route that does not take a request it is told why not."""
    router = _router(route, matcher=matcher)
    [candidate] = router.explain(None, b"/bar", b"GET", _fields(None)).candidates
    assert candidate.mismatch == mismatch
    assert str(candidate.pattern) == route


def test_mismatch_of_bounded() -> None:
    """The same for one that is bounded; a route of a host is shown with it."""
    router = TagRouter[str]()
    router.put(RouteKey("x.com", "/foo", is_bounded=True), "x")
    explained = router.explain("x.com", b"/foobar", b"GET", _fields("x.com"))
    [candidate] = explained.candidates
    assert candidate.mismatch == "the path is not /foo or below it"
    assert re.match(r"x\.com/foo", str(candidate.pattern))
    assert isinstance(_fields("x.com").host, Host)


def test_asterisk() -> None:
    """``OPTIONS *`` is for no path."""
    assert _find(_router("/"), None, "*") == []


def test_matchers() -> None:
    """Paths are tried in byte order: with these matchers that is not by length."""
    ignoring = _router("/foo", "/FOO/bar", matcher="iprefix")
    assert _find(ignoring, None, "/Foo/Bar/x") == ["/foo"]
    ignoring = _router("/FOO", "/foo/bar", matcher="iprefix")
    assert _find(ignoring, None, "/Foo/Bar/x") == ["/foo/bar"]
    globs = _router("/foo", "/*", "/z*", matcher="glob")
    assert _find(globs, None, "/foo") == ["/foo"]
    assert _find(globs, None, "/foo/") == ["/*"]


def test_many_hosts() -> None:
    """Of hosts that clients make up only so many are remembered."""
    router = _router("?.x.com/", "*.x.com/y")
    for number in range(10, 3000):
        assert _find(router, f"{number}.x.com", "/y") == ["*.x.com/y"]
    assert _find(router, "a.x.com", "/") == ["?.x.com/"]
    router.drop(RouteKey("?.x.com", "/"))
    assert _find(router, "a.x.com", "/") == []


def test_the_last_route_without_a_host() -> None:
    """Once the last route without a host is gone a request finds none there."""
    router = TagRouter[str]()
    key = RouteKey("", "/")
    router.put(key, "any")
    assert _find(router, "a", "/") == ["any"]
    router.drop(key)
    assert _find(router, "a", "/") == []
