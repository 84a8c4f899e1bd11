"""Which route a request has, and why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.http.fields import Fields
from lbconsul.http.router import Router
from lbconsul.steps import finish

NONE = Fields(b"\r\n", 1)


def _router(*patterns: str, default: str | None = None) -> Router[str]:
    return Router({each: each for each in patterns}, default)


def _find(router: Router[str], request: str, fields: Fields = NONE) -> str | None:
    """The route of ``[METHOD ]HOST/PATH``."""
    method, blank, url = request.partition(" ")
    host, slash, path = (url if blank else request).partition("/")
    return router.find(
        host or None,
        (slash + path).encode(),
        (method if blank else "GET").encode(),
        fields,
    )


def _fields(*lines: str) -> Fields:
    return Fields("".join(f"{line}\r\n" for line in (*lines, "")).encode(), 1)


@pytest.mark.parametrize(
    ("request_", "route"),
    [
        ("a.com/", "a.com"),
        ("b.a.com/", "*.a.com"),
        ("x.b.a.com/", "*.b.a.com"),
        ("c.com/", "*"),
        ("/", "*"),
        ("2001:db8::1/", "[2001:db8::1]"),
    ],
)
def test_hosts(request_: str, route: str) -> None:
    """The exact name comes first, then the longest wildcard, then any host."""
    router = _router("*", "a.com", "*.a.com", "*.b.a.com", "[2001:db8::1]")
    assert _find(router, request_) == route


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/", "=/"),
        ("/x", "*"),
        ("/api", "=/api"),
        ("/api/", "/api"),
        ("/api/x", "/api"),
        ("/apix", "*"),
        ("/api/v1", "/api/v1"),
        ("/api/v1/x/y/z", "/api/v1"),
        ("/api/v10", "/api"),
        ("//api", "*"),
        ("/API", "*"),
        ("/api%2Fv1", "*"),
        ("/static", "*"),
        ("/static/", "/static/"),
        ("/static/x", "/static/"),
        ("/static//x", "/static/"),
        ("/x" * 2000, "*"),
        ("/api" + "/" * 2000, "/api"),
        ("/" * 2000, "*"),
        ("/a-path-longer-than-all-of-them", "*"),
    ],
)
def test_paths(path: str, route: str) -> None:
    """The exact path comes first, then the longest with whole segments."""
    router = _router("*", "/api", "=/api", "/api/v1", "/static/", "=/")
    assert _find(router, path) == route


def test_asterisk() -> None:
    """A request that is for no path has the route for every path."""
    router = _router("*", "/a", "a.com/a")
    assert router.find("a.com", b"*", b"OPTIONS", NONE) == "*"


def test_other_hosts() -> None:
    """A path that no route of a host takes may be taken by a less specific one."""
    router = _router("w.a.com/x", "*.a.com/y", "*.com/z", "/q", default="rest")
    for path in ("x", "y", "z", "q"):
        found = _find(router, f"w.a.com/{path}")
        assert found is not None
        assert found.endswith(f"/{path}")
    assert _find(router, "w.a.com/other") == "rest"


def test_no_route() -> None:
    """A request that no route takes has none, whatever its host."""
    router = _router("a.com/x", "*.b.com")
    assert _find(router, "a.com/") is None
    assert _find(router, "c.com/x") is None
    assert _find(router, "/x") is None
    assert _find(_router(default="rest"), "c.com/x") == "rest"


CONDITIONS = (
    "/a",
    "/a if-method=POST|PUT",
    "/a if-header=x-beta",
    "/a if-header=x-beta:1 2",
    "/a if-method=PUT,if-header=x-beta",
    "=/a if-method=PUT",
    "* if-method=DELETE",
)


@pytest.mark.parametrize(
    ("request_", "lines", "route"),
    [
        ("GET /a", [], "/a"),
        ("POST /a", [], "/a if-method=POST|PUT"),
        ("POST /a", ["X-Beta: 1 2"], "/a if-method=POST|PUT"),
        ("PUT /a/b", [], "/a if-method=POST|PUT"),
        ("PUT /a/b", ["x-beta:"], "/a if-method=PUT,if-header=x-beta"),
        ("PUT /a", ["x-beta:"], "=/a if-method=PUT"),
        ("GET /a", ["A: b", "X-BETA: 3"], "/a if-header=x-beta"),
        ("GET /a", ["X-BETA:\t1 2 ", "A: b"], "/a if-header=x-beta:1 2"),
        ("GET /a", ["X-BETA: 0", "X-BETA:1 2"], "/a if-header=x-beta:1 2"),
        ("GET /a", ["X-BETA: 1 2 3"], "/a if-header=x-beta"),
        ("GET /a", ["not-x-beta: 1", "x-betas: 1", "a: x-beta: 1"], "/a"),
        ("DELETE /b", [], "* if-method=DELETE"),
        ("GET /b", [], None),
    ],
)
def test_conditions(request_: str, lines: list[str], route: str | None) -> None:
    """Of routes with one path those whose conditions are met come first."""
    assert _find(_router(*CONDITIONS), request_, _fields(*lines)) == route


def test_conditions_of_an_exact_path() -> None:
    """An exact route whose conditions are not met leaves the request to others."""
    router = _router("a.com=/a if-method=PUT", "a.com/a if-method=HEAD", "*.a.com")
    assert _find(router, "PUT a.com/a") == "a.com=/a if-method=PUT"
    assert _find(router, "HEAD a.com/a") == "a.com/a if-method=HEAD"
    assert _find(router, "GET a.com/a") is None
    assert _find(_router("a.com=/a if-method=PUT", "/a"), "GET a.com/a") == "/a"


def test_explained() -> None:
    """Every route for the host is told, in order, with what does not match."""
    router = _router(
        "a.com=/x", "a.com/x/", "a.com/y", "a.com/x if-method=PUT|POST",
        "a.com/x if-header=x-beta:1", "a.com/x if-header=x-beta", "a.com/x", "/x",
        "b.com/x",
    )  # fmt: skip
    found = router.explain("a.com", b"/x", b"GET", NONE)
    assert [(str(each.pattern), each.mismatch) for each in found.candidates] == [
        ("a.com=/x", ""),
        ("a.com/x/", "the path is not below /x/"),
        ("a.com/x if-method=POST|PUT", "the method is not POST or PUT"),
        ("a.com/x if-header=x-beta:1", "there is no field x-beta: 1"),
        ("a.com/x if-header=x-beta", "there is no field x-beta"),
        ("a.com/x", ""),
        ("a.com/y", "the path is not /y or below it"),
        ("/x", ""),
    ]
    assert found.winner is found.candidates[0]
    assert found.winner.value == "a.com=/x"
    assert found.others == 1
    below = _router("/x").explain("a.com", b"/x/y", b"GET", NONE)
    assert below.winner is below.candidates[0]


def test_unexplained() -> None:
    """A request without a route has no winner."""
    found = _router("a.com=/x").explain("a.com", b"/x/", b"GET", NONE)
    assert found.winner is None
    assert found.candidates[0].mismatch == "the path is not /x"
    assert _router("a.com").explain(None, b"/", b"GET", NONE).candidates == ()


def test_steps() -> None:
    """Many routes, of many hosts or of one, are read a few at a time."""
    hosts = {f"host-{n}.com": n for n in range(500)}
    paths = {f"a.com/{n}": n for n in range(500)}
    steps, count = Router.making(hosts | paths), 0
    with pytest.raises(StopIteration) as over:
        while True:
            next(steps)
            count += 1
    assert count > 1000
    router = over.value.value
    assert router.find("host-7.com", b"/", b"GET", NONE) == 7
    assert router.find("a.com", b"/8/x", b"GET", NONE) == 8


def test_defaults() -> None:
    """The same table can have another default for each that it is for."""
    router = finish(Router.making({"a.com": "a"}))
    other = router.with_default("rest")
    for each, default in ((router, None), (other, "rest")):
        assert _find(each, "a.com/") == "a"
        assert _find(each, "b.com/") == default
    assert other.explain("b.com", b"/", b"GET", NONE).others == 1


_HOSTS = st.sampled_from(["", "a.com", "b.a.com", "*.a.com", "*.com"])
_PATHS = st.text("/ab", max_size=6).map("/".__add__)
_METHODS = st.sampled_from(["", " if-method=GET", " if-method=PUT"])


@given(
    st.lists(
        st.builds(
            lambda host, exact, path, method: f"{host}{exact}{path}{method}",
            _HOSTS,
            st.sampled_from(["", "="]),
            _PATHS,
            _METHODS,
        ),
        unique=True,
    ),
    st.sampled_from(["", "a.com", "b.a.com", "c.b.a.com", "d.com"]),
    _PATHS,
)
def test_finds_what_is_explained(routes: list[str], host: str, path: str) -> None:
    """The route that is found is the first that matches, one by one."""
    router = _router(*routes)
    found = router.find(host or None, path.encode(), b"GET", NONE)
    winner = router.explain(host or None, path.encode(), b"GET", NONE).winner
    assert found == (winner and winner.value)
