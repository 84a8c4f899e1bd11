"""What is wrong with a gateway."""

from typing import Any

import pytest

from lbconsul.balance.standing import GONE, MANUALLY_DRAINED
from lbconsul.top.figures import Counts, Figures
from lbconsul.top.lines import BAD, FAINT, WARN
from lbconsul.top.problems import Problem, problems
from tests.support.statuses import NOW, document, upstream

WEB = ("80:web", "", "")


def _texts(found: Any) -> list[str]:
    return [each.text for each in problems(Figures(found))]


def test_none() -> None:
    """A gateway that is well has no problems."""
    assert problems(Figures(document())) == []
    assert problems(Figures(document(http=True))) == []


def test_gateway() -> None:
    """What is wrong with the gateway as a whole."""
    found = document()
    gateway = found["gateway"]
    gateway["not_ready"] = ["80:web does not listen"]
    gateway["full"] = [
        {"reason": "descriptors", "mapping": "", "processes": 1},
        {"reason": "max-connections", "mapping": "80:web", "processes": 1},
    ]
    gateway["registrations"] = [
        {"service": "lb", "state": "passing", "reason": ""},
        {"service": "lb", "state": "taken", "reason": "of another gateway"},
        {"service": "lb", "state": "waiting", "reason": ""},
    ]
    gateway["workers"][0]["serves"] = False
    assert _texts(found) == [
        "not ready: 80:web does not listen",
        "full, new clients wait: descriptors",
        "80:web: full, new clients wait: max-connections",
        "in Consul as lb: taken: of another gateway",
        "in Consul as lb: waiting",
        "1 of 2 workers serve",
    ]
    gateway |= {
        "state": "draining",
        "open": 3,
        "full": [],
        "workers": [],
        "registrations": [],
    }
    found["mappings"][0]["listening"] = False  # which goes without saying
    assert _texts(found) == ["the gateway drains: it ends after 3 connections more"]


@pytest.mark.parametrize(
    ("age", "used"), [(None, ""), (80.0, "; in use is its answer of 1 m 20 s ago")]
)
def test_consul(age: float | None, used: str) -> None:
    """Consul that fails, and for how long the last answer has been used."""
    found = document()
    found["watches"][1] |= {
        "failing_since": NOW - 90, "last_error": "refused", "age": age,
    }  # fmt: skip
    (only,) = problems(Figures(found))
    text = f"Consul fails for api,dc=dc1 for 1 m 30 s: refused{used}"
    assert only == Problem(text, BAD)


def test_snapshot_and_skipped() -> None:
    """A snapshot in use, and instances that are not connected to."""
    found = document()
    found["watches"][0] |= {
        "state": "snapshot", "skipped": 2,
        "skipped_instances": [{"instance": "a@n 0.0.0.0:80", "reason": "no address"}],
    }  # fmt: skip
    assert _texts(found) == [
        "Consul has not answered for web,dc=dc1: a snapshot is in use",
        "web,dc=dc1: 2 instances skipped: a@n 0.0.0.0:80: no address",
    ]


def test_mapping() -> None:
    """A mapping that does not listen, and one without an upstream."""
    found = document()
    found["mappings"][0]["listening"] = False
    name = "unix:/run/graphite.sock:graphite"
    found["gateway"]["not_ready"] = [f"{name}: Consul knows no instance"]
    found["mappings"][2]["empty"] = "Consul knows no instance of graphite"
    found["mappings"][2]["pools"][0]["upstreams"] = []
    for each in found["mappings"][1]["pools"]:
        for one in each["upstreams"]:
            one |= {"standing": "draining", "reason": "weight 0"}
    first, second, third, *_ = problems(Figures(found))
    assert first == Problem("80:web: does not listen on 0.0.0.0:80", BAD, WEB)
    assert second.text == (
        "8080:api,dc=dc1|dc2: no upstreams: none of its instances is usable"
    )
    assert third.text == (
        "unix:/run/graphite.sock:graphite: no upstreams: Consul knows no instance of"
        " graphite"
    )
    found["mappings"][2] |= {"service": "", "empty": ""}  # its routes only
    assert all(name not in each.text for each in problems(Figures(found))[1:])
    why = "closed, requests get 503: weight=x must be a number"
    found["mappings"][2] |= {"name": "80:/bad=-", "empty": why}
    assert Problem(f"80:/bad=-: {why}", BAD, ("80:/bad=-", "", "")) in problems(
        Figures(found)
    )


