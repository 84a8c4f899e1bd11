"""Checks with a TTL, and what the rest of the registration does to them."""

import time

import pytest

from tests.dev.contract.subject import REGISTER, Subject


def test_a_service_with_a_check(subject: Subject, name: str) -> None:
    """A check is critical until its first passing update."""
    subject.register(name, ID=f"{name}-1", Tags=["a"], Check={"TTL": "30s"})
    (check,) = subject.checks(name).values()
    assert check.pop("CreateIndex") == check.pop("ModifyIndex") > 0
    assert check == {
        "Node": subject.node(),
        "CheckID": f"service:{name}-1",
        "Name": f"Service '{name}' check",
        "Status": "critical",
        "Notes": "",
        "Output": "",
        "ServiceID": f"{name}-1",
        "ServiceName": name,
        "ServiceTags": ["a"],
        "Type": "ttl",
        "Definition": {},
    }


def test_a_check_that_says_more(subject: Subject, name: str) -> None:
    """
    A check may begin with a status, and have a name, an id and notes.
    """
    said = {"CheckID": f"{name}-c", "Name": "answers", "Notes": "asks", "TTL": "9s"}
    subject.register(name, Check={**said, "Status": "passing", "Timeout": "1s"})
    (check,) = subject.checks(name).values()
    shown = [check[key] for key in ("CheckID", "Name", "Notes", "Status")]
    assert shown == [f"{name}-c", "answers", "asks", "passing"]


def test_several_checks(subject: Subject, name: str) -> None:
    """
    Several checks of one service are numbered.
    """
    checks = [{"TTL": "30s"}, {"TTL": 5_000_000_000, "Status": "warning"}]
    subject.register(name, Checks=checks, Check={"TTL": "1m", "Status": "passing"})
    assert subject.statuses(name) == {
        f"service:{name}:1": "passing",
        f"service:{name}:2": "critical",
        f"service:{name}:3": "warning",
    }


@pytest.mark.parametrize("nothing", [None, {}, {"TTL": "0s"}], ids=str)
def test_no_check(subject: Subject, name: str, nothing: object) -> None:
    """
    A check that says nothing is none.
    """
    subject.register(name, Check=nothing)
    assert subject.checks(name) == {}


def test_reporting(subject: Subject, name: str) -> None:
    """The owner of a check reports its status, with a note that all can read."""
    subject.register(name, Check={"TTL": "30s"})
    told = f"/v1/agent/check/{{}}/service:{name}"
    reports = [
        ("pass", "?note=all%20well", None, ("passing", "all well")),
        ("warn", "?note=slow", None, ("warning", "slow")),
        ("fail", "", None, ("critical", "")),
        ("update", "", {"Status": "passing", "Output": "x"}, ("passing", "x")),
        ("update", "", {"status": "warning"}, ("warning", "")),
    ]
    for verb, query, body, expected in reports:
        assert subject.put(told.format(verb) + query, body) == (200, "")
        check = subject.checks(name)[f"service:{name}"]
        assert (check["Status"], check["Output"]) == expected


def test_a_status_that_is_repeated(subject: Subject, name: str) -> None:
    """
    To say the same status again is no change, not even with another note: that
    waits for the next change of status.
    """
    subject.register(name, Check={"TTL": "30s"})
    subject.do(f"/v1/agent/check/pass/service:{name}?note=first")
    before = subject.see(name)
    subject.do(f"/v1/agent/check/pass/service:{name}?note=second")
    after = subject.see(name)
    assert (after.index, after.instances) == (before.index, before.instances)
    own = subject.get("/v1/agent/checks")[f"service:{name}"]
    assert own["Output"] == "second"


def test_a_check_that_nobody_repeats(subject: Subject, name: str) -> None:
    """
    A check turns critical when its TTL is over, and quotes what it said last.
    """
    silent, quoted = f"{name}-silent", f"{name}-quoted"
    for service in (silent, quoted):
        subject.register(service, Check={"TTL": "1s"})
    subject.do(f"/v1/agent/check/pass/service:{silent}")
    subject.do(f"/v1/agent/check/pass/service:{quoted}?note=fine")
    assert subject.statuses(quoted) == {f"service:{quoted}": "passing"}
    end = time.monotonic() + 10
    while subject.statuses(quoted) == {f"service:{quoted}": "passing"}:
        assert time.monotonic() < end
        time.sleep(0.1)
    expired = {s: subject.checks(s)[f"service:{s}"] for s in (silent, quoted)}
    assert [check["Status"] for check in expired.values()] == ["critical"] * 2
    assert expired[silent]["Output"] == "TTL expired"
    said = "TTL expired (last output before timeout follows): fine"
    assert expired[quoted]["Output"] == said


def test_registering_again_keeps_the_status(subject: Subject, name: str) -> None:
    """
    A check registered again keeps its status and output, whatever status the
    registration asks for, and takes the service's new tags; checks that the
    registration leaves out stay as they were.
    """
    both = [{"TTL": "30s"}, {"TTL": "30s"}]
    subject.register(name, Checks=both, Tags=["old"])
    subject.do(f"/v1/agent/check/warn/service:{name}:1?note=hm")
    again = {"CheckID": f"service:{name}:1", "TTL": "30s", "Status": "passing"}
    subject.register(name, Check=again, Tags=["new"])
    first, second = subject.checks(name).values()
    assert (first["Status"], first["Output"]) == ("warning", "hm")
    assert (first["ServiceTags"], second["ServiceTags"]) == (["new"], ["old"])


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("", True),
        ("?replace-existing-checks", False),
        ("?replace-existing-checks=true", False),
        ("?replace-existing-checks=false", True),
    ],
)
def test_replacing_checks(subject: Subject, name: str, query: str, kept: bool) -> None:
    """
    A registration that asks for it takes all checks away that it does not
    name, maintenance among them.
    """
    subject.register(name, Check={"TTL": "30s"})
    subject.do(f"/v1/agent/service/maintenance/{name}?enable=true")
    new = {"CheckID": f"{name}-new", "TTL": "30s"}
    subject.do(REGISTER + query, {"Name": name, "Check": new})
    old = {f"service:{name}", f"_service_maintenance:{name}"} if kept else set()
    assert set(subject.checks(name)) == {f"{name}-new", *old}


