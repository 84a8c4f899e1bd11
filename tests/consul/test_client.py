"""One question to Consul: how it is put, what is an answer, and when it is over."""

import gzip
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
from attrs import evolve
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.ssl import Certificate, PrivateCertificate
from twisted.internet.task import Clock, deferLater
from twisted.internet.tcp import Client
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseFailed, ResponseNeverReceived
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.consul import ConsulAddress, ConsulConfig
from lbconsul.consul import client as module
from lbconsul.consul.client import (
    AGENT_WITHIN,
    ConsulClient,
    Reply,
    basic,
    consul_client,
    deadline,
)
from lbconsul.consul.describe import in_words
from lbconsul.consul.http import bounded_http
from lbconsul.consul.query_loop import is_unanswered
from lbconsul.consul.token import Token
from lbconsul.errors import ConfigError, Forbidden, NotFound, UnusableAnswer
from tests.support.certificates import Authority
from tests.support.fake_resolver import FakeResolver
from tests.support.in_reactor import FastReactor, run, until
from tests.support.script_server import Asked, Script, ScriptServer
from tests.support.watching import local

WEB = ServiceQuery("web")

T = TypeVar("T")


class FakeConsul(Resource):
    """Notes each request, and answers with what the test says, or not yet."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self.bodies: list[bytes] = []
        self.code = 200
        self.content: bytes | int = b"[]"
        self.headers: dict[str, str] = {}

    def render_PUT(self, request: Request) -> bytes | int:
        return self.render_GET(request)

    def render_GET(self, request: Request) -> bytes | int:
        self.requests.append(request)
        self.bodies.append(b"" if request.content is None else request.content.read())
        request.setResponseCode(self.code)
        for name, value in self.headers.items():
            request.setHeader(name, value)
        return self.content


class AskTests(SynchronousTestCase):
    """Questions to a Consul in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.consul = FakeConsul()
        self.agent = RequestTraversalAgent(self.consul)
        self.client = self.client_with(Token())
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def client_with(self, token: Token, **params: str) -> ConsulClient:
        """A client at one address."""
        site = ConsulAddress("http", "127.0.0.1", 8500)
        return ConsulClient(
            self.clock, ((site, bounded_http(self.agent)),), token, params
        )

    def ask(
        self, query: ServiceQuery = WEB, index: int = 0, *, stale: bool = True
    ) -> Deferred[Reply]:
        """Ask, and let the bytes flow."""
        asked = self.client.ask(query, index, 0, stale=stale)
        self.agent.flush()
        return asked

    def args(self) -> dict[bytes, list[bytes]]:
        """The parameters of the last request."""
        return dict(self.consul.requests[-1].args or {})

    def refusal(self, kind: type[Exception] = UnusableAnswer) -> str:
        """Ask, be refused, and say how."""
        return str(self.failureResultOf(self.ask(), kind).value)

    def test_the_first_query(self) -> None:
        """
        The question is a GET for the service's instances, and any server may
        answer it, leader or not.
        """
        self.successResultOf(self.ask())
        [request] = self.consul.requests
        self.assertEqual(request.path, b"/v1/health/service/web")
        self.assertEqual(self.args(), {b"stale": [b""]})
        self.assertFalse(request.requestHeaders.hasHeader("X-Consul-Token"))

    def test_a_query_for_news(self) -> None:
        """
        With an index the question waits for news, in a unit that Consul
        understands.
        """
        self.successResultOf(self.ask(index=42))
        self.assertEqual(
            self.args(), {b"stale": [b""], b"index": [b"42"], b"wait": [b"30s"]}
        )

    def test_a_consistent_query(self) -> None:
        """
        A server that has just started may have a part of its log only, as the leader,
        too: it answers a consistent question once it has all.
        """
        self.successResultOf(self.ask(stale=False))
        self.assertEqual(self.args(), {b"consistent": [b""]})

    def test_a_page_of_the_catalog(self) -> None:
        """
        The request for a hint has the token, is for one datacenter or all, and does not
        block.
        """
        self.client = self.client_with(Token("s3cret"), ns="team-a")
        self.consul.content = b'{"web": []}'
        asked = self.client.page("/v1/catalog/services", "dc2", 0)
        self.agent.flush()
        self.assertEqual(self.successResultOf(asked), b'{"web": []}')
        [request] = self.consul.requests
        self.assertEqual(request.path, b"/v1/catalog/services")
        self.assertEqual(
            self.args(), {b"dc": [b"dc2"], b"ns": [b"team-a"], b"stale": [b""]}
        )
        self.assertEqual(request.getHeader("X-Consul-Token"), "s3cret")

    def test_a_request_to_the_agent(self) -> None:
        """What the agent is told has a method and a body; a service that it does not
        have is an error of its own, and so is silence."""
        self.consul.content = b""
        self.client = self.client_with(Token(), ns="team")
        told = self.client.agent("PUT", "service/register", b'{"Name":"edge"}')
        self.agent.flush()
        self.assertEqual(self.successResultOf(told), b"")
        (request,) = self.consul.requests
        self.assertEqual(request.method, b"PUT")
        self.assertEqual(request.uri, b"/v1/agent/service/register?ns=team")
        self.assertEqual(self.consul.bodies, [b'{"Name":"edge"}'])
        self.consul.code, self.consul.content = 404, b"unknown service ID: x"
        asked = self.client.agent("GET", "service/x")
        self.agent.flush()
        error = self.failureResultOf(asked, NotFound).value
        self.assertEqual(str(error), "404: unknown service ID: x")
        self.consul.content = NOT_DONE_YET
        late = self.client.agent("GET", "service/x")
        self.agent.flush()
        self.clock.advance(AGENT_WITHIN)
        self.failureResultOf(late, TimeoutError)

    def test_a_page_that_is_too_much(self) -> None:
        """
        A page that is too long, refused or late is none.
        """
        self.patch(module, "PAGE_LIMIT", 5)
        for code, content, kind in (
            (200, b"123456", UnusableAnswer),
            (403, b"Permission denied", Forbidden),
            (200, NOT_DONE_YET, TimeoutError),
        ):
            self.consul.code, self.consul.content = code, content
            asked = self.client.page("/v1/catalog/services", "", 0)
            self.agent.flush()
            self.clock.advance(module.PAGE_WITHIN)
            self.failureResultOf(asked, kind)

    def test_what_a_mapping_asks_for(self) -> None:
        """
        Datacenter, filter, near, namespace and partition go along as Consul names
        them, whatever characters are in them.
        """
        self.client = self.client_with(Token(), ns="team a", partition="east")
        expression = '"v+2" in Service.Tags and Meta.x != "ä&b=c"'
        self.successResultOf(self.ask(ServiceQuery("web", "dc2", expression, "_agent")))
        self.assertEqual(
            self.args(),
            {
                b"dc": [b"dc2"],
                b"filter": [expression.encode()],
                b"near": [b"_agent"],
                b"ns": [b"team a"],
                b"partition": [b"east"],
                b"stale": [b""],
            },
        )

    def test_any_service_name(self) -> None:
        """
        A service's name is one part of the path, whatever characters are in
        it.
        """
        self.successResultOf(self.ask(ServiceQuery("a/b c%d?e#ü")))
        [request] = self.consul.requests
        self.assertEqual(
            request.uri.partition(b"?")[0].rpartition(b"/")[2],
            b"a%2Fb%20c%25d%3Fe%23%C3%BC",
        )

    def test_the_token_is_a_header(self) -> None:
        """
        The token goes in a header, and never in the URL, which is logged on
        the way.
        """
        self.client = self.client_with(Token("secret"))
        self.successResultOf(self.ask())
        [request] = self.consul.requests
        self.assertEqual(
            request.requestHeaders.getRawHeaders("X-Consul-Token"), ["secret"]
        )
        self.assertNotIn(b"secret", request.uri)

    def test_basic_authentication(self) -> None:
        """
        User and password of a proxy before Consul go in a header of their own;
        a user may have no password, and a password may hold colons.
        """
        for said, sent in (
            ("ada:pass:word", "Basic YWRhOnBhc3M6d29yZA=="),
            ("ada", "Basic YWRhOg=="),
        ):
            plain = self.client_with(Token("secret"))
            self.client = evolve(plain, authorization=basic(said))
            self.successResultOf(self.ask())
            headers = self.consul.requests[-1].requestHeaders
            self.assertEqual(headers.getRawHeaders("Authorization"), [sent])
            self.assertEqual(headers.getRawHeaders("X-Consul-Token"), ["secret"])
            self.assertNotIn(sent, repr(self.client))

    def test_what_the_headers_say(self) -> None:
        """
        Index, age and ACL filtering come along with the body.
        """
        self.consul.content = b"[1]"
        self.consul.headers = {
            "X-Consul-Index": "42",
            "X-Consul-LastContact": "1500",
            "X-Consul-Results-Filtered-By-ACLs": "true",
        }
        self.assertEqual(
            self.successResultOf(self.ask()), Reply(b"[1]", "42", 1.5, True)
        )

    def test_without_the_headers(self) -> None:
        """
        A Consul too old for some headers, or a proxy that eats them, is no
        reason to fail.
        """
        self.consul.headers = {"X-Consul-LastContact": "never"}
        self.assertEqual(
            self.successResultOf(self.ask()), Reply(b"[]", None, 0.0, False)
        )

    def test_an_error_is_told_in_consul_s_words(self) -> None:
        """Consul's error text is shown, on one line, and cut short."""
        self.consul.code = 500
        self.consul.content = b"No cluster\r\n\tleader\x1b[31m" + b"!" * 500
        text = self.refusal()
        self.assertTrue(text.startswith("500: No cluster leader[31m!!!"), text)
        self.assertLess(len(text), 220)

    def test_an_error_without_words(self) -> None:
        """An error without a body shows its number."""
        self.consul.code = 429
        self.consul.content = b""
        self.assertEqual(self.refusal(), "429: no reason given")

    def test_a_redirect_is_not_followed(self) -> None:
        """A redirect is an error: the token must not go to another host."""
        self.consul.headers = {"Location": "http://127.0.0.1:8500/elsewhere"}
        for code in (301, 302, 307):
            self.consul.code = code
            self.assertTrue(self.refusal().startswith(f"{code}: "))
        self.assertEqual(len(self.consul.requests), 3)

    def test_a_refused_token(self) -> None:
        """
        403 is an error of its own, and the token's file is read again before
        the next question.
        """
        path = Path(self.enterContext(TemporaryDirectory())) / "token"
        path.write_text("wrong")
        self.client = self.client_with(Token.of("", str(path)))
        self.consul.code, self.consul.content = 403, b"ACL not found"
        before = path.stat()
        self.assertEqual(self.refusal(Forbidden), "403: ACL not found")
        path.write_text("right")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.refusal(Forbidden)
        tokens = [
            request.requestHeaders.getRawHeaders("X-Consul-Token")
            for request in self.consul.requests
        ]
        self.assertEqual(tokens, [["wrong"], ["right"]])

    def test_a_query_has_a_deadline(self) -> None:
        """
        A question that is not answered within its wait, Consul's own addition
        to it and a little more is given up, in words that say so.
        """
        self.consul.content = NOT_DONE_YET
        for wait, words, lasts in ((30.0, b"30s", 36.875), (1.5, b"1.5s", 6.59375)):
            self.client = evolve(self.client, wait=wait)
            asked = self.ask(index=1)
            self.assertEqual(self.args()[b"wait"], [words])
            self.clock.advance(lasts - 0.1)
            self.assertNoResult(asked)
            self.clock.advance(0.1)
            failure = self.failureResultOf(asked, TimeoutError)
            told = f"no complete answer within {lasts:.0f} s"
            self.assertEqual(str(failure.value), told)

    def test_a_query_can_be_given_up(self) -> None:
        """
        Giving a question up ends it at once and leaves no timer.
        """
        self.consul.content = NOT_DONE_YET
        asked = self.ask(index=1)
        asked.cancel()
        self.failureResultOf(asked)

    def test_the_addresses(self) -> None:
        """
        Addresses are shown as they were given.
        """
        addresses = (
            ConsulAddress("http", "consul.example", 8500, "/prefix"),
            ConsulAddress("https", "::1", 8501),
            ConsulAddress("unix", path="/run/consul.sock"),
        )
        client = consul_client(self.agent._memoryReactor, ConsulConfig(addresses))
        self.assertEqual(
            [client.where(number) for number in range(client.addresses)],
            [
                "http://consul.example:8500/prefix",
                "https://[::1]:8501",
                "unix:///run/consul.sock",
            ],
        )


