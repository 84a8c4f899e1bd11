"""Which mapping and route a request takes, as a gateway explains it."""

from typing import Any

import pytest

from lbconsul.admin.why import MOST_CANDIDATES, MappingExplanation, Question
from lbconsul.balance.outlier import Ejection
from lbconsul.errors import CannotExplain
from lbconsul.gateway.tag_mapping import TagMapping
from tests.gateway.test_status import A, StatusStage
from tests.support.instances import an_instance

WEB = "80:web,mode=http"


def explained(
    stage: StatusStage, url: str = "http://example.com/", **question: Any
) -> MappingExplanation:
    """What the only mapping does with a request."""
    [found] = stage.collector.why(Question(url, **question)).mappings
    return found


def refused(stage: StatusStage) -> str:
    """Why nothing can be said of a request."""
    with pytest.raises(CannotExplain) as caught:
        stage.collector.why(Question("http://example.com/"))
    return str(caught.value)


def winner(stage: StatusStage, url: str, **question: Any) -> str:
    """The name of the mapping or route that takes a request; empty for none."""
    found = explained(stage, url, **question).winner
    return "" if found is None else found.name


@pytest.fixture
def shop() -> StatusStage:
    """A mapping with routes."""
    return StatusStage(
        WEB,
        routes=[
            "80:example.com/api=api,strip-prefix=/api",
            "80:example.com=/login=auth",
            "80:*.example.com=tenants,if-method=GET|HEAD",
            "80:/beta=beta,if-header=x-beta:1",
            "80:[::1]=six",
            "80:other.example=other",
        ],
    )


class TestRoutes:
    """The route of a request."""

    def test_candidates(self, shop: StatusStage) -> None:
        """
        Every route for the host is a candidate, with what does not match; then those
        for any host, and the service of the mapping.
        """
        shop.answer(an_instance("a"), service="api")
        told = explained(shop, "http://example.com/api/x?y=1")
        assert [(each.route, each.mismatch) for each in told.candidates] == [
            ("example.com=/login", "the path is not /login"),
            ("example.com/api", ""),
            ("/beta if-header=x-beta:1", "the path is not /beta or below it"),
            ("", ""),
        ]
        assert (told.considered, told.others) == (4, 3)
        assert told.winner == told.candidates[1]
        assert told.sends == "GET /x?y=1 HTTP/1.1"
        assert told.options == {"strip-prefix": "/api"}
        assert (told.status, told.reason, told.location) == (0, "", "")

    @pytest.mark.parametrize(
        ("url", "name"),
        [
            ("http://example.com/login", "80:example.com=/login=auth"),
            ("http://EXAMPLE.com./login#top", "80:example.com=/login=auth"),
            ("http://example.com", "80:web"),
            ("example.com/api", "80:example.com/api=api"),
            ("http://example.com/x/%2e./api", "80:example.com/api=api"),
            ("http://a.example.com/", "80:*.example.com=tenants,if-method=GET|HEAD"),
            ("http://[::1]/", "80:[::1]=six"),
            ("http://example.com?/login", "80:web"),
        ],
    )
    def test_as_clients_have_it(self, shop: StatusStage, url: str, name: str) -> None:
        """The URL is read as a client and the mapping read it."""
        assert winner(shop, url) == name

    def test_method_and_fields(self, shop: StatusStage) -> None:
        """A method and fields are as with curl; a Host stands for the URL's."""
        assert winner(shop, "http://a.example.com/", method="POST") == "80:web"
        beta = (("X-Beta", "1"),)
        assert winner(shop, "http://x/beta", fields=beta).startswith("80:/beta=beta")
        assert winner(shop, "http://x/beta") == "80:web"
        host = (("host", " other.example"),)
        url = "http://127.0.0.1/"
        assert winner(shop, url, fields=host) == "80:other.example=other"

    def test_whole_server(self, shop: StatusStage) -> None:
        """OPTIONS for the server as a whole can be asked about."""
        told = explained(shop, "http://example.com/*", method="OPTIONS")
        assert (told.path, told.reason) == ("*", "no answer from Consul yet")

    def test_no_route(self) -> None:
        """Without a service, what no route takes is answered with 404."""
        stage = StatusStage("80:-,mode=http", routes=["80:example.com=web"])
        told = explained(stage, "http://x/")
        assert (told.status, told.reason) == (404, "no route takes it")
        assert (told.candidates, told.winner, told.others) == ((), None, 1)

    @pytest.mark.parametrize(
        ("url", "status", "reason"),
        [
            ("http://example.com/%5c", 400, "its path has a backslash"),
            ("http://example.com/../x", 400, "its path leads above the root"),
            ("http://x/" + "a" * 8200, 414, "its target is longer than 8192 bytes"),
        ],
    )
    def test_malformed(
        self, shop: StatusStage, url: str, status: int, reason: str
    ) -> None:
        """What clients are refused for is explained as the refusal that they get."""
        told = explained(shop, url)
        assert (told.status, told.reason) == (status, reason)

    def test_refused_rewriting(self) -> None:
        """So is a path that rewriting would make ambiguous."""
        stage = StatusStage("80:web,mode=http,rewrite=^/(.*)$ /.$1")
        told = explained(stage, "http://example.com/")
        assert (told.status, told.reason) == (
            400,
            "its path would have dot segments",
        )

    def test_very_many(self) -> None:
        """The answer is bounded, however many routes a host has; the winner is in."""
        routes = [f"80:example.com/a{number}=web" for number in range(150)]
        told = explained(StatusStage(WEB, routes=routes), "http://example.com/")
        assert (len(told.candidates), told.considered) == (MOST_CANDIDATES, 151)
        assert told.winner is not None
        assert told.winner.name == "80:web"


