"""What becomes of requests: routes, what instances learn, and who gets no instance."""

from typing import Any

import pytest

from lbconsul.config.rewriting import Header
from lbconsul.proxy.client_info import ClientInfo
from lbconsul.proxy.http_plan import certificate_lines, host_of
from lbconsul.tls.peer import PeerCertificate, TLSPeer
from tests.support.http_stage import OK, HTTPStage, Peer

TRUSTING: dict[str, Any] = {"trusted_proxies": ("127.0.0.0/8",)}


def request(target: str = "/", host: str = "a.example", *lines: str) -> bytes:
    """A request with these lines beside its Host."""
    head = [f"GET {target} HTTP/1.1", f"Host: {host}", *lines, "", ""]
    return "\r\n".join(head).encode()


def passed(stage: HTTPStage, asked: bytes) -> bytes:
    """The head that an instance gets for a request."""
    client = stage.client()
    client.say(asked)
    upstream = stage.upstream()
    head = upstream.hear()
    upstream.say(OK)
    client.hear_message()
    client.close()
    upstream.close()
    return head


def answered(stage: HTTPStage, asked: bytes) -> bytes:
    """The head of an answer that no instance has given."""
    client = stage.client()
    client.say(asked)
    head, _ = client.hear_message()
    client.close()
    return head


ROUTES: dict[str, dict[str, Any]] = {
    "a.example/api": {"strip_prefix": "/api"},
    "a.example": {"add_prefix": "/a"},
    "*.b.example": {"add_prefix": "/b"},
}

FOUND = {
    ("a.example", "/"): "/a/",
    ("a.example", "/api/x?y=1"): "/x?y=1",
    ("A.example.", "/api"): "/",
    ("a.example", "/apix"): "/a/apix",
    ("a.example", "/x/../api/z"): "/z",
    ("a.example", "/api/%2e%2e/z"): "/a/z",
    ("x.b.example:80", "/"): "/b/",
    ("c.example", "/other"): "/other",
    ("c.example", "/./other?q"): "/other?q",
}


@pytest.mark.parametrize(("host", "target"), FOUND)
def test_routes(host: str, target: str) -> None:
    """A request is served by the route for its host and path, or by the mapping."""
    with HTTPStage(routes=ROUTES) as stage:
        head = passed(stage, request(target, host))
    assert head.split(b" ")[1].decode() == FOUND[host, target]


def test_requests_of_one_client_go_to_several_routes() -> None:
    """A kept connection is no reason for a request to go where the last one went."""
    with HTTPStage(routes=ROUTES) as stage:
        client = stage.client()
        client.say(request("/api/1"))
        one = stage.upstream()
        assert one.hear().startswith(b"GET /1 ")
        one.say(OK)
        client.hear_message()
        client.say(request("/2"))
        other = stage.upstream()  # each route has connections of its own
        assert other.hear().startswith(b"GET /a/2 ")
        other.say(OK)
        client.hear_message()
        client.say(request("/api/3"))
        assert one.hear().startswith(b"GET /3 ")


@pytest.mark.parametrize("target", ["/%00", "/a%", "/../..", "/a\\b"])
def test_paths_that_servers_read_differently(target: str) -> None:
    """A path that two servers could understand differently is refused."""
    with HTTPStage() as stage:
        assert answered(stage, request(target)).startswith(b"HTTP/1.1 400 ")


def test_an_unknown_host() -> None:
    """A request that no route takes is answered with 404 if there is no service."""
    with HTTPStage(routes=ROUTES, service="") as stage:
        assert answered(stage, request(host="c.example")).startswith(b"HTTP/1.1 404 ")
        assert passed(stage, request()).startswith(b"GET /a/ ")


def served(client: Peer, upstream: Peer) -> tuple[bytes, bytes]:
    """The heads of a request, as the instance gets it, and of its response."""
    head = upstream.hear()
    upstream.say(OK)
    return head, client.hear_message()[0]


def test_a_kept_client_after_a_reload_of_routes() -> None:
    """A client that sends the same request again is served by the routes of today."""
    with HTTPStage(routes=ROUTES) as stage:
        client, asked = stage.client(), request("/api/x")
        client.say(asked)
        head, _ = served(client, stage.upstream())
        assert head.startswith(b"GET /x ")
        stage.proxy.alter(routes=stage.proxy.mapping.routes[1:])
        client.say(asked)
        head, response = served(client, stage.upstream())
        assert head.startswith(b"GET /a/api/x ")
        assert b"\r\nConnection: close\r\n" not in response


RELOADS: dict[str, dict[str, Any]] = {
    "routes": {"service": "web", "routes": ()},
    "mode": {"service": "web", "routes": (), "mode": "tcp"},
}


