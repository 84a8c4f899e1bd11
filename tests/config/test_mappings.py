"""Routes: given on the command line and in a file, to mappings of either."""

import pytest

from lbconsul.config.build import build, configure
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import (
    Config,
    Limits,
    Mapping,
    WhenEmpty,
)
from lbconsul.config.sources import Source, from_command_line, from_toml
from lbconsul.errors import ConfigError

SNI = "443:-,mode=sni"
HTTP = "80:web,mode=http"
ONE = TCPListen("0.0.0.0", 443)


def _config(
    *mappings: str, routes: tuple[str, ...] = (), toml: str = "", **options: str
) -> Config:
    said = {name.replace("_", "-"): text for name, text in options.items()}
    line = from_command_line(said, (), mappings, routes)
    return build(Source(), from_toml(toml, "lb.toml"), line)


def _only(*mappings: str, routes: tuple[str, ...], **options: str) -> Mapping:
    [mapping] = _config(*mappings, routes=routes, **options).mappings
    return mapping


def _names(config: Config) -> list[str]:
    return [str(row) for mapping in config.mappings for row in mapping.rows]


class TestRoutes:
    """What a route has, and what it has from its mapping."""

    def test_example(self) -> None:
        """A mapping without a service of its own goes where its routes lead."""
        mapping = _only(
            SNI, routes=("443:api.example.com=api", "443:*.example.com=web,tag=v2")
        )
        api = Mapping("api", ONE, mode="sni", route="api.example.com")
        web = Mapping("web", ONE, mode="sni", route="*.example.com", tag="v2")
        assert mapping == Mapping("", ONE, mode="sni", routes=(api, web))
        assert list(map(str, mapping.rows)) == [
            "443:-",
            "443:api.example.com=api",
            "443:*.example.com=web",
        ]

    def test_a_service_of_its_own(self) -> None:
        """The mapping's own service is for clients that no route takes."""
        mapping = _only("443:web,mode=sni", routes=("443:api.example.com=api",))
        assert list(map(str, mapping.rows)) == ["443:web", "443:api.example.com=api"]

    def test_decrypted(self) -> None:
        """A mapping that decrypts knows the server names, too."""
        mapping = _only("443:web,tls=/web.pem", routes=("443:a.example.com=a",))
        assert mapping.routes[0].service == "a"

    def test_options_of_the_mapping(self) -> None:
        """
        A route has the options of its mapping, and the defaults of all mappings,
        unless it sets them itself.
        """
        routes = ("443:a.com=a", "443:b.com=b,policy=random,attempts=7")
        mapping = _only("443:-,mode=sni,policy=p2c", routes=routes, attempts="9")
        assert [(each.policy, each.attempts) for each in mapping.routes] == [
            ("p2c", 9),
            ("random", 7),
        ]

    def test_limits_on_clients_are_not_counted_twice(self) -> None:
        """What limits the clients of an address limits them once, not in each route."""
        mapping = _only(
            f"{SNI},max-connections=9,max-connections-per-client=3,allow=10.0.0.0/8,"
            "deny=10.1.0.0/16,queue-length=5",
            routes=("443:a.com=a", "443:b.com=b,allow=10.2.0.0/16"),
        )
        one, other = mapping.routes
        assert one.limits == other.limits == Limits(queue_length=5)
        assert (one.allow, one.deny) == ((), ())
        assert (other.allow, other.deny) == (("10.2.0.0/16",), ())

    def test_clients_behind_proxies(self) -> None:
        """A PROXY header gives the clients of a UNIX socket's routes an address."""
        mapping = _only(
            "unix:/run/w:-,mode=sni,accept-proxy=10.0.0.0/8",
            routes=("unix:/run/w:a.com=a,allow=10.0.0.0/8",),
        )
        assert mapping.routes[0].allow == ("10.0.0.0/8",)

    def test_quotes(self) -> None:
        """A service with any name can be at the end of a route."""
        [row] = _only(SNI, routes=('443:A.com.="a b/c",tag=v2',)).routes
        assert (row.route, row.service, row.tag) == ("a.com", "a b/c", "v2")
        assert str(row) == '443:a.com="a b/c"'

    def test_a_service_named_as_none(self) -> None:
        """In quotes, a dash is a service; so is a name with an equals sign."""
        assert [str(each) for each in _config('80:"-"', "81:a=b").mappings] == [
            '80:"-"',
            '81:"a=b"',
        ]

    @pytest.mark.parametrize(
        ("listen", "shown"),
        [
            ("0.0.0.0:443", "443:a.com=a"),
            ("[::1]:443", "[::1]:443:a.com=a"),
            ("unix:/run/a=b.sock", "unix:/run/a=b.sock:a.com=a"),
            ("systemd:web", "systemd:web:a.com=a"),
        ],
    )
    def test_addresses(self, listen: str, shown: str) -> None:
        """A route names the address of its mapping, however that is written."""
        [row] = _only(f"{listen}:-,mode=sni", routes=(f"{listen}:a.com=a",)).routes
        assert str(row) == shown

    def test_fallback(self) -> None:
        """
        A fallback for all routes serves those of another service; a mapping without a
        service has no fallback of its own.
        """
        mapping = _only(
            f"{SNI},when-empty=fallback=sorry",
            routes=("443:a.com=a", "443:sorry.com=sorry"),
        )
        assert [row.when_empty for row in mapping.rows] == [
            WhenEmpty(),
            WhenEmpty(fallback="sorry"),
            WhenEmpty(),
        ]

    def test_embedded(self) -> None:
        """A program that embeds a gateway gives routes as on the command line."""
        config = configure(mappings=[SNI], routes=["443:a.com=a"])
        assert _names(config) == ["443:-", "443:a.com=a"]


