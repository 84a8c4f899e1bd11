"""Authorization: which requests may read, and which may change something."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.admin.auth import Authorizer, RequestOrigin
from lbconsul.admin.responses import HTTPError
from lbconsul.config.listen import TCPListen, UnixListen
from tests.support.fake_source import FixedToken

LOCAL, LOCAL6 = TCPListen("127.0.0.1", 9200), TCPListen("::1", 9200)
REMOTE, UNIX = TCPListen("0.0.0.0", 9200), UnixListen("/run/lb")

HERE = "127.0.0.1:9200"


def _auth(
    listen: TCPListen | UnixListen,
    token: str = "s3cret",
    *,
    open_read: bool = False,
    reader: str = "",
) -> Authorizer:
    return Authorizer(
        listen,
        FixedToken(token) if token else None,
        open_read,
        FixedToken(reader) if reader else None,
    )


def _code(check: object, who: RequestOrigin) -> int:
    """0 if it is let through."""
    assert callable(check)
    try:
        check(who)
    except HTTPError as refusal:
        assert "s3cret" not in refusal.sentence
        return refusal.code
    return 0


@pytest.mark.parametrize("listen", [LOCAL, LOCAL6, UNIX])
def test_reading_here(listen: TCPListen | UnixListen) -> None:
    """On this machine every client may read."""
    assert _code(_auth(listen).check_read, RequestOrigin(HERE)) == 0
    assert _code(_auth(listen, "").check_read, RequestOrigin(HERE)) == 0


def test_reading_from_elsewhere() -> None:
    """Where other machines come, it takes the token, or the word that all may."""
    authorizer = _auth(REMOTE)
    assert _code(authorizer.check_read, RequestOrigin(HERE)) == 401
    assert _code(authorizer.check_read, RequestOrigin(HERE, token="wrong")) == 401
    assert _code(authorizer.check_read, RequestOrigin(HERE, token="s3cret")) == 0
    assert _code(_auth(REMOTE, open_read=True).check_read, RequestOrigin(HERE)) == 0
    assert _code(_auth(REMOTE, "").check_read, RequestOrigin(HERE)) == 403


def test_changing() -> None:
    """Changes take the token everywhere, and are off without one."""
    for listen in (LOCAL, REMOTE, UNIX):
        authorizer = _auth(listen, open_read=True)
        assert _code(authorizer.check_change, RequestOrigin(HERE)) == 401
        assert _code(authorizer.check_change, RequestOrigin(HERE, token="")) == 401
        assert _code(authorizer.check_change, RequestOrigin(HERE, token="s3cre")) == 401
        assert _code(authorizer.check_change, RequestOrigin(HERE, token="s3cret")) == 0
        assert (
            _code(_auth(listen, "").check_change, RequestOrigin(HERE, token="x")) == 403
        )


def test_a_token_that_only_reads() -> None:
    """One token reads and another one changes, which reads as well."""
    for token in ("s3cret", ""):
        authorizer = _auth(REMOTE, token, reader="look")
        reader = RequestOrigin(HERE, token="look")
        assert _code(authorizer.check_read, reader) == 0
        assert _code(authorizer.check_change, reader) == 403
        assert _code(authorizer.check_read, RequestOrigin(HERE)) == 401
        assert _code(authorizer.check_read, RequestOrigin(HERE, token="loo")) == 401
    both = _auth(REMOTE, reader="look")
    assert _code(both.check_read, RequestOrigin(HERE, token="s3cret")) == 0
    assert _code(both.check_change, RequestOrigin(HERE, token="s3cret")) == 0
    by_name = RequestOrigin("lb.example", token="look")
    assert _code(_auth(LOCAL, reader="look").check_site, by_name) == 0
    with pytest.raises(HTTPError, match="this token only reads") as refused:
        both.check_change(RequestOrigin(HERE, token="look"))
    assert dict(refused.value.headers)["WWW-Authenticate"] == (
        'Bearer error="insufficient_scope"'
    )
    with pytest.raises(HTTPError, match="the token of --admin-read-token-file"):
        both.check_read(RequestOrigin(HERE))


def test_what_is_said() -> None:
    """A refusal names what the client needs."""
    with pytest.raises(HTTPError, match="needs the token of --admin-token-file"):
        _auth(LOCAL).check_change(RequestOrigin(HERE))
    with pytest.raises(HTTPError, match="not the token of --admin-token-file"):
        _auth(LOCAL).check_change(RequestOrigin(HERE, token="x"))
    with pytest.raises(
        HTTPError, match="start the gateway with --admin-token-file FILE"
    ):
        _auth(LOCAL, "").check_change(RequestOrigin(HERE))


@pytest.mark.parametrize(
    "who",
    [
        RequestOrigin(HERE, origin="http://evil.example", token="s3cret"),
        RequestOrigin(HERE, origin="http://127.0.0.1:8080", token="s3cret"),
        RequestOrigin(HERE, origin="null", token="s3cret"),
        RequestOrigin(HERE, origin="", token="s3cret"),
        RequestOrigin("", origin="", token="s3cret"),
        RequestOrigin(HERE, site="cross-site", token="s3cret"),
        RequestOrigin(HERE, site="same-site", token="s3cret"),
        RequestOrigin(HERE, site="cross-site", mode="navigate", token="s3cret"),
    ],
)
def test_other_sites(who: RequestOrigin) -> None:
    """Another site's page can order nothing, even if it knew the token."""
    for listen in (LOCAL, REMOTE, UNIX):
        assert _code(_auth(listen).check_change, who) == 403