@pytest.mark.parametrize("changes", RELOADS.values(), ids=RELOADS.keys())
def test_a_kept_client_after_a_reload_of_the_mapping(changes: dict[str, Any]) -> None:
    """A client's next request is served, and ends its connection."""
    with HTTPStage(routes=ROUTES, service="") as stage:
        client = stage.client()
        client.say(request())
        upstream = stage.upstream()
        served(client, upstream)
        stage.proxy.alter(**changes)
        client.say(request())
        # One that speaks no HTTP any more serves it as before.
        _, response = served(
            client, upstream if "mode" in changes else stage.upstream()
        )
        assert b"\r\nConnection: close\r\n" in response
        assert client.hears_end() == b""


def test_a_kept_client_whose_route_is_gone() -> None:
    """A client's next request is 404 if nothing serves it any more."""
    with HTTPStage(routes=ROUTES, service="") as stage:
        client = stage.client()
        client.say(request())
        upstream = stage.upstream()
        served(client, upstream)
        stage.proxy.alter(routes=())
        assert answered(stage, request()).startswith(b"HTTP/1.1 404 ")
        client.say(request())
        assert client.hear().startswith(b"HTTP/1.1 404 ")


def test_redirects() -> None:
    """A client is sent to https, and keeps its connection."""
    with HTTPStage(redirect_https=True) as stage:
        client = stage.client()
        for _ in range(2):
            client.say(request("/x?y"))
            head, _ = client.hear_message()
            assert head.startswith(b"HTTP/1.1 308 ")
            assert b"\r\nLocation: https://a.example/x?y\r\n" in head


def test_a_trusted_proxy_with_tls_is_no_reason_for_a_redirect() -> None:
    """A client that came to a trusted proxy with https is served."""
    with HTTPStage(redirect_https=True, **TRUSTING) as stage:
        line = "X-Forwarded-Proto: https"
        head = passed(stage, request("/", "a.example", line))
        assert b"\r\nX-Forwarded-Proto: https\r\n" in head


def test_nothing_but_a_redirect() -> None:
    """A client that is not to be sent elsewhere is told that nothing is here."""
    line = "X-Forwarded-Proto: https"
    asked = request("/", "a.example", line)
    with HTTPStage(service="", redirect_https=True, **TRUSTING) as stage:
        assert answered(stage, asked).startswith(b"HTTP/1.1 404 ")


def test_names_of_trusted_proxies_for_requests() -> None:
    """A request keeps the name that a trusted proxy gave it, and no other's."""
    asked = request("/", "a.example", "x-request-id: theirs")
    with HTTPStage(**TRUSTING) as stage:
        head = passed(stage, asked).lower()
        assert head.count(b"x-request-id") == 1
        assert b"\r\nx-request-id: theirs\r\n" in head
    with HTTPStage() as stage:
        head = passed(stage, asked).lower()
        assert head.count(b"x-request-id") == 1
        assert b"theirs" not in head


@pytest.mark.parametrize("options", [{}, TRUSTING])
def test_facts_of_certificates_are_the_gateways(options: dict[str, Any]) -> None:
    """What is told of a client's certificate is of this connection, and told once.

    So it is behind a trusted proxy, which may pass on what its client has made up.
    """
    lines = ("x-ssl-client-verify: SUCCESS", "X-SSL-Client-CN: admin")
    with HTTPStage(client_cert_headers=True, **options) as stage:
        head = passed(stage, request("/", "a.example", *lines)).lower()
    assert head.count(b"x-ssl-client-") == 1
    assert b"\r\nx-ssl-client-verify: none\r\n" in head


def test_access_control_of_routes() -> None:
    """A route can be for some networks only."""
    routes = {"a.example/admin": {"allow": ("10.0.0.0/8",)}}
    with HTTPStage(routes=routes) as stage:
        assert answered(stage, request("/admin")).startswith(b"HTTP/1.1 403 ")
        assert passed(stage, request("/")).startswith(b"GET / ")


def test_access_control_behind_trusted_proxies() -> None:
    """The client that a trusted proxy names is refused, not that proxy."""
    with HTTPStage(deny=("192.0.2.0/24",), **TRUSTING) as stage:
        line = "X-Forwarded-For: 192.0.2.1"
        head = answered(stage, request("/", "a.example", line))
        assert head.startswith(b"HTTP/1.1 403 ")
        assert passed(stage, request()).startswith(b"GET / ")