def test_errors() -> None:
    """A mapping that answers a hundredth of its requests with 5xx, or more."""
    found = document(http=True)
    rates = {WEB: Counts(requests=100, errors=1)}
    assert problems(Figures(found, 1, rates)) == []
    rates = {WEB: Counts(requests=100, errors=2.5)}
    assert problems(Figures(found, 1, rates)) == [
        Problem("80:web: 2.5 % of requests are answered 5xx", WARN, WEB)
    ]


def test_certificates() -> None:
    """Certificates that have ended, or soon will."""
    found = document()
    row = {"names": ["a.com"], "source": "a.pem"}
    found["mappings"][0] |= {
        "certificates": [
            {**row, "state": "valid", "days_left": 99},
            {**row, "state": "expiring", "days_left": 3},
            {**row, "state": "expired", "days_left": -1},
            {**row, "state": "early", "days_left": 400},
        ],
        "certificates_error": "b.pem: no key",
        "passwords_error": "line 1: no hash",
    }
    assert [(each.text, each.tone) for each in problems(Figures(found))] == [
        ("80:web: certificate a.pem has expired", BAD),
        ("80:web: certificate a.pem is not valid yet", BAD),
        ("80:web: certificate a.pem expires in 3 days", WARN),
        ("80:web: certificates: b.pem: no key", WARN),
        ("80:web: passwords: line 1: no hash", WARN),
    ]


@pytest.mark.parametrize(
    ("standing", "reason", "tone"),
    [
        ("ejected", "3 consecutive connect failures", BAD),
        ("suspect", "left together with 7 of 10", WARN),
        ("draining", "check 'tcp' critical", WARN),
        ("draining", "maintenance: upgrading", FAINT),
        ("draining", "weight 0", FAINT),
        ("draining", MANUALLY_DRAINED.reason, FAINT),
        ("draining", GONE.reason, FAINT),
        ("odd", "?", WARN),
    ],
)
def test_upstreams(standing: str, reason: str, tone: str) -> None:
    """An upstream that gets nothing is a problem, unless an operator wants that."""
    found = document()
    upstream(found, 1, standing=standing, reason=reason)
    assert problems(Figures(found)) == [
        Problem(
            f"80:web: web-1@node-01 {standing}: {reason}",
            tone,
            ("80:web", "web,dc=dc1", "dc1/node-01/web-1"),
        )
    ]


def test_own_checks_of_all_fail() -> None:
    """A pool that fails open is a problem, though all of its upstreams serve."""
    found = document()
    failing = {"state": "failing"}
    for number in range(6):
        upstream(found, number, check=failing)
    upstream(found, mapping=2, check=failing)
    assert [(each.text, each.tone) for each in problems(Figures(found))] == [
        (f"{name}: the own checks of {whose} fail: used all the same (check-fail-open)",
         WARN)
        for name, whose in (
            ("80:web", "all 6 instances"),
            ("unix:/run/graphite.sock:graphite", "the only instance"),
        )
    ]  # fmt: skip
    upstream(found, mapping=2, standing="draining", reason="own check: GET /: 404")
    assert "graphite-0@node-00 draining: own check: GET /: 404" in _texts(found)[-1]


def test_reason_with_standing() -> None:
    """A reason that names the standing is not told twice."""
    found = document()
    upstream(found, standing="ejected", reason="ejected 3 s ago: by hand")
    assert _texts(found) == ["80:web: web-0@node-00 ejected 3 s ago: by hand"]


def test_worst_first() -> None:
    """The worst problem is the first."""
    found = document()
    for number, standing in enumerate(("draining", "suspect", "ejected")):
        upstream(found, number, standing=standing, reason="weight 0")
    assert [each.tone for each in problems(Figures(found))] == [BAD, WARN, FAINT]
    assert [each.rank for each in problems(Figures(found))] == [0, 1, 2]