TABLE = """
[[map]]
listen = 443
mode = "sni"
policy = "p2c"

[[map.route]]
match = "a.com"
service = "a b"
health = ["passing"]

[[map.route]]
match = "b.com"
service = "b"
"""


class TestFile:
    """Routes of a TOML file."""

    def test_tables(self) -> None:
        """A mapping's table has its routes below; then it needs no service."""
        [mapping] = _config(toml=TABLE).mappings
        assert list(map(str, mapping.rows)) == [
            "443:-",
            '443:a.com="a b"',
            "443:b.com=b",
        ]
        assert mapping.routes[0].health == frozenset({"passing"})
        assert {row.policy for row in mapping.rows} == {"p2c"}

    def test_texts(self) -> None:
        """Mappings as texts have their routes beside them, as on the command line."""
        config = _config(toml=f"map = ['{SNI}']\nroute = ['443:a.com=a']")
        assert _names(config) == ["443:-", "443:a.com=a"]

    def test_dash(self) -> None:
        """A dash is no service in a table as well."""
        toml = TABLE.replace("listen = 443", "listen = 443\nservice = '-'")
        assert _config(toml=toml) == _config(toml=TABLE)

    def test_command_line_adds(self) -> None:
        """A route on the command line is added to the file's, or replaces one."""
        config = _config(toml=TABLE, routes=("443:b.com=new", "443:c.com=c"))
        assert _names(config) == [
            "443:-",
            '443:a.com="a b"',
            "443:b.com=new",
            "443:c.com=c",
        ]

    def test_command_line_replaces(self) -> None:
        """A mapping on the command line replaces the file's with its routes."""
        assert _names(_config("443:web", toml=TABLE)) == ["443:web"]

    @pytest.mark.parametrize(
        ("toml", "why"),
        [
            (
                "map = ['443:-']\nroute = 'x'",
                "lb.toml: route must be a list of strings",
            ),
            ("map = ['443:-']\nroute = [{}]", "lb.toml: route must be a list of strin"),
            (
                "map = ['443:-']\nroute = ['x']",
                "lb.toml: route 1 x: must be LISTEN:PAT",
            ),
            (
                "[[map]]\nroute = 'x'",
                "lb.toml: map 1: route must be given as [[map.rout",
            ),
            (
                "[[map]]\nlisten = 80\nroute = ['x']",
                "lb.toml: map 1: route 1 x: must be",
            ),
            (
                "[[map]]\nlisten = 80\n[[map.route]]\nservice = 'a'",
                "lb.toml: map 1: route 1: match must be given",
            ),
            (
                "[[map]]\nlisten = 80\n[[map.route]]\nmach = 'a.com'",
                "lb.toml: map 1: route 1: unknown option 'mach'; did you mean 'match'?",
            ),
            (
                "[[map]]\nrout = []",
                "lb.toml: map 1: unknown option 'rout'; did you mean 'route'?",
            ),
            (
                "[[map]]\nlisten = 80\n[[map.route]]\nmatch='a'\nservice='a'\ntag=1.5",
                "lb.toml: map 1: route 1: tag: must be a string",
            ),
        ],
    )
    def test_mistakes(self, toml: str, why: str) -> None:
        """The error about a wrong table names it by its number."""
        with pytest.raises(ConfigError) as raised:
            _config(toml=toml)
        assert str(raised.value).startswith(why)


