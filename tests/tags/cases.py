"""What fabio does with tags, run on its own code: the cases that must come out alike.

Each case is instances with their tags, commands in Consul's KV, and requests with what
is expected.  An instance is a letter, and of the service of that letter in lower case
unless another is given.  `PEER` in tags is the client's address.  The numbers are those
of the cases' list; where the gateway differs from fabio on purpose, `why` says so.
"""

from attrs import Factory, frozen

PREFIX = "urlprefix-"
PEER = "PEER"


@frozen
class Server:
    """A registered instance."""

    #: Its route tags, without the prefix; and all of its other tags, as they are.
    routes: tuple[str, ...]
    tags: tuple[str, ...] = ()
    service: str = ""
    #: Whether its checks let it serve.
    usable: bool = True


@frozen
class Serves:
    """An instance answers, and gets this target, ``Host`` and fields."""

    instance: str
    target: str = ""
    host: str = ""
    fields: dict[str, str] = Factory(dict)


@frozen
class Answers:
    """The gateway answers itself, with a status, and a URL if that is a redirect."""

    status: int
    location: str = ""


@frozen
class Shares:
    """Of many requests each instance gets this part."""

    parts: dict[str, float]


@frozen
class Ask:
    """One request, and what is expected."""

    target: str
    expected: Serves | Answers | Shares
    host: str = "h"
    #: Whether the listener has TLS.
    tls: bool = False
    #: What a trusted proxy says of the scheme.
    forwarded_proto: str = ""


@frozen
class Case:
    """Instances, commands, and requests."""

    number: str
    servers: dict[str, Server]
    asks: tuple[Ask, ...]
    #: The text of a key below the one for commands.
    commands: str = ""
    why: str = ""

    @property
    def needs_tls(self) -> bool:
        """Whether a listener with TLS is asked, too."""
        return any(each.tls for each in self.asks)


def _case(
    number: str,
    routes: dict[str, str | tuple[str, ...]],
    *asks: Ask,
    commands: str = "",
    why: str = "",
) -> Case:
    servers = {
        name: Server((tags,) if isinstance(tags, str) else tags)
        for name, tags in routes.items()
    }
    return Case(number, servers, asks, commands, why)


NOT_FOUND = Answers(404)