class TestRedirects:
    """A request that is sent elsewhere."""

    def test_redirect(self) -> None:
        """The status and the URL are shown, and no instance."""
        stage = StatusStage('80:-,mode=http,redirect="301,https://www.x.org$path"')
        told = explained(stage, "http://example.com/a")
        assert (told.status, told.location) == (301, "https://www.x.org/a")
        assert told.options == {"redirect": "301,https://www.x.org$path"}
        assert (told.sends, told.pools) == ("", ())

    def test_a_route_without_a_service(self) -> None:
        """A route that only redirects answers 404 where it does not."""
        route = '80:example.com=-,redirect="301,https://www.x.org$path"'
        told = explained(StatusStage("80:web,mode=http", routes=[route]))
        assert told.location == "https://www.x.org/"
        route = '80:example.com=-,redirect="301,http://example.com/"'
        told = explained(StatusStage("80:web,mode=http", routes=[route]))
        assert (told.status, told.sends, told.pools) == (404, "", ())
        assert told.reason == "it is not redirected, and there is no service"

    def test_redirect_https(self) -> None:
        """A client that came with https is served."""
        stage = StatusStage("80:web,mode=http,redirect-https=on")
        assert explained(stage).location == "https://example.com/"
        told = explained(stage, "https://example.com:80/")
        assert (told.location, told.sends) == ("", "GET / HTTP/1.1")
        [note] = told.notes
        assert "trusted-proxies" in note


class TestInstances:
    """How many instances there are for a request."""

    def test_usable(self) -> None:
        """Instances that are ejected, or that Consul takes out, are not usable."""
        stage = StatusStage("80:web,mode=http,when-empty=fallback=sorry")
        critical = an_instance("c", status="critical")
        stage.answer(an_instance("a"), an_instance("b"), critical)
        traffic = stage.data_plane.told
        traffic.used = {0}
        traffic.ejected[0, A] = Ejection("it failed", 0.0, 10.0), 0.0
        told = explained(stage)
        assert [
            (each.query, each.upstreams, each.usable, each.used, each.fallback)
            for each in told.pools
        ] == [("web", 3, 1, True, False), ("sorry", 0, 0, False, True)]
        assert told.reason == ""

    def test_none(self) -> None:
        """Without an instance it is 503, and the reason is that of the status."""
        stage = StatusStage("80:web,mode=http,when-empty=wait=5s")
        stage.answer()
        told = explained(stage)
        assert told.status == 503
        assert told.reason == (
            "Consul shows no instance of web; it waits 5 s for an instance first"
        )