#: How many times faster than ours the time is in which deadlines are waited for.
SPEED = 400.0


class Site:
    """A script server, and a client that asks it, in one reactor."""

    #: Of the names of Consul's addresses.
    resolver: FakeResolver | None = None

    def __init__(self, reactor: Any, script: Script) -> None:
        self.reactor = reactor
        self.server = ScriptServer(reactor, script)

    def client(self, config: ConsulConfig | None = None) -> ConsulClient:
        """A client of this server's port."""
        config = config or ConsulConfig((local(self.server.port),))
        return consul_client(self.reactor, config, self.resolver)

    def client_sockets(self) -> list[Client]:
        """The client's ends of the connections."""
        return [each for each in self.reactor.getReaders() if isinstance(each, Client)]

    async def ask(self, config: ConsulConfig | None = None) -> Reply:
        """One question to the server."""
        return await self.client(config).ask(WEB, 0, 0)


@asynccontextmanager
async def serving(reactor: Any, script: Script, **listen: Any) -> Any:
    """A `Site` that listens on a port until the end."""
    site = Site(reactor, script)
    site.server.listen(**listen)
    try:
        yield site
    finally:
        await site.server.close()


def played(
    script: Script,
    scene: Callable[[Site], Coroutine[Any, Any, T]],
    speed: float = 1.0,
    **listen: Any,
) -> T:
    """What `scene` returns, played with a server that runs `script`."""

    async def scenario(reactor: Any) -> T:
        fast = FastReactor(reactor, speed)
        async with serving(fast, script, **listen) as site:
            return await scene(site)

    return run(scenario)


