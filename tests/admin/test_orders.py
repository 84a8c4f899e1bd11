"""What an operator can order, and with what token."""

from urllib.parse import quote

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

from lbconsul.admin.upstream_id import upstream_id
from lbconsul.errors import CannotOrder
from tests.support.admin_client import Connection, Site
from tests.support.fake_source import FakeSource, upstream

SHOWN = ("/status", "/metrics", "/events")
PROBES = ("/healthz", "/readyz")
ORDERS = tuple(
    f"/upstreams/dc1/node-00/web-0/{each}" for each in ("drain", "undrain", "eject")
)
TOKEN = ("Authorization", "Bearer s3cret")


@pytest.mark.parametrize("verb", ["drain", "undrain", "eject"])
def test_ordering(verb: str) -> None:
    """With the token an upstream can be ordered about, by its id in the path; how long
    a drain lasts is said.
    """
    site = Site()
    found = "dc1/node-00/web-0"
    done = site.change(f"/upstreams/{found}/{verb}")
    lasts = {"lasts": "until it is undrained"} if verb == "drain" else {}
    said = {"done": verb, "upstream": found, **lasts}
    assert (done.code, done.value) == (200, said)
    assert site.change(f"/upstreams/{quote(found, safe='')}/{verb}").code == 200
    assert site.source.orders == [(verb, found)] * 2
    unknown = site.change(f"/upstreams/dc1/node-00/nobody/{verb}")
    assert unknown.code == 404
    assert unknown.error == "no upstream dc1/node-00/nobody"


def test_one_that_cannot_be_ejected() -> None:
    """The client gets the reason on one line, and no order is logged as done."""
    site = Site()
    site.source.ejecting = fail(CannotOrder("it does not serve:\ndraining, weight 0"))
    with capturedLogs() as events:
        refused = site.change("/upstreams/dc1/node-00/web-0/eject")
    assert refused.code == 409
    assert refused.error == "it does not serve: draining, weight 0"
    assert [event["code"] for event in events] == [409]
    assert site.requests.counts == {("eject", 409): 1}


def _begin_to_eject(site: Site) -> tuple[Connection, Deferred[bool]]:
    """A request that waits for workers."""
    site.source.ejecting = Deferred()
    connection = site.connect()
    site.say(connection, "POST", "/upstreams/dc1/node-00/web-0/eject", [TOKEN])
    site.clock.advance(0)
    assert connection.value() == b""
    return connection, site.source.ejecting


def test_ejecting_takes_a_moment() -> None:
    """Where workers have to be asked the answer comes when they have answered."""
    site = Site()
    connection, ejecting = _begin_to_eject(site)
    assert not site.requests.counts
    ejecting.callback(True)
    assert connection.value().startswith(b"HTTP/1.1 200 ")
    assert site.requests.counts == {("eject", 200): 1}


def test_gone_while_it_is_ejected() -> None:
    """A client that left by then harms no other."""
    site = Site()
    for result in (True, Failure(CannotOrder("it is ejected already"))):
        connection, ejecting = _begin_to_eject(site)
        connection.lose()
        ejecting.callback(result)
        assert connection.value() == b""


@pytest.mark.parametrize("path", [*ORDERS, "/drain"])
def test_ordering_without_a_token(path: str) -> None:
    """Without the token nothing happens; without a token file it never does."""
    site = Site()
    refused = site.ask("POST", path)
    assert (refused.code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    for header in (
        ("Authorization", "Bearer wrong"), ("Authorization", "Bearer"),
        ("Authorization", "Basic s3cret"), ("X-Lbconsul-Token", ""),
        ("Authorization", "Bearer \udce9"), ("Cookie", "token=s3cret"),
    ):  # fmt: skip
        assert site.ask("POST", path, [header]).code == 401
    assert site.change(path, ("Origin", "http://evil.example")).code == 403
    assert site.change(path, ("Sec-Fetch-Site", "cross-site")).code == 403
    assert site.source.orders == []
    off = Site(token=None)
    refused = off.ask("POST", path, [TOKEN])
    assert refused.code == 403
    assert "changes are off: start the gateway with --admin-token-file" in refused.error
    assert off.source.orders == []


@pytest.mark.parametrize(
    "service_id",
    [
        "a/b",
        "..",
        ".",
        "a b",
        "100%",
        "%2F",
        "web#1?x=y",
        "ünï",
        "drain",
        "a+b",
        ";",
        "\\",
    ],
)
def test_odd_service_ids(service_id: str) -> None:
    """Whatever a service is registered as, it can be drained."""
    site = Site()
    found = upstream_id("dc1", "n/1", service_id)
    site.source.add("80:web", 0, evolve(upstream(1), id=found, service_id=service_id))
    assert site.change(f"/upstreams/{quote(found, safe='')}/drain").code == 200
    assert site.change(f"/upstreams/{found}/undrain").code == 200
    assert site.source.orders == [("drain", found), ("undrain", found)]


def test_an_impossible_order() -> None:
    """An order that is impossible now is 409, with the reason, and is not done."""
    site = Site()
    site.source.busy = "another gateway is taking over"
    refused = site.change(ORDERS[0])
    assert (refused.code, refused.error) == (409, "another gateway is taking over")
    assert site.source.orders == []


def test_draining_the_gateway() -> None:
    """The gateway ends by order, as it does by SIGTERM."""
    site = Site()
    done = site.change("/drain")
    assert (done.code, done.value) == (202, {"done": "drain"})
    assert site.source.orders == [("drain", "")]
    assert site.ask("GET", "/readyz").text == "the gateway is draining\n"


def test_the_answer_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is answered though the gateway, where nothing is open, ends at once."""
    site = Site()
    monkeypatch.setattr(FakeSource, "drain_gateway", lambda _: site.factory.cut_all())
    assert site.change("/drain").code == 202


def test_no_token_is_logged() -> None:
    """Orders are logged with the client that gave them; a token never is."""
    site = Site()
    with capturedLogs() as events:
        site.change(ORDERS[0])
        site.ask("POST", ORDERS[0], [("Authorization", "Bearer gu3ss")])
        site.ask("POST", "/nowhere?token=gu3ss", [("X-Lbconsul-Token", "gu3ss")])
    done, refused = events
    assert done["order"] == "drain dc1/node-00/web-0"
    assert refused["code"] == 401
    assert "s3cret" not in str(events)
    assert "gu3ss" not in str(events)