class TestMappings:
    """The mapping of a request."""

    def test_several(self) -> None:
        """Each mapping with the port of the URL is explained."""
        stage = StatusStage(WEB, "[::]:80:web,mode=http", "81:mail,mode=http")
        told = stage.collector.why(Question("http://example.com/")).mappings
        assert [each.listen for each in told] == ["0.0.0.0:80", "[::]:80"]

    def test_none(self) -> None:
        """Where no mapping has the port, those that there are are named."""
        ports = [f"{port}:web,mode=http" for port in range(81, 93)]
        stage = StatusStage("443:mail", *ports)
        assert refused(stage).startswith(
            "no mapping listens on port 80; there are 0.0.0.0:443 (tcp), 0.0.0.0:81"
        )
        assert refused(stage).endswith(" and 3 more")

    def test_no_port(self) -> None:
        """A mapping whose port is not known may be meant by any."""
        stage = StatusStage("unix:/run/web.sock:web,mode=http", "81:mail")
        assert explained(stage).listen == "unix:/run/web.sock"

    def test_server_names(self) -> None:
        """Without HTTP mode a client is routed by its server name."""
        routes = ["443:api.example.com=api", "443:*.example.com=web"]
        stage = StatusStage("443:-,mode=sni", routes=routes)
        told = explained(stage, "https://api.example.com/x")
        assert told.winner is not None
        assert told.winner.service == "api"
        assert [each.service for each in told.candidates] == ["api", "web"]
        assert (told.mode, told.path, told.status) == ("sni", "", 0)
        told = explained(stage, "https://example.org/")
        assert told.reason == "no route takes its server name"
        [note] = explained(stage, "http://api.example.com:443/").notes
        assert "ClientHello" in note

    def test_connections(self) -> None:
        """A mapping that balances connections has one candidate."""
        stage = StatusStage("80:web")
        stage.answer(an_instance("a"))
        told = explained(stage, "http://127.0.0.1/")
        assert told.winner is not None
        assert (told.winner.name, told.reason) == ("80:web", "")

    def test_tls(self) -> None:
        """It is noted that a mapping with TLS does not answer http."""
        stage = StatusStage("443:web,mode=http,tls=/nowhere.pem")
        [note] = explained(stage, "http://example.com:443/").notes
        assert note == "the mapping serves TLS: to http:// it answers nothing"
        assert explained(stage, "https://example.com/").notes == ()


class TestTags:
    """Where the routes are tags of services."""

    @pytest.fixture
    def tagged(self) -> StatusStage:
        """A mapping whose routes are tags."""
        stage = StatusStage("80:@tags,mode=http")
        [mapping] = stage.gateway.config.mappings
        tags = stage.gateway.tags = TagMapping(mapping, lambda: 0.0)
        for name, *routes in [
            ("web", "example.com/", "example.com/old redirect=301,http://$host$path"),
            ("api", "example.com/api strip=/api", "/beta", "example.com/bad weight=x"),
            ("more", "example.com/ weight=0.25", "*.example.com/", "other.example/"),
            ("db", ":3306 proto=tcp"),
        ]:
            told = [f"urlprefix-{each}" for each in routes]
            tags.follow(tags.update(name, [an_instance(name, tags=told)], ()))
        tags.complete()
        return stage

    def test_candidates(self, tagged: StatusStage) -> None:
        """Each row of a route for the host is a candidate, in the order of fabio."""
        told = explained(tagged, "http://example.com/api/x?y=1")
        assert [(each.route, each.mismatch) for each in told.candidates] == [
            (
                "example.com/old web redirect=301,http://$host$path",
                "the path does not begin with /old",
            ),
            ("example.com/bad", "the path does not begin with /bad"),
            ("example.com/api api strip=/api", ""),
            ("example.com/ more weight=0.25", ""),
            ("example.com/ web", ""),
            ("/beta api", "the path does not begin with /beta"),
        ]
        assert told.winner == told.candidates[2]
        assert told.others == 2
        assert told.sends == "GET /x?y=1 HTTP/1.1"

    def test_shares(self, tagged: StatusStage) -> None:
        """If several services share a route it is told how."""
        told = explained(tagged, "http://example.com/x")
        assert told.winner is not None
        assert told.winner.service == "web"
        [note] = told.notes
        assert note == "its requests are shared: more weight=0.25 0.25, web 0.75"

    def test_closed(self, tagged: StatusStage) -> None:
        """A route whose tag is not valid is answered with 503."""
        told = explained(tagged, "http://example.com/bad")
        assert told.status == 503
        assert told.notes == (
            "the tag of this route is not valid: lbconsul routes tells why",
        )

    def test_loop(self, tagged: StatusStage) -> None:
        """A redirect that leads to itself leaves the request to other hosts' routes."""
        assert explained(tagged, "http://example.com/old").status == 404

    def test_none(self, tagged: StatusStage) -> None:
        """What no route takes is 404, once all are known."""
        assert explained(tagged, "http://nothing.example/").status == 404
        assert tagged.gateway.tags is not None
        tagged.gateway.tags.is_complete = False
        assert explained(tagged, "http://nothing.example/").status == 503