async def failure_of(asked: Coroutine[Any, Any, Reply] | Deferred[Reply]) -> Exception:
    """The error that a question ends with."""
    try:
        reply = await asked
    except Exception as error:
        return error
    raise AssertionError(f"an answer: {reply}")


def answer(asked: Asked) -> None:
    """A good answer."""
    asked.answer(b"[]", 7)


def test_queries_share_a_connection() -> None:
    """
    A watch asks all its questions over one connection, which the kernel
    probes while it is silent.
    """

    async def scene(site: Site) -> tuple[int, list[bool]]:
        client = site.client()
        for _ in range(3):
            assert await client.ask(WEB, 0, 0) == Reply(b"[]", "7")
        probed = [bool(each.getTcpKeepAlive()) for each in site.client_sockets()]
        return site.server.accepted, probed

    assert played(answer, scene) == (1, [True])


@pytest.mark.parametrize("repeats", [False, True])
def test_a_kept_connection_that_has_ended(repeats: bool) -> None:
    """
    A query on a connection that ends without an answer is sent once more only by a
    client that is told to; a query loop does so itself.
    """

    async def scene(site: Site) -> tuple[bool, int]:
        config = ConsulConfig((local(site.server.port),))
        client = consul_client(site.reactor, config, repeats=repeats)
        await client.ask(WEB, 0, 0)
        site.server.script = lambda asked: asked.close()
        error = await failure_of(client.ask(WEB, 0, 0))
        return is_unanswered(error), len(site.server.asked)

    assert played(answer, scene) == (True, 3 if repeats else 2)