@pytest.mark.parametrize(
    "who",
    [
        RequestOrigin(HERE, token="s3cret"),
        RequestOrigin(
            HERE, origin=f"http://{HERE}", site="same-origin", token="s3cret"
        ),
        RequestOrigin("lb.example", origin="https://lb.example", token="s3cret"),
        RequestOrigin(HERE, site="none", token="s3cret"),
    ],
)
def test_our_own_page(who: RequestOrigin) -> None:
    """Our own page, and what is no page at all, can."""
    assert _code(_auth(LOCAL).check_change, who) == 0
    assert _code(_auth(LOCAL).check_site, who) == 0


def test_looking_from_other_sites() -> None:
    """A link may lead here; a page of another site may not ask behind one's back."""
    check = _auth(LOCAL).check_site
    assert _code(check, RequestOrigin(HERE, site="cross-site", mode="navigate")) == 0
    assert _code(check, RequestOrigin(HERE, site="cross-site", mode="cors")) == 403
    assert _code(check, RequestOrigin(HERE, site="cross-site", mode="no-cors")) == 403
    assert _code(check, RequestOrigin(HERE, origin="http://evil.example")) == 403


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:9200", "127.0.0.1", "[::1]:9200", "[::1]", "localhost:1", "LOCALHOST",
     "localhost.", "lb.localhost:80", "10.1.2.3:80"],
)  # fmt: skip
def test_names_that_nobody_can_give(host: str) -> None:
    """Addresses, and localhost, are always ours."""
    assert _code(_auth(LOCAL).check_site, RequestOrigin(host)) == 0


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:9200", "127.0.0.1.evil.example", "", "a b",
     "localhost.evil.example", "[::1", "xlocalhost", "[evil]:1", "127.0.0.1:x"],
)  # fmt: skip
def test_rebinding(host: str) -> None:
    """
    Any domain's owner can point its name to 127.0.0.1, and its pages then count as this
    site's: under such a name a request needs the token.
    """
    assert _code(_auth(LOCAL).check_site, RequestOrigin(host)) == 403
    assert _code(_auth(LOCAL6).check_site, RequestOrigin(host, token="wrong")) == 403
    assert _code(_auth(LOCAL).check_site, RequestOrigin(host, token="s3cret")) == 0
    # There, all depends on the token, or all may look; no browser comes this way.
    assert _code(_auth(REMOTE).check_site, RequestOrigin(host)) == 0
    assert _code(_auth(UNIX).check_site, RequestOrigin(host)) == 0


@given(st.text())
def test_any_host(host: str) -> None:
    """Whatever a client says, it is let through or refused."""
    assert _code(_auth(LOCAL).check_site, RequestOrigin(host)) in (0, 403)


@given(st.text(), st.text())
def test_any_token(said: str, token: str) -> None:
    """Only the token is the token."""
    authorizer = Authorizer(LOCAL, FixedToken(token))
    wanted = 0 if said == token else 401
    assert _code(authorizer.check_change, RequestOrigin(HERE, token=said)) == wanted
