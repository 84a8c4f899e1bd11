"""What is printed of the route that a request takes."""

from typing import Any

import pytest

from lbconsul.admin.why import (
    CandidateStatus,
    MappingExplanation,
    PoolCount,
    Why,
    lines,
)

API = CandidateStatus("80:example.com/api=api", "example.com/api", "api")
LOGIN = CandidateStatus(
    "80:example.com=/login=auth", "example.com=/login", "auth", "the path is not /login"
)
REST = CandidateStatus("80:web", "", "web")


def printed(**fields: Any) -> list[str]:
    """The lines about a mapping that is like this."""
    told = {"mapping": "80:web", "listen": "0.0.0.0:80", "mode": "http"} | fields
    why = Why("http://example.com/", "GET", (MappingExplanation(**told),))
    return list(lines(why))


def test_served() -> None:
    """Each candidate is a line with what does not match; then comes who serves."""
    assert printed(
        path="/api/x",
        candidates=(LOGIN, API, REST),
        considered=3,
        others=2,
        winner=API,
        sends="GET /x HTTP/1.1",
        options={"strip-prefix": "/api"},
        pools=(
            PoolCount("api", 3, 2, True, False),
            PoolCount("sorry", 1, 1, False, True),
        ),
    ) == [
        "GET http://example.com/",
        "",
        "80:web on 0.0.0.0:80, mode=http, path /api/x",
        "   x  example.com=/login   auth  the path is not /login",
        "  =>  example.com/api      api   matches",
        "   -  what no route takes  web   matches, but an earlier one does as well",
        "    2 routes are for other hosts",
        "  served by api, as 80:example.com/api=api",
        "    api: 2 of 3 instances usable, in use",
        "    sorry (fallback): 1 of 1 instance usable",
        "    instances get: GET /x HTTP/1.1",
        "    strip-prefix=/api",
    ]


def test_redirected() -> None:
    """A redirect is shown with its status and where it leads."""
    told = printed(
        candidates=(API,), considered=1, winner=API, status=308, location="https://x/"
    )
    assert told[-1] == "  308: sent to https://x/"


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        (
            {"status": 404, "reason": "no route takes it"},
            "  404: no route takes it",
        ),
        (
            {"reason": "no route takes its server name", "mode": "sni"},
            "  closed: no route takes its server name",
        ),
        ({"winner": REST, "reason": "no instance"}, "  closed: no instance"),
    ],
)
def test_not_served(fields: dict[str, Any], outcome: str) -> None:
    """Where no instance gets the request, the answer and its reason are shown."""
    assert printed(**fields)[-1] == outcome


def test_very_many_candidates() -> None:
    """Candidates that are not listed are counted; so is a single route elsewhere."""
    told = printed(candidates=(REST,), considered=8, others=1, winner=REST)
    assert told[4:6] == [
        "    and 7 more candidates",
        "    1 route is for other hosts",
    ]


def test_no_service() -> None:
    """A mapping that answers itself has no service to name."""
    rest = CandidateStatus("80:-", "", "")
    told = printed(candidates=(rest,), considered=1, winner=rest, status=308)
    assert told[3] == "  =>  what no route takes  -  matches"


def test_notes() -> None:
    """What else is to be known is noted at the end."""
    assert printed(notes=("it serves TLS",))[-1] == "  note: it serves TLS"


def test_control_characters() -> None:
    """No name of Consul's or of the client's can garble the terminal."""
    assert "\x1b" not in "".join(printed(path="/\x1b[2J", reason="a\nb"))