def test_only_some_clients_of_trusted_proxies() -> None:
    """With `allow` the clients that a trusted proxy names are served if they are in it,
    also by routes; a proxy in no `allow` is let in, but for no request of its own."""
    routes = {"a.example/x": {"deny": ("192.0.2.9/32",)}}
    with HTTPStage(allow=("192.0.2.0/24",), routes=routes, **TRUSTING) as stage:
        for path in ("/", "/x"):
            line = "X-Forwarded-For: 192.0.2.1"
            assert passed(stage, request(path, "a.example", line))
            for lines in ((), ("X-Forwarded-For: 198.51.100.1",)):
                head = answered(stage, request(path, "a.example", *lines))
                assert head.startswith(b"HTTP/1.1 403 ")
        head = answered(stage, request("/x", "a.example", "X-Forwarded-For: 192.0.2.9"))
        assert head.startswith(b"HTTP/1.1 403 ")


def test_fields_are_set() -> None:
    """Fields of requests and of responses are set as the operator wants."""
    options: dict[str, Any] = {
        "set_header": (Header("X-Client", "$client"),),
        "set_response_header": (Header("X-By", "$service"),),
    }
    with HTTPStage(via=True, server_timing=True, **options) as stage:
        client = stage.client()
        client.say(request("/", "a.example", "X-Client: me"))
        upstream = stage.upstream()
        head = upstream.hear()
        assert head.count(b"X-Client") == 1
        assert b"\r\nX-Client: 127.0.0.1\r\n" in head
        assert b"\r\nVia: 1.1 lbconsul\r\n" in head
        upstream.say(OK)
        head, _ = client.hear_message()
        assert b"\r\nX-By: web\r\n" in head
        assert b"\r\nVia: 1.1 lbconsul\r\n" in head
        assert b"\r\nServer-Timing: upstream;dur=" in head


@pytest.mark.parametrize("wanted", ["inner.example", "address"])
def test_hosts_for_instances(wanted: str) -> None:
    """An instance gets another Host than the client's, if the operator wants that."""
    with HTTPStage(upstream_host=wanted) as stage:
        head = passed(stage, request())
        own = wanted.encode() if wanted != "address" else stage.address().encode()
        assert head.count(b"\r\nHost: ") == 1
        assert b"\r\nHost: %b\r\n" % own in head
        assert b"\r\nX-Forwarded-Host: a.example\r\n" in head


def test_fields_of_a_route() -> None:
    """A route says itself whether instances get Forwarded and Via."""
    routes = {"b.example": {"forwarded": True, "via": True}}
    with HTTPStage(routes=routes) as stage:
        head = passed(stage, request("/", "b.example"))
        assert b"\r\nForwarded: for=127.0.0.1" in head
        assert b"\r\nVia: 1.1 lbconsul\r\n" in head
        head = passed(stage, request())
        assert b"Forwarded:" not in head
        assert b"Via:" not in head
    routes = {"b.example": {"forwarded": False}}
    with HTTPStage(routes=routes, forwarded=True, **TRUSTING) as stage:
        told = "Forwarded: for=192.0.2.1"
        head = passed(stage, request("/", "b.example", told))
        assert head.count(b"\r\nforwarded: for=192.0.2.1\r\n") == 1
        head = passed(stage, request("/", "a.example", told))
        assert b"\r\nForwarded: for=192.0.2.1, for=127.0.0.1" in head


def test_traces() -> None:
    """A request without a trace gets one, and another's stays."""
    with HTTPStage(traceparent=True) as stage:
        one, two = (passed(stage, request()) for _ in range(2))
        assert one.count(b"traceparent: 00-") == two.count(b"traceparent: 00-") == 1
        given = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        head = passed(stage, request("/", "a.example", given))
        assert head.count(b"traceparent") == 1
        assert given.encode() in head


def test_what_is_told_of_certificates() -> None:
    """An instance learns who the client of TLS is; no other can pretend to be it."""
    certificate = PeerCertificate("jane", ("jane.example", "192.0.2.1"), "ab12")
    peer = TLSPeer("TLSv1.3", "AES", certificate)
    assert certificate_lines(ClientInfo(tls=peer)) == (
        b"X-SSL-Client-Verify: SUCCESS\r\n"
        b"X-SSL-Client-CN: jane\r\n"
        b"X-SSL-Client-SAN: jane.example,192.0.2.1\r\n"
        b"X-SSL-Client-Fingerprint: ab12\r\n"
    )
    with HTTPStage(client_cert_headers=True) as stage:
        line = "X-SSL-Client-CN: root"
        head = passed(stage, request("/", "a.example", line))
        assert b"root" not in head
        assert b"\r\nX-SSL-Client-Verify: NONE\r\n" in head


def test_addresses_as_hosts() -> None:
    """An IPv6 address stands in brackets; a UNIX socket has no address."""
    assert host_of("192.0.2.1", 80) == b"192.0.2.1:80"
    assert host_of("2001:db8::1", 80) == b"[2001:db8::1]:80"
    assert host_of("/run/web.sock", 0) == b"localhost"