def test_a_check_added_later(subject: Subject, name: str) -> None:
    """
    A check can be registered for a service that is there, and deregistered.
    """
    subject.register(name, Tags=["a"])
    said = {"Name": "late", "ID": f"{name}-late", "TTL": "30s", "Status": "passing"}
    subject.do("/v1/agent/check/register", {**said, "ServiceID": name})
    (check,) = subject.checks(name).values()
    shown = [check[key] for key in ("CheckID", "Name", "ServiceName", "ServiceTags")]
    assert shown == [f"{name}-late", "late", name, ["a"]]
    own = subject.get("/v1/agent/checks")[f"{name}-late"]
    assert (own["Status"], own["CreateIndex"], own["ModifyIndex"]) == ("passing", 0, 0)
    assert subject.put(f"/v1/agent/check/deregister/{name}-late") == (200, "")
    assert subject.checks(name) == {}


def test_a_check_of_the_node(subject: Subject, name: str) -> None:
    """
    A check that names no service counts for all that the node has.
    """
    subject.register(name)
    subject.do("/v1/agent/check/register", {"Name": f"{name}-disk", "TTL": "30s"})
    try:
        assert subject.statuses(name) == {f"{name}-disk": "critical"}
        assert subject.checks(name)[f"{name}-disk"]["ServiceID"] == ""
    finally:
        subject.do(f"/v1/agent/check/deregister/{name}-disk")
    assert subject.checks(name) == {}


def test_deregistering_takes_the_checks_along(subject: Subject, name: str) -> None:
    """
    The checks of a service go with it.
    """
    subject.register(name, Check={"TTL": "30s"})
    subject.do(f"/v1/agent/service/deregister/{name}")
    assert f"service:{name}" not in subject.get("/v1/agent/checks")
    subject.register(name)
    assert subject.checks(name) == {}


@pytest.mark.parametrize("verb", ["pass", "warn", "fail", "update"])
def test_reporting_on_an_unknown_check(subject: Subject, name: str, verb: str) -> None:
    """An update of an unknown check is an error."""
    body = {"Status": "passing"} if verb == "update" else None
    said = f'CheckID "{name}" does not have associated TTL'
    assert subject.put(f"/v1/agent/check/{verb}/{name}", body) == (500, said)


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("register", {"TTL": "1s"}, (400, "Missing check name")),
        (
            "register",
            {"Name": "x", "TTL": "1s", "Status": "odd"},
            (400, "Bad check status"),
        ),
        (
            "register",
            {"Name": "x"},
            (400, "Invalid check: TTL must be > 0 for TTL checks"),
        ),
        (
            "register",
            {"Name": "x", "TTL": "1s", "ServiceID": "nowhere"},
            (500, 'ServiceID "nowhere" does not exist'),
        ),
        ("deregister/", None, (500, "CheckID missing")),
        ("deregister/nowhere", None, (200, "")),
        ("update/nowhere", {"Status": "odd"}, (400, "Invalid check status: 'odd'")),
        ("update/nowhere", {}, (400, "Invalid check status: ''")),
    ],
)
def test_checks_that_make_no_sense(
    subject: Subject, path: str, body: object, answer: tuple[int, str]
) -> None:
    """
    An invalid check is refused with the reason; deregistering an unknown one is no
    error.
    """
    assert subject.put(f"/v1/agent/check/{path}", body) == answer


@pytest.mark.parametrize(
    ("check", "complaint"),
    [
        ({"Name": "x"}, "Invalid check: TTL must be > 0 for TTL checks"),
        ({"TTL": "-5s"}, "Invalid check: TTL must be > 0 for TTL checks"),
        (
            {"TTL": "5s", "Status": "odd"},
            "Status for checks must 'passing', 'warning', 'critical'",
        ),
        ({"TTL": "soon"}, 'Request decode failed: time: invalid duration "soon"'),
        ({"TTL": ""}, 'Request decode failed: time: invalid duration ""'),
        ({"Script": "x"}, 'Request decode failed: json: unknown field "Script"'),
    ],
)
def test_services_whose_check_makes_no_sense(
    subject: Subject, name: str, check: object, complaint: str
) -> None:
    """
    A service is not registered if its check is refused.
    """
    said = {"Name": name, "Check": check}
    assert subject.put(REGISTER, said) == (400, complaint)
    assert subject.see(name).instances == []


def test_a_limit_of_being_critical(subject: Subject, name: str) -> None:
    """
    A check may say how long its service may be critical, which the catalog does
    not show; the agent takes less than a minute for a minute.
    """
    for after in ("1m", "5s", 90_000_000_000):
        check = {"TTL": "30s", "DeregisterCriticalServiceAfter": after}
        subject.register(name, Check=check)
        (shown,) = subject.checks(name).values()
        assert (shown["Status"], shown["Definition"]) == ("critical", {})
    wrong = {"TTL": "30s", "DeregisterCriticalServiceAfter": "soon"}
    status, said = subject.put(REGISTER, {"Name": name, "Check": wrong})
    assert (status, "soon" in said) == (400, True)
