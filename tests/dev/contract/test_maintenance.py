"""Taking a service or its whole node out of use for a while."""

import pytest

from tests.dev.contract.subject import Subject

NO_REASON = (
    "Maintenance mode is enabled for this {}, but no reason was provided."
    " This is a default message."
)


def test_a_service_in_maintenance(subject: Subject, name: str) -> None:
    """
    Maintenance is a critical check of the service, whose notes say why.
    """
    subject.register(name, Tags=["a"])
    told = f"/v1/agent/service/maintenance/{name}?enable="
    assert subject.put(f"{told}true&reason=up%20grade") == (200, "")
    check = subject.checks(name)[f"_service_maintenance:{name}"]
    assert check.pop("CreateIndex") == check.pop("ModifyIndex")
    assert check == {
        "Node": subject.node(),
        "CheckID": f"_service_maintenance:{name}",
        "Name": "Service Maintenance Mode",
        "Status": "critical",
        "Notes": "up grade",
        "Output": "",
        "ServiceID": name,
        "ServiceName": name,
        "ServiceTags": ["a"],
        "Type": "maintenance",
        "Definition": {},
    }
    assert subject.put(f"{told}false") == (200, "")
    assert subject.checks(name) == {}


def test_maintenance_twice(subject: Subject, name: str) -> None:
    """
    The first reason stays; to end twice what was begun is no error.
    """
    subject.register(name)
    told = f"/v1/agent/service/maintenance/{name}?enable="
    subject.do(f"{told}true&reason=first")
    before = subject.see(name)
    subject.do(f"{told}true&reason=second")
    after = subject.see(name)
    assert (after.index, after.instances) == (before.index, before.instances)
    subject.do(f"{told}false")
    subject.do(f"{told}false")


def test_maintenance_without_a_reason(subject: Subject, name: str) -> None:
    """Without a reason the default text is used."""
    subject.register(name)
    subject.do(f"/v1/agent/service/maintenance/{name}?enable=1")
    check = subject.checks(name)[f"_service_maintenance:{name}"]
    assert check["Notes"] == NO_REASON.format("service")


def test_maintenance_outlives_a_registration(subject: Subject, name: str) -> None:
    """
    A service in maintenance that is registered again is still in maintenance.
    """
    subject.register(name, Port=1)
    subject.do(f"/v1/agent/service/maintenance/{name}?enable=true")
    subject.register(name, Port=2)
    assert subject.service(name)["Port"] == 2
    assert subject.statuses(name) == {f"_service_maintenance:{name}": "critical"}


def test_a_node_in_maintenance(subject: Subject, name: str) -> None:
    """
    Maintenance of the node is a check of every instance on it, listed before
    those of the services.
    """
    subject.register(name, Check={"TTL": "30s"})
    subject.do("/v1/agent/maintenance?enable=true&reason=reboot")
    try:
        listed = [check["CheckID"] for check in subject.instance(name)["Checks"]]
        assert listed == ["_node_maintenance", "serfHealth", f"service:{name}"]
        check = subject.checks(name)["_node_maintenance"]
    finally:
        subject.do("/v1/agent/maintenance?enable=false")
    kept = ("Name", "Status", "Notes", "ServiceID", "Type")
    assert [check[key] for key in kept] == [
        "Node Maintenance Mode",
        "critical",
        "reboot",
        "",
        "maintenance",
    ]
    assert set(subject.checks(name)) == {f"service:{name}"}


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("maintenance", (400, "Missing value for enable")),
        ("maintenance?enable=maybe", (400, 'Invalid value for enable: "maybe"')),
        ("service/maintenance/nowhere", (400, "Missing value for enable")),
        (
            "service/maintenance/nowhere?enable=",
            (400, 'Invalid value for enable: ""'),
        ),
        ("service/maintenance/?enable=true", (400, "Missing service ID")),
        (
            "service/maintenance/nowhere?enable=true",
            (404, 'No service registered with ID "nowhere"'),
        ),
    ],
)
def test_maintenance_of_nothing(
    subject: Subject, path: str, answer: tuple[int, str]
) -> None:
    """Maintenance of an unknown service is refused with the reason."""
    assert subject.put(f"/v1/agent/{path}") == answer