CASES = (
    _case("1", {"A": "/foo"}, Ask("/foo/x?y=1", Serves("A", "/foo/x?y=1"))),
    _case(
        "2, 3",
        {"A": "/foo"},
        Ask("/foobar", Serves("A", "/foobar")),
        Ask("/Foo", NOT_FOUND),
    ),
    _case(
        "4, 5",
        {"A": "/", "B": "/foo", "C": "/foo/bar"},
        Ask("/foo/bar/1", Serves("C")),
        Ask("/foo/ba", Serves("B")),
    ),
    _case("6", {"A": "/foo", "B": "/foo/"}, Ask("/foo", Serves("A"))),
    _case(
        "7, 8",
        {"A": "/foo/bar", "B": "x.com/"},
        Ask("/foo/bar", Serves("B"), "x.com"),
        Ask("/foo/bar", Serves("A"), "y.com"),
    ),
    _case("9", {"A": "/foo", "B": "x.com/bar"}, Ask("/foo", Serves("A"), "x.com")),
    *(
        _case(
            "10-13",
            {"B": route},
            Ask("/", Serves("B"), "x.COM"),
            Ask("/", Serves("B"), "x.com:80"),
            Ask("/", NOT_FOUND, "x.com:8080"),
            Ask("/", NOT_FOUND, "x.com:443"),
        )
        for route in ("X.Com/", "X.com")
    ),
    _case("14", {"B": "x.com:8080/"}, Ask("/", Serves("B"), "x.com:8080")),
    _case(
        "15",
        {"B": "x.com:80/"},
        Ask("/", Serves("B"), "x.com"),
        Ask("/", NOT_FOUND, "x.com", tls=True),
    ),
    _case("16", {"A": "x.com:80/", "B": "x.com/"}, Ask("/", Serves("A"), "x.com")),
    _case(
        "17, 18",
        {"A": "*.x.com/"},
        Ask("/", Serves("A"), "a.b.x.com"),
        Ask("/", NOT_FOUND, "x.com"),
    ),
    _case(
        "19, 20",
        {"A": "*.foo.com/", "B": "*.edge.foo.com/", "C": "api.edge.foo.com/"},
        Ask("/", Serves("B"), "q.edge.foo.com"),
        Ask("/", Serves("C"), "api.edge.foo.com"),
    ),
    _case(
        "21",
        {"A": "*.foo.com/", "C": "api.foo.com/v1"},
        Ask("/v2", Serves("A"), "api.foo.com"),
    ),
    _case(
        "22",
        {"A": "*.foo.com/v1/x", "C": "api.foo.com/"},
        Ask("/v1/x", Serves("C"), "api.foo.com"),
    ),
    _case(
        "23, 24",
        {"A": "/foo strip=/foo"},
        Ask(
            "/foo/bar?q=1",
            Serves("A", "/bar?q=1", fields={"X-Forwarded-Prefix": "/foo"}),
        ),
        Ask("/foo", Serves("A", "/")),
    ),
    _case("25", {"A": "/bar prepend=/foo"}, Ask("/bar", Serves("A", "/foo/bar"))),
    _case(
        "26",
        {"A": "/bar strip=/bar prepend=/baz"},
        Ask("/bar/x?a=b", Serves("A", "/baz/x?a=b")),
    ),
    Case(
        "27",
        {
            "A": Server(("/x strip=/x",), service="web"),
            "B": Server(("/x",), service="web"),
        },
        (Ask("/x/1", Shares({"A /1": 0.5, "B /x/1": 0.5})),),
    ),
    _case(
        "28",
        {"A": ("/one", "x.com/two strip=/two")},
        Ask("/two/z", Serves("A", "/z"), "x.com"),
        Ask("/one", Serves("A", "/one"), "x.com"),
    ),
    Case(
        "29",
        {"A": Server(("/clean",), (" urlprefix- /sp  strip=/sp ",))},
        (Ask("/sp/1", Serves("A", "/1")), Ask("/clean", Serves("A", "/clean"))),
    ),
    _case("30", {"A": "/ host=dst"}, Ask("/", Serves("A", host="address"), "h.com")),
    _case("30", {"A": "/ host=o.org"}, Ask("/", Serves("A", host="o.org"), "h.com")),
    _case(
        "31",
        {"A": "/p redirect=301,https://g.com/"},
        Ask("/p/x?y=1", Answers(301, "https://g.com/")),
    ),
    *(
        _case(
            "32",
            {"A": f"/p redirect=303,https://g.com{path}"},
            Ask("/p/x?y=1", Answers(303, "https://g.com/p/x?y=1")),
        )
        for path in ("$path", "/$path")
    ),
    _case(
        "33",
        {"A": "*:80/ redirect=308,https://$host$path"},
        Ask("/a/b?c=d", Answers(308, "https://x.com/a/b?c=d"), "x.com"),
    ),
    _case(
        "34",
        {"A": "/s strip=/s redirect=302,https://n.com/$path"},
        Ask("/s/x", Answers(302, "https://n.com/x")),
    ),
    _case(
        "35",
        {"A": "x.com:80/ redirect=301,https://x.com$path", "B": "x.com/"},
        Ask("/q", Serves("B", "/q"), "x.com", forwarded_proto="https"),
        Ask("/q", Answers(301, "https://x.com/q"), "x.com"),
    ),
    _case(
        "36",
        {"A": "/ weight=0.2", "B": "/ weight=0.8"},
        Ask("/", Shares({"A /": 0.2, "B /": 0.8})),
    ),
    _case(
        "36",
        {"A": "/ weight=2", "B": "/ weight=3"},
        Ask("/", Shares({"A /": 0.4, "B /": 0.6})),
    ),
    _case(
        "36",
        {"A": "/ weight=0.1", "B": "/", "C": "/"},
        Ask("/", Shares({"A /": 0.1, "B /": 0.45, "C /": 0.45})),
    ),
    _case(
        "36", {"A": "/ weight=1", "B": "/"}, Ask("/", Shares({"A /": 1.0, "B /": 0.0}))
    ),
    Case(
        "37",
        {
            "A": Server(("/",)),
            "B": Server(("/",), ("blue",), service="b"),
            "C": Server(("/",), ("blue",), service="b"),
        },
        (Ask("/", Shares({"A /": 0.9, "B /": 0.05, "C /": 0.05})),),
        commands='route weight b / weight 0.1 tags "blue"',
    ),
    _case(
        "38",
        {"A": "/", "B": "/foo"},
        Ask("/foo", Serves("A")),
        commands="route del b",
    ),
    Case(
        "39",
        {"A": Server(("/",)), "C": Server((), service="other")},
        (Ask("/m/z", Serves("C", "/z"), "x.com"),),
        commands='route add m x.com/m http://C/ opts "strip=/m"',
    ),
    _case("40", {"A": "/ allow=ip:10.0.0.0/8"}, Ask("/", Answers(403))),
    _case("40", {"A": "/ allow=ip:PEER"}, Ask("/", Serves("A"))),
    _case("40", {"A": "/ deny=ip:PEER/8"}, Ask("/", Answers(403))),
    _case(
        "41",
        {"A": "$DC.x.com/", "B": "/${DC}/x", "C": "/c$NOPE"},
        Ask("/", Serves("A"), "dc1.x.com"),
        Ask("/dc1/x", Serves("B")),
        Ask("/c", Serves("C")),
    ),
    _case(
        "42",
        {"A": "/", "B": "/b"},
        Ask("/a/../b/x", Serves("B", "/b/x")),
        Ask("/a/%2e%2e/b/x", Serves("B", "/b/x")),
    ),
    _case(
        "43",
        {"A": "/posts"},
        Ask("/posts/a%2Fb", Serves("A", "/posts/a%2Fb")),
        Ask("/posts/a%20b", Serves("A", "/posts/a%20b")),
    ),
    _case("44", {"A": ":3306 proto=tcp"}, Ask("/", NOT_FOUND)),
    Case(
        "45",
        {"A": Server(("/",), usable=False)},
        (Ask("/", Answers(503)),),
        why="the route is known, so that it is 503 where fabio says 404",
    ),
    # Beyond the list: where the gateway differs on purpose.
    Case(
        "bad tag",
        {"A": Server(("/", "/x weight=much")), "B": Server(("/bad[",))},
        (Ask("/", Serves("A")), Ask("/x", Answers(503)), Ask("/bad[1", Serves("B"))),
        why="fabio keeps its whole table as it was",
    ),
    _case(
        "bad access rule",
        {"A": "/", "B": "/admin allow=10.0.0.0/8"},
        Ask("/admin", Answers(503)),
        why="fabio lets all in",
    ),
    _case(
        "bad redirect",
        {"A": "/", "B": "/old redirect=200,https://g.com/"},
        Ask("/old", Answers(503)),
        why="fabio sends the request to the URL",
    ),
    _case(
        "IPv6",
        {"A": "[::1]/"},
        Ask("/", Serves("A"), "[::1]"),
        Ask("/", NOT_FOUND, "x.com"),
        why="to fabio it is a set of characters",
    ),
    _case(
        "final dot", {"A": "x.com/"}, Ask("/", Serves("A"), "x.com."), why="RFC 9110"
    ),
    _case(
        "boundary",
        {"A": "/foo strip=/foo boundary=segment", "B": "/"},
        Ask("/foobar", Serves("B", "/foobar")),
        Ask("/foo/bar", Serves("A", "/bar")),
        Ask("/foo", Serves("A", "/")),
        why="only where the tag asks for it",
    ),
    _case(
        "prefix that is not cut",
        {"A": "/ strip=/foo"},
        Ask("/bar", Serves("A", "/bar", fields={"X-Forwarded-Prefix": ""})),
        why="fabio sends X-Forwarded-Prefix all the same",
    ),
)
