"""What can be asked for, by which method, and with what token."""

import gzip
import json
from typing import Any

import pytest
from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.admin.routes import LONGEST_PATH, MOST_ANSWERS
from lbconsul.admin.status_model import FullStatus
from lbconsul.config.listen import TCPListen, UnixListen
from tests.support.admin_client import Site

SHOWN = ("/status", "/metrics", "/events", "/why?url=http://x/", "/history")
PROBES = ("/healthz", "/readyz")
ORDERS = tuple(
    f"/upstreams/dc1/node-00/web-0/{each}" for each in ("drain", "undrain", "eject")
)
TOKEN = ("Authorization", "Bearer s3cret")


@pytest.mark.parametrize("path", [*SHOWN, *PROBES])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW", "get"])
def test_only_for_reading(path: str, method: str) -> None:
    """Read-only paths refuse other methods."""
    refused = Site().ask(method, path, [TOKEN])
    assert refused.code == 405
    assert refused.headers["Allow"] == "GET, HEAD"
    assert refused.error == "the method must be GET or HEAD"


@pytest.mark.parametrize("path", [*ORDERS, "/drain"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_only_for_ordering(path: str, method: str) -> None:
    """A change takes a POST: no link and no image can cause it."""
    site = Site()
    refused = site.ask(method, path, [TOKEN])
    assert (refused.code, refused.headers["Allow"]) == (405, "POST")
    assert site.source.orders == []


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere", "/status/", "/Status", "//status", "/../status", "*", "/upstreams",
        "/upstreams/", "/upstreams/drain", "/upstreams/dc1/drain",
        "/upstreams/dc1/node/drain", "/upstreams/dc1/node-00/web-0/",
        "/upstreams/dc1/node-00/web-0/explode", "/upstreams/a/b/c/d/drain",
        "/upstreams/a/b/%FF/drain", "/page/index.html", "/pages.py", "/%00",
        "/a%0d%0ab", "/uplot.LICENSE", "/..%2fmodel.py", "http://127.0.0.1:9200/status",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_there(path: str, method: str) -> None:
    """An unknown path is 404, whatever the method."""
    site = Site()
    refused = site.ask(method, path, [TOKEN])
    assert refused.code == 404
    assert refused.error == "no such path: docs/admin.md lists them"
    assert site.source.orders == []


def test_long_paths() -> None:
    """A path of absurd length is not looked at."""
    for path in ("/" + "a" * LONGEST_PATH, "/upstreams/" + "%41" * 2000 + "/drain"):
        assert Site().ask("POST", path, [TOKEN]).code == 414
    assert Site().ask("GET", "/status?" + "a" * 8000).code == 200
    assert Site().ask("GET", "/healthz", [("X-Long", "a" * 15_000)]).code == 200
    assert Site().ask("GET", "/healthz", [("X-Long", "a" * 17_000)]).code == 431
    assert Site().ask("GET", "/" + "a" * 17_000).code == 431
    many = [(f"X-{number}", "a") for number in range(600)]
    assert Site().ask("GET", "/healthz", many).code == 400


@pytest.mark.parametrize("path", [*SHOWN, *PROBES, "/", "/nowhere"])
def test_head(path: str) -> None:
    """HEAD answers with what GET would say of itself, and no body."""
    site = Site()
    said = site.ask("HEAD", path)
    assert said.body == b""
    if path != "/events":
        shown = site.ask("GET", path)
        assert shown.code == said.code
        assert shown.headers["Content-Type"] == said.headers["Content-Type"]


@pytest.mark.parametrize("path", ["/status", "/healthz", "/nowhere", "/drain"])
def test_headers(path: str) -> None:
    """No answer says what serves it, and each tells browsers to be careful."""
    headers = Site().ask("GET", path).headers
    assert "Server" not in headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Date"].endswith(" GMT")


def test_probes() -> None:
    """/healthz answers alive; /readyz answers ready, or a reason a line."""
    site = Site()
    assert (site.ask("GET", "/healthz").code, site.ask("GET", "/readyz").code) == (
        200,
    ) * 2
    site.source.gateway_status = evolve(
        site.source.gateway_status, ready=False, not_ready=("80:web: no\nanswer", "b")
    )
    assert site.ask("GET", "/healthz").code == 200
    refused = site.ask("GET", "/readyz")
    assert (refused.code, refused.text) == (503, "80:web: no answer\nb\n")


def test_a_full_gateway_is_ready() -> None:
    """A full gateway is ready, and names what is full to clients that may read."""
    site, remote = Site(), Site(TCPListen("0.0.0.0", 9200))
    full = (FullStatus("max-connections", "80:web"), FullStatus("process"))
    for each in (site, remote):
        each.source.gateway_status = evolve(each.source.gateway_status, full=full)
    said = site.ask("GET", "/readyz")
    assert (said.code, said.text) == (
        200,
        "ready\nfull: 80:web: max-connections is reached; new clients wait\nfull: the"
        " process has as many connections as its descriptors allow;"
        " new clients wait\n",
    )
    assert remote.ask("GET", "/readyz").text == "ready\n"
    assert "80:web" in remote.ask("GET", "/readyz", [TOKEN]).text
    status = site.source.gateway_status
    many = tuple(FullStatus("max-connections", f"{n}:web") for n in range(2000))
    site.source.gateway_status = evolve(status, full=many)
    assert len(site.ask("GET", "/readyz").text) < 10_000


def test_probes_by_other_names() -> None:
    """Clients under an untrusted host name get no reasons."""
    site = Site()
    status = site.source.gateway_status
    site.source.gateway_status = evolve(status, ready=False, not_ready=("80:web",))
    assert site.ask("GET", "/readyz", [("Host", "evil.example")]).text == "not ready\n"
    assert site.ask("GET", "/healthz", [("Host", "evil.example")]).text == "alive\n"


def test_probes_from_elsewhere() -> None:
    """Probes need no token; the reasons are for clients that have it."""
    site = Site(TCPListen("0.0.0.0", 9200))
    status = site.source.gateway_status
    site.source.gateway_status = evolve(status, ready=False, not_ready=("80:web",))
    assert site.ask("GET", "/healthz", [("Host", "pod")]).code == 200
    assert site.ask("GET", "/readyz").text == "not ready\n"
    assert site.ask("GET", "/readyz", [TOKEN]).text == "80:web\n"


@pytest.mark.parametrize("path", ["/status", "/metrics"])
def test_reading_from_elsewhere(path: str) -> None:
    """Where other machines come, looking takes the token."""
    site = Site(TCPListen("0.0.0.0", 9200))
    refused = site.ask("GET", path)
    assert (refused.code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert site.ask("GET", path, [("X-Lbconsul-Token", "wrong")]).code == 401
    for header in (
        TOKEN,
        ("X-Lbconsul-Token", "s3cret"),
        ("Authorization", "bearer  s3cret"),
    ):
        assert site.ask("GET", path, [header]).code == 200
    assert Site(site.listen, open_read=True).ask("GET", path).code == 200
    assert Site(UnixListen("/run/lb")).ask("GET", path).code == 200


def test_rebinding() -> None:
    """Under a host name that could be any attacker's, nothing is shown."""
    for path in (*SHOWN, "/"):
        if path != "/" or Site().ask("GET", "/").code == 200:
            assert Site().ask("GET", path, [("Host", "evil.example")]).code == 403
    assert Site().ask("GET", "/status", [("Host", "lb.example"), TOKEN]).code == 200


@pytest.mark.parametrize("path", ["/status", "/metrics"])
def test_packed(path: str) -> None:
    """Long answers are gzipped for clients that accept it, and say so."""
    plain, said = (
        Site().ask("GET", path, [("Accept-Encoding", each)])
        for each in ("gzip;q=0", "gzip")
    )
    assert "Content-Encoding" not in plain.headers
    assert said.headers["Content-Encoding"] == "gzip"
    assert said.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    shown = gzip.decompress(said.body).decode()
    if path == "/status":
        assert json.loads(shown)["mappings"] == plain.value["mappings"]
    else:
        assert shown.count("\n") == plain.text.count("\n")


def test_history() -> None:
    """The last hour: of all mappings or some, in steps as long as is asked for."""
    site = Site()
    for name in ("80:web", "81:api"):
        site.source.history.make_up(name, 5.0)
    whole = site.ask("GET", "/history").value
    assert [each["name"] for each in whole["mappings"]] == ["80:web", "81:api"]
    packed = [("Accept-Encoding", "gzip")]
    asked = site.ask("GET", "/history?mapping=81:api&step=60", packed)
    shown = json.loads(gzip.decompress(asked.body))
    assert [each["name"] for each in shown["mappings"]] == ["81:api"]
    assert (shown["step"], len(shown["times"])) == (60.0, 60)


@pytest.mark.parametrize("step", ["x", "-1", "601", "nan", "inf"])
def test_history_in_odd_steps(step: str) -> None:
    """Steps that are none are refused, with what would be right."""
    refused = Site().ask("GET", f"/history?step={step}")
    assert (refused.code, refused.error) == (400, "step must be seconds from 0 to 600")


def test_many_long_answers() -> None:
    """The number of long answers in progress is bounded; one that ends makes room."""
    site = Site()
    connections = [site.connect() for _ in range(MOST_ANSWERS)]
    for each in connections:
        site.say(each, "GET", "/metrics")
        site.answer_one()
        each.enough()
    refused = site.ask("GET", "/metrics")
    assert (refused.code, refused.headers["Retry-After"]) == (503, "10")
    assert site.ask("GET", "/readyz").code == 200
    connections[7].lose()
    assert site.ask("GET", "/metrics").code == 200


class BugTests(SynchronousTestCase):
    def test_a_bug(self) -> None:
        """
        Where the source fails, it is an answer and a traceback in the log.
        """
        site = Site()
        source: Any = site.source
        source.gateway_status = None
        refused = site.ask("GET", "/readyz")
        self.assertEqual(refused.code, 500)
        self.assertEqual(refused.error, "a bug in lbconsul: the log has details")
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        # What has begun is cut off.
        site.ask_in_vain("/status")
        self.assertEqual(len(self.flushLoggedErrors()), 1)
