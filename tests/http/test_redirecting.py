"""Clients are sent to another URL."""

import pytest

from lbconsul.config.rewriting import Redirect, Rewriting
from lbconsul.http.errors import Refused
from lbconsul.http.head import Limits
from lbconsul.http.redirecting import Redirecting
from lbconsul.http.request import RequestHead, RequestParser, request_fields
from tests.http.test_rewriting import rewriting


def head(target: str, host: str = "a.com", method: str = "GET") -> RequestHead:
    """The head of a request; without a host it is of HTTP/1.0."""
    lines = f"HTTP/1.1\r\nHost: {host}" if host else "HTTP/1.0"
    text = f"{method} {target} {lines}\r\n\r\n".encode()
    found = RequestParser(request_fields(), Limits()).parse(text)
    assert found is not None
    return found


def location(
    request: RequestHead, *options: str, scheme: str = "http", path: bytes = b""
) -> tuple[int, str] | None:
    """Where the client is sent."""
    redirecting = Redirecting.of(rewriting(*options))
    assert redirecting is not None
    found = redirecting.location(request, path or request.path, scheme)
    return None if found is None else (found[0], found[1].decode())


def test_nothing() -> None:
    """A mapping that sends no client elsewhere has nothing that does."""
    assert Redirecting.of(rewriting("set-header=X-A: 1")) is None


class TestToHTTPS:
    """Clients that came with http are sent to https."""

    @pytest.mark.parametrize(
        ("target", "host", "expected"),
        [
            ("/", "a.com", "https://a.com/"),
            ("/a%20b?c=d?e", "A.com:8080", "https://a.com/a%20b?c=d?e"),
            ("/a?", "a.com.", "https://a.com/a"),
            ("//a", "[2001:DB8::1]:80", "https://[2001:db8::1]//a"),
        ],
    )
    def test_http(self, target: str, host: str, expected: str) -> None:
        """The URL is the same but for scheme and port."""
        found = location(head(target, host), "redirect-https=on")
        assert found == (308, expected)

    def test_https(self) -> None:
        """Others are served."""
        assert location(head("/"), "redirect-https=on", scheme="https") is None

    def test_asterisk(self) -> None:
        """``OPTIONS *`` has no path."""
        found = location(head("*", method="OPTIONS"), "redirect-https=on")
        assert found == (308, "https://a.com/")

    def test_without_host(self) -> None:
        """A client that names no host cannot be sent anywhere, and is not served."""
        with pytest.raises(Refused, match="it has no Host, which a redirect") as raised:
            location(head("/", ""), "redirect-https=on")
        assert raised.value.status == 400

    def test_with_redirect(self) -> None:
        """Once with https, the other redirect holds."""
        options = ("redirect-https=on", "redirect=302,https://b.com$path")
        assert location(head("/x"), *options) == (308, "https://a.com/x")
        found = location(head("/x"), *options, scheme="https")
        assert found == (302, "https://b.com/x")


class TestToURL:
    """Clients are sent to the URL that the option says."""

    @pytest.mark.parametrize(
        ("option", "expected"),
        [
            ("301,https://b.com", "https://b.com"),
            ("302,https://b.com$path?$query", "https://b.com/x/y?q=1"),
            ("302,https://$host$path", "https://a.com/x/y"),
            ("302,https://b.$host/?from=$path&$query#top",
             "https://b.a.com/?from=/x/y&q=1#top"),
            ("307,/new$path", "/new/x/y"),
            ("308,/$path", "/x/y"),
            ("308,/$query", "/q=1"),
        ],
    )  # fmt: skip
    def test_url(self, option: str, expected: str) -> None:
        """Variables are those of the request."""
        found = location(head("/x/y?q=1"), f'redirect="{option}"')
        assert found == (int(option[:3]), expected)

    def test_without_query(self) -> None:
        """A question mark that nothing follows is left out."""
        found = location(head("/x"), 'redirect="301,https://b.com$path?$query"')
        assert found == (301, "https://b.com/x")

    @pytest.mark.parametrize("target", ["//evil.com", "/\\evil.com", "///\\/evil.com"])
    def test_to_no_other_host(self, target: str) -> None:
        """A client does not choose the host of a path."""
        assert location(head(target), "redirect=301,/$path") == (301, "/evil.com")

    def test_without_host(self) -> None:
        """A client that names no host can be sent where no host is needed."""
        for url in ("https://b.com/", "/b"):
            assert location(head("/", ""), f"redirect=301,{url}") == (301, url)

    def test_resolved_path(self) -> None:
        """The path is the one without dot segments."""
        found = location(head("/x/../y?q"), "redirect=301,/b$path", path=b"/y")
        assert found == (301, "/b/y")


@pytest.mark.parametrize(
    ("target", "host", "scheme", "url"),
    [
        ("/", "b.com", "https", "https://b.com"),
        ("/x", "B.com:443", "https", "https://b.com$path"),
        ("/x", "b.com", "http", "http://b.com:80$path"),
        ("/x?y", "b.com", "https", "https://$host$path?$query"),
        ("/x", "b.com", "https", "/x"),
        ("*", "b.com", "https", "https://b.com/"),
    ],
)
def test_itself(target: str, host: str, scheme: str, url: str) -> None:
    """A redirect to the URL that was asked for would never end, so there is none."""
    method = "OPTIONS" if target == "*" else "GET"
    request = head(target, host, method)
    assert location(request, f'redirect="301,{url}"', scheme=scheme) is None


@pytest.mark.parametrize(
    ("target", "host", "scheme"),
    [
        ("/x", "a.com", "https"),
        ("/x", "b.com", "http"),
        ("/x", "b.com:8443", "https"),
        ("/y", "b.com", "https"),
        ("/x?y", "b.com", "https"),
    ],
)
def test_another(target: str, host: str, scheme: str) -> None:
    """A URL that differs in any part is another one."""
    found = location(head(target, host), "redirect=301,https://b.com/x", scheme=scheme)
    assert found == (301, "https://b.com/x")


class TestOfTags:
    """Redirects of fabio's tags have the path that it is rewritten to."""

    @staticmethod
    def _location(
        url: str, target: str, host: str = "a.com", scheme: str = "http"
    ) -> str | None:
        rewriting = Rewriting(
            redirect=Redirect(302, url),
            redirects_rewritten=True,
            strip_prefix="/s",
            strips_within_segments=True,
            add_prefix="/n",
        )
        redirecting = Redirecting.of(rewriting)
        assert redirecting is not None
        request = head(target, host, "OPTIONS" if target == "*" else "GET")
        found = redirecting.location(request, request.path, scheme)
        return None if found is None else found[1].decode()

    def test_path(self) -> None:
        """The prefix is stripped, and another added."""
        url = "https://n.com$path?$query"
        assert self._location(url, "/s/x?y=1") == "https://n.com/n/x?y=1"
        assert self._location(url, "/x") == "https://n.com/n/x"
        assert self._location(url, "*") == "https://n.com/"

    def test_port(self) -> None:
        """The client's port stays with its scheme, since another has another port."""
        for url, location in [
            ("http://$host/y", "http://a.com:8080/y"),
            ("https://$host/y", "https://a.com/y"),
        ]:
            assert self._location(url, "/x", "a.com:8080") == location
        assert self._location("http://$host/y", "/x", "[::1]:81") == "http://[::1]:81/y"