def test_how_long_a_query_may_wait() -> None:
    """
    The operator says how long Consul may hold a question.
    """

    async def scene(site: Site) -> str:
        config = ConsulConfig((local(site.server.port),), consul_wait=2.5)
        await site.client(config).ask(WEB, 5, 0)
        return site.server.asked[0].params["wait"]

    assert played(answer, scene) == "2.5s"


def test_many_watches_keep_their_connections() -> None:
    """
    Each of many questions at a time has a connection of its own, and the next
    ones find them all still there.
    """
    waiting: list[Asked] = []

    async def scene(site: Site) -> int:
        client = site.client()
        for _ in range(2):
            queries = [client.ask(WEB, 1, 0) for _ in range(20)]
            await until(site.reactor, lambda: len(waiting) == 20)
            while waiting:
                answer(waiting.pop())
            for query in queries:
                await query
        return site.server.accepted

    assert played(waiting.append, scene) == 20


@pytest.mark.parametrize(
    "beginning",
    [b"", b"HTTP/1.1 200 OK\r\nX-", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n["],
    ids=["before the headers", "in the headers", "in the body"],
)
def test_the_deadline_spans_headers_and_body(beginning: bytes) -> None:
    """
    Wherever an answer gets stuck, the question ends at its deadline, and the
    connection with it.
    """

    async def scene(site: Site) -> Exception:
        begin = site.reactor.seconds()
        error = await failure_of(site.ask())
        assert site.reactor.seconds() - begin >= deadline(30.0)
        await until(site.reactor, lambda: site.server.asked[0].gone, 400.0)
        return error

    error = played(lambda asked: asked.write(beginning), scene, SPEED)
    assert isinstance(error, TimeoutError)
    assert str(error) == "no complete answer within 37 s"


@pytest.mark.parametrize("beginning", ["", "HTTP/1.1 200 OK\r\n\r\n["])
def test_a_query_given_up_hangs_up(beginning: str) -> None:
    """
    A cancelled query leaves no connection behind, not even while its body arrives.
    """

    async def scene(site: Site) -> int:
        asked = site.client().ask(WEB, 0, 0)
        await until(site.reactor, lambda: site.server.asked)
        await until(site.reactor, lambda: site.server.connections)
        asked.cancel()
        await failure_of(asked)
        await until(site.reactor, lambda: not site.server.connections)
        return len(site.client_sockets())

    assert played(lambda asked: asked.write(beginning.encode()), scene) == 0


def test_a_query_given_up_while_connecting() -> None:
    """
    A question may be given up before there is a connection.
    """

    async def scene(site: Site) -> int:
        asked = site.client().ask(WEB, 0, 0)
        asked.cancel()
        await failure_of(asked)
        return len(site.client_sockets())

    assert played(answer, scene) == 0


@pytest.fixture
def small_limit() -> Iterator[None]:
    """Answers of 1,000 bytes are the longest ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BODY_LIMIT", 1000)
        yield


def test_an_absurdly_long_answer(small_limit: None) -> None:
    """
    An answer that is longer than any catalog is not read to its end.
    """

    async def scene(site: Site) -> Exception:
        error = await failure_of(site.ask())
        await until(site.reactor, lambda: not site.server.connections)
        return error

    error = played(lambda asked: asked.answer(b"x" * 1001, length=10**12), scene)
    assert isinstance(error, UnusableAnswer)
    assert str(error) == "the answer is longer than 1000 bytes"


def test_an_absurdly_long_answer_in_small_pieces(small_limit: None) -> None:
    """Bytes after the limit are not even looked at."""

    def script(asked: Asked) -> None:
        asked.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        asked.write((b"1f4\r\n" + b"x" * 500 + b"\r\n") * 9)

    error = played(script, lambda site: failure_of(site.ask()))
    assert str(error) == "the answer is longer than 1000 bytes"


def test_a_long_answer(small_limit: None) -> None:
    """
    An answer that is just as long as one may be is one.
    """
    reply = played(lambda asked: asked.answer(b"x" * 1000), Site.ask)
    assert reply.body == b"x" * 1000


def bomb(times: int) -> bytes:
    """A megabyte of nothing, packed so many times."""
    body = bytes(1 << 20)
    for _ in range(times):
        body = gzip.compress(body)
    return body


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(b"[]")),
        ("gzip, gzip", bomb(2)),
        ("GZIP", bomb(1)),
        ("x-gzip", bomb(1)),
        ("deflate", bomb(1)),
        ("br\x1b[31m", b"[]"),
    ],
    # Whatever packs them writes down the time.
    ids=["gzip", "gzip-twice", "capitals", "x-gzip", "deflate", "brotli"],
)
def test_what_is_packed_is_not_unpacked(coding: str, body: bytes) -> None:
    """
    Answers are requested uncompressed; a compressed one, which could unpack to any
    size, is unusable.
    """

    def script(asked: Asked) -> None:
        assert asked.headers["accept-encoding"] == "identity"
        asked.answer(body, headers={"Content-Encoding": coding})

    error = played(script, lambda site: failure_of(site.ask()))
    assert isinstance(error, UnusableAnswer)
    assert str(error) == f"unexpected Content-Encoding: {coding.replace(chr(27), '')}"


def test_what_is_said_to_be_packed_in_no_way() -> None:
    """
    A proxy may say that an answer is as it is.
    """

    def script(asked: Asked) -> None:
        asked.answer(b"[]", 7, headers={"Content-Encoding": "Identity"})

    assert played(script, Site.ask) == Reply(b"[]", "7")


def test_no_cookies_are_taken() -> None:
    """Cookies of Consul, or of a proxy before it, are ignored."""

    def script(asked: Asked) -> None:
        assert "cookie" not in asked.headers
        asked.answer(b"[]", 7, headers={"Set-Cookie": f"{len(asked.server.asked)}=x"})

    async def scene(site: Site) -> list[Reply]:
        client = site.client()
        return [await client.ask(WEB, 0, 0) for _ in range(3)]

    assert played(script, scene) == [Reply(b"[]", "7")] * 3


def test_a_body_in_crumbs() -> None:
    """
    A body that comes in chunks of a byte or two is given up long before its end: to
    put it together would be all that there is time for.
    """

    def script(asked: Asked) -> None:
        asked.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        asked.write(b"2;x=y\r\n[ \r\n" * 20_000)

    async def scene(site: Site) -> Exception:
        error = await failure_of(site.ask())
        await until(site.reactor, lambda: not site.server.connections)
        return error

    error = played(script, scene)
    assert str(error) == "the answer comes in 1001 pieces of a few bytes"


def flood(head: bytes, more: bytes) -> Script:
    """An answer that begins so and goes on so without end."""

    def script(asked: Asked) -> None:
        asked.write(head)
        go_on(asked)

    def go_on(asked: Asked) -> None:
        if not asked.gone:
            asked.write(more * (1 + 50_000 // len(more)))
            deferLater(asked.server._reactor, 0.0, go_on, asked)

    return script


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-More: %b\r\n" % (b"x" * 4000)),
        (b"HTTP/1.1 200 OK\r\n", b"a:\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b" folded\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"HTTP/1.1 200 ", b"x"),
        (b"", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"HTTP/1.1 103 Early\r\nLink: %b\r\n\r\n" % (b"x" * 9000)),
    ],
    ids=[
        "headers",
        "short headers",
        "folded lines",
        "one header",
        "one reason",
        "one line",
        "interim answers",
        "long interim answers",
    ],
)
def test_a_head_without_end(head: bytes, more: bytes) -> None:
    """
    Whatever an answer begins with, if that has no end it is given up at once, and the
    connection with it.
    """

    async def scene(site: Site) -> tuple[Exception, str]:
        with capturedLogs() as said:
            error = await failure_of(site.ask())
            await until(site.reactor, lambda: not site.server.connections)
        return error, "".join(map(formatEvent, said))

    error, said = played(flood(head, more), scene)
    assert in_words(error).startswith("its headers ")
    assert "Ignoring" not in said


def test_interim_answers_are_passed_over() -> None:
    """
    A proxy may say that there is more to come, before the answer.
    """

    def script(asked: Asked) -> None:
        asked.write(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        asked.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        answer(asked)

    assert played(script, Site.ask) == Reply(b"[]", "7")


@pytest.mark.parametrize("status", ["403 Forbidden", "500 Internal Server Error"])
@pytest.mark.parametrize("length", [None, 10**9], ids=["whole", "cut"])
def test_the_page_of_a_proxy(status: str, length: int | None) -> None:
    """
    An error keeps its number and its first words when they are the beginning
    of a long page, and when the page is cut short.
    """

    def script(asked: Asked) -> None:
        asked.answer(b"Please log in " * 10_000, status=status, length=length)
        asked.close()

    error = played(script, lambda site: failure_of(site.ask()))
    assert isinstance(error, UnusableAnswer)
    assert isinstance(error, Forbidden) == status.startswith("403")
    assert str(error).startswith(f"{status[:3]}: Please log in Please")


def test_the_short_page_of_a_proxy_that_is_cut() -> None:
    """
    An error whose body never comes whole is that error all the same.
    """

    def script(asked: Asked) -> None:
        asked.answer(b"No clus", status="500 Oh", length=999)
        asked.close()

    error = played(script, lambda site: failure_of(site.ask()))
    assert str(error) == "500: No clus"


def test_an_answer_without_a_length() -> None:
    """
    An answer that ends with its connection is read to that end.
    """

    def script(asked: Asked) -> None:
        asked.write(b"HTTP/1.0 200 OK\r\nX-Consul-Index: 7\r\n\r\n[1]")
        asked.close()

    assert played(script, Site.ask) == Reply(b"[1]", "7")


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[", ResponseFailed),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n",
            ResponseFailed,
        ),
        (b"", ResponseNeverReceived),
    ],
    ids=["by length", "by chunks", "all"],
)
def test_half_an_answer_is_none(raw: bytes, kind: type[Exception]) -> None:
    """
    An answer that ends before its end is a failure.
    """

    def script(asked: Asked) -> None:
        asked.write(raw)
        asked.close()

    error = played(script, lambda site: failure_of(site.ask()))
    assert isinstance(error, kind)


def test_an_answer_in_single_bytes() -> None:
    """
    However an answer is cut up on its way, it is the same answer.
    """
    whole = b"HTTP/1.1 200 OK\r\nX-Consul-Index: 7\r\nContent-Length: 3\r\n\r\n[1]"

    async def scene(site: Site) -> Reply:
        asked = site.client().ask(WEB, 0, 0)
        await until(site.reactor, lambda: site.server.asked)
        for number in range(len(whole)):
            site.server.asked[0].write(whole[number : number + 1])
            await until(site.reactor, lambda: True)
        return await asked

    assert played(lambda asked: None, scene) == Reply(b"[1]", "7")


def test_an_ipv6_address() -> None:
    """
    Consul may be at an IPv6 address.
    """

    async def scene(site: Site) -> Reply:
        address = ConsulAddress("http", "::1", site.server.port)
        return await site.ask(ConsulConfig((address,)))

    assert played(answer, scene, host="::1") == Reply(b"[]", "7")


def test_a_path_before_consul_s_own() -> None:
    """
    Consul may live under a path of some proxy's.
    """

    async def scene(site: Site) -> str:
        address = ConsulAddress("http", "127.0.0.1", site.server.port, "/consul")
        await site.ask(ConsulConfig((address,)))
        return site.server.asked[0].target

    assert played(answer, scene) == "/consul/v1/health/service/web?stale="


def test_a_host_name() -> None:
    """
    Consul may have a host name; one that does not resolve counts as unreachable, and so
    does a closed port.
    """
    resolver = FakeResolver(known={"consul.example": "127.0.0.1"})

    async def scene(site: Site) -> tuple[Reply, Exception, Exception]:
        site.resolver = resolver
        name = ConsulAddress("http", "consul.example", site.server.port)
        reply = await site.ask(ConsulConfig((name,)))
        assert site.server.asked[0].headers["host"] == (
            f"consul.example:{site.server.port}"
        )
        wrong = ConsulAddress("http", "wrong.example", 8500)
        lost = site.client(ConsulConfig((wrong,))).ask(WEB, 0, 0)
        resolver.answer("wrong.example")
        unresolved = await failure_of(lost)
        await site.server.close()
        refused = await failure_of(site.ask(ConsulConfig((name,))))
        return reply, unresolved, refused

    reply, unresolved, refused = played(answer, scene)
    assert reply == Reply(b"[]", "7")
    assert isinstance(unresolved, DNSLookupError)
    assert isinstance(refused, ConnectError)


def test_unix_sockets(tmp_path: Path) -> None:
    """
    Consul may be at a UNIX socket, and two of them are two Consuls.
    """

    async def scenario(reactor: Any) -> list[str | None]:
        servers, addresses = [], []
        for number in "12":
            path = str(tmp_path / number)
            servers.append(ScriptServer(reactor, numbered(number)))
            servers[-1].listen_unix(path)
            addresses.append(ConsulAddress("unix", path=path))
        client = consul_client(reactor, ConsulConfig(tuple(addresses)))
        indexes = [(await client.ask(WEB, 0, each)).index for each in (0, 1, 0, 1)]
        for server in servers:
            assert server.accepted == 1
            await server.close()
        assert isinstance(await failure_of(client.ask(WEB, 0, 0)), Exception)
        return indexes

    def numbered(number: str) -> Script:
        return lambda asked: asked.answer(b"[]", number)

    assert run(scenario) == ["1", "2", "1", "2"]


def test_a_unix_socket_that_is_not_there(tmp_path: Path) -> None:
    """
    A socket that does not exist is a Consul that cannot be reached.
    """

    async def scenario(reactor: Any) -> Exception:
        address = ConsulAddress("unix", path=str(tmp_path / "none"))
        client = consul_client(reactor, ConsulConfig((address,)))
        return await failure_of(client.ask(WEB, 0, 0))

    assert isinstance(run(scenario), ConnectError)


def test_a_wrong_file_is_an_error_at_the_start(tmp_path: Path) -> None:
    """An unreadable token or certificate file is an error before the first query."""
    missing = str(tmp_path / "none")
    for config in (ConsulConfig(token_file=missing), ConsulConfig(ca_file=missing)):
        with pytest.raises(ConfigError):
            consul_client(Clock(), config)


def test_what_it_is_made_of(tmp_path: Path) -> None:
    """Clients differ by Consul's address, the credentials, and the content of files."""
    token, key = tmp_path / "token", Authority(tmp_path).issue("lbconsul")
    token.write_text("one")
    config = ConsulConfig(
        token_file=str(token), client_cert=key.cert, client_key=key.key
    )

    def fingerprint(config: ConsulConfig = config) -> object:
        return consul_client(MemoryReactorClock(), config).fingerprint

    first = fingerprint()
    assert fingerprint() == first
    others = [
        fingerprint(
            evolve(config, addresses=(ConsulAddress("http", "127.0.0.2", 8500),))
        ),
        fingerprint(evolve(config, namespace="other")),
        fingerprint(evolve(config, consul_wait=10.0)),
        fingerprint(evolve(config, verify=False)),
    ]
    token.write_text("two")
    others.append(fingerprint())
    Authority(tmp_path).issue("lbconsul")  # in the same files
    others.append(fingerprint())
    for number, each in enumerate(others):
        assert each not in (first, *others[:number])


class TLSSite(Site):
    """A script server that speaks TLS, with a certificate for an address.

    With `mutual` it wants one of its own authority's from the client, too.
    """

    def __init__(
        self,
        reactor: Any,
        script: Script,
        folder: Path,
        host: str,
        *,
        mutual: bool = False,
    ) -> None:
        super().__init__(reactor, script)
        self.authority = Authority(folder)
        issued = self.authority.issue("server", host)
        pems = [Path(each).read_bytes() for each in (issued.key, issued.cert)]
        trusted = [Certificate.loadPEM(Path(self.authority.file).read_bytes())]
        options = PrivateCertificate.loadPEM(b"".join(pems)).options(
            *(trusted if mutual else [])
        )
        self.server.listen_tls(options, host="::1" if ":" in host else "127.0.0.1")

    def config(self, host: str = "127.0.0.1", **rest: Any) -> ConsulConfig:
        """How to ask it, trusting its authority."""
        address = ConsulAddress("https", host, self.server.port)
        return ConsulConfig((address,), ca_file=self.authority.file, **rest)


def test_tls_checks_the_address(tmp_path: Path) -> None:
    """
    A Consul whose certificate is for another address is refused, unless the check is
    off.
    """

    async def scenario(reactor: Any) -> tuple[Exception, Reply]:
        site = TLSSite(reactor, answer, tmp_path, "127.0.0.2")
        error = await failure_of(site.ask(site.config()))
        assert site.server.asked == []
        reply = await site.ask(site.config(verify=False))
        await site.server.close()
        return error, reply

    error, reply = run(scenario)
    assert isinstance(error, ResponseNeverReceived)
    assert reply == Reply(b"[]", "7")


def test_tls_with_another_name(tmp_path: Path) -> None:
    """
    Where a name to verify is given, the certificate is to be for that, and not
    for the address; authorities may be files of a directory.
    """

    async def scenario(reactor: Any) -> tuple[Reply, Exception]:
        site = TLSSite(reactor, answer, tmp_path, "127.0.0.2")
        folder = tmp_path / "authorities"
        folder.mkdir()
        Path(site.authority.file).rename(folder / "ours.pem")
        plain = evolve(site.config(), ca_file="", ca_path=str(folder))
        reply = await site.ask(evolve(plain, tls_server_name="server"))
        error = await failure_of(site.ask(evolve(plain, tls_server_name="other")))
        await site.server.close()
        return reply, error

    reply, error = run(scenario)
    assert reply == Reply(b"[]", "7")
    assert isinstance(error, ResponseNeverReceived)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_tls_with_an_address(tmp_path: Path, host: str) -> None:
    """
    A certificate for an IP address, of either family, is checked as such.
    """

    async def scenario(reactor: Any) -> tuple[Reply, list[bool]]:
        site = TLSSite(reactor, answer, tmp_path, host)
        reply = await site.ask(site.config(host))
        probed = [bool(each.getTcpKeepAlive()) for each in site.client_sockets()]
        await site.server.close()
        return reply, probed

    assert run(scenario) == (Reply(b"[]", "7"), [True])


def test_tls_without_verification_names_the_host(tmp_path: Path) -> None:
    """
    Even without verification the TLS handshake names the server, so that a Consul
    behind a proxy is found; an IP address is not sent.
    """

    async def scenario(reactor: Any) -> list[str]:
        site = TLSSite(reactor, naming, tmp_path, "127.0.0.1")
        hosts = ("consul.here", "127.0.0.1")
        known = dict.fromkeys(hosts, "127.0.0.1")
        site.resolver = FakeResolver(known=known)
        said = [
            (await site.ask(site.config(host, verify=False))).body.decode()
            for host in hosts
        ]
        await site.server.close()
        return said

    def naming(asked: Asked) -> None:
        asked.answer(repr(asked.transport.getHandle().get_servername()).encode())

    assert run(scenario) == ["b'consul.here'", "None"]


def test_tls_with_a_chain_of_our_own(tmp_path: Path) -> None:
    """
    A client certificate is shown with the chain that its file holds.
    """

    async def scenario(reactor: Any) -> tuple[Reply, Exception]:
        site = TLSSite(reactor, answer, tmp_path, "127.0.0.1", mutual=True)
        between = Authority(tmp_path, "between", above=site.authority)
        own = between.issue("gateway")
        chained = tmp_path / "chained.crt"
        chained.write_bytes(
            Path(own.cert).read_bytes() + Path(between.file).read_bytes()
        )
        config = site.config(client_cert=str(chained), client_key=own.key)
        reply = await site.ask(config)
        config = site.config(client_cert=own.cert, client_key=own.key)
        error = await failure_of(site.ask(config))
        await site.server.close()
        return reply, error

    reply, error = run(scenario)
    assert reply == Reply(b"[]", "7")
    assert isinstance(error, ResponseNeverReceived)


def test_connections_are_not_logged(tmp_path: Path) -> None:
    """
    Connections come and go without a line of log, whatever they are made of.
    """

    async def scenario(reactor: Any) -> int:
        secure = TLSSite(reactor, answer, tmp_path, "127.0.0.1")
        plain, unix = Site(reactor, answer), Site(reactor, answer)
        plain.server.listen()
        unix.server.listen_unix(str(tmp_path / "socket"))
        address = ConsulAddress("unix", path=str(tmp_path / "socket"))
        with capturedLogs() as said:
            await secure.ask(secure.config())
            await plain.ask()
            await unix.ask(ConsulConfig((address,)))
            texts = [formatEvent(event) for event in said]
        for site in (secure, plain, unix):
            await site.server.close()
        return len([text for text in texts if "factory" in text.lower()])

    assert run(scenario) == 0


def test_tls_to_somebody_who_fell_silent(tmp_path: Path) -> None:
    """
    At its deadline a connection ends even if the other side does not take
    part in its end, as TLS would have it.
    """

    def script(asked: Asked) -> None:
        asked.answer(b"[", length=99)
        asked.transport.pauseProducing()

    async def scenario(reactor: Any) -> Exception:
        site = TLSSite(FastReactor(reactor, SPEED), script, tmp_path, "127.0.0.1")
        error = await failure_of(site.ask(site.config()))
        await until(site.reactor, lambda: not site.client_sockets(), 400.0)
        await site.server.close()
        return error

    assert isinstance(run(scenario), TimeoutError)