@pytest.mark.parametrize(
    ("mappings", "route", "why"),
    [
        (
            (SNI,),
            "444:a.com=a",
            "no mapping listens on 0.0.0.0:444; the mappings are 443:-",
        ),
        ((SNI,), "a.com=a", "must be LISTEN:PATTERN=SERVICE[,option=value...], su"),
        ((SNI,), "443:a.com", "must be LISTEN:PATTERN=SERVICE[,option=value...], "),
        ((SNI,), "0:a.com=a", "port '0' must be a number from 1 to 65535"),
        ((SNI,), "443:a.com=", "service must be a name without spaces"),
        ((SNI,), '443:a.com=""', "service must have 1 to 255 characters"),
        ((SNI,), "443:a.com=-", "a route needs a service; with - it needs redirect="),
        ((HTTP,), "80:a.com=-", "a route needs a service; with - it needs redirect="),
        ((SNI,), "443:=a", "'' must be a server name, such as api.example.com"),
        ((SNI,), "443:a_b!=a", "'a_b!' must be a server name, such as api.example.com"),
        ((SNI,), "443:a.com/x=a", "'a.com/x' has a path, which needs mode=http"),
        (
            (SNI,),
            "443:a.com=a,if-method=GET",
            "if-method=GET: works only with mode=http",
        ),
        ((HTTP,), "80:a.com?x=a", "'a.com?x' must be a server name, such as api.exam"),
        ((HTTP,), "80:a.com/b?c=a", "'/b?c' must be a path, without a query"),
        ((HTTP,), "80:/a/../..=a", "'/a/../..' leads above the root"),
        ((HTTP,), "80:/a=/b=a", "service must be a name without spaces and without"),
        (
            (HTTP,),
            "80:/a=a,if-method=get",
            "if-method must be methods in upper case, such as GET|HEAD",
        ),
        (
            (HTTP,),
            "80:/a=a,if-header=:1",
            "if-header must be NAME or NAME:VALUE, such as x-beta:1",
        ),
        (("443:web",), "443:a.com=a", "443:web needs mode=sni, or tls=, to route by"),
        ((SNI,), "443:a.com=a,tga=x", "unknown option 'tga'; did you mean 'tag'?"),
        ((SNI,), "443:a.com=a,attempts=x", "attempts=x: must be a whole number"),
        (
            (SNI,),
            "443:a.com=a,max-connections=3",
            "max-connections=3: is for all clients of 0.0.0.0:443; give it to the mapp",
        ),
        ((SNI,), "443:a.com=a,mode=sni", "mode=sni: is for all clients of 0.0.0.0:443"),
        (
            (SNI,),
            "443:a.com=a,when-empty=fallback=a",
            "when-empty=fallback=a: leads back to this mapping",
        ),
        (
            (SNI,),
            "443:a.com=a,when-empty=fallback=127.0.0.1:443",
            "when-empty=fallback=127.0.0.1:443: leads back to this mapping",
        ),
        ((SNI,), "443:a.com=a,allow=::1", "allow=::1: must name an IPv4 network"),
        ((SNI,), "443:a.com=a,upstream-ca=/x", "upstream-ca=/x: works only with up"),
    ],
)  # fmt: skip
def test_mistakes(mappings: tuple[str, ...], route: str, why: str) -> None:
    """The error about a wrong route shows the whole route, then the mistake."""
    with pytest.raises(ConfigError) as raised:
        _config(*mappings, routes=(route,))
    assert str(raised.value).startswith(f"--route {route}: {why}")


def test_the_same_clients_twice() -> None:
    """Two routes at one address cannot take the same clients."""
    with pytest.raises(ConfigError) as raised:
        _config(SNI, routes=("443:a.com=a", "0.0.0.0:443:A.com=b"))
    assert str(raised.value) == (
        "--route 0.0.0.0:443:A.com=b: a.com is taken by --route 443:a.com=a"
    )


def test_no_service_and_no_route() -> None:
    """A mapping without a service needs a route."""
    with pytest.raises(ConfigError) as raised:
        _config(SNI)
    assert str(raised.value) == (
        f"--map {SNI}: - is no service, and there is no route: give it one, such as"
        " --route 443:api.example.com=api"
    )


class TestLoops:
    """Fallbacks of routes that lead back through other ports."""

    def test_the_same_clients(self) -> None:
        """Routes for the same clients that fall back to each other are refused."""
        with pytest.raises(ConfigError, match=r"back here through 444:a\.com=a;"):
            _config(
                SNI,
                "444:-,mode=sni",
                routes=(
                    "443:a.com=a,when-empty=fallback=127.0.0.1:444",
                    "444:a.com=a,when-empty=fallback=127.0.0.1:443",
                ),
            )

    def test_the_rest(self) -> None:
        """A fallback can lead to the service for clients that no route takes."""
        with pytest.raises(ConfigError, match="leads back here through 444:web;"):
            _config(
                SNI,
                "444:web,when-empty=fallback=127.0.0.1:443",
                routes=("443:*=a,when-empty=fallback=127.0.0.1:444",),
            )

    def test_other_clients(self) -> None:
        """Routes for different clients make no loop."""
        config = _config(
            SNI,
            "444:-,mode=sni",
            routes=(
                "443:a.com=a,when-empty=fallback=127.0.0.1:444",
                "444:b.com=b,when-empty=fallback=127.0.0.1:443",
            ),
        )
        assert len(config.mappings) == 2
