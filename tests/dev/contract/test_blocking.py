"""Blocking queries: waiting for a change of one service."""

import pytest

from tests.dev.contract.subject import LONG, Subject


def test_without_an_index(subject: Subject, name: str) -> None:
    """
    A query without an index, or with that of nothing, is answered at once.
    """
    subject.register(name)
    for index in ("", 0, 1):
        seen = subject.see(name, index=index, wait=LONG)
        assert seen.ids() == [name]


def test_the_headers(subject: Subject, name: str) -> None:
    """
    Every answer says how far the catalog is and how sure it is of it.
    """
    subject.register(name)
    headers = subject.see(name).headers
    assert headers["X-Consul-KnownLeader"] == "true"
    assert headers["X-Consul-LastContact"] == "0"
    assert headers["X-Consul-Effective-Consistency"] == "leader"
    assert headers["Content-Type"] == "application/json"
    assert int(headers["X-Consul-Index"]) > 0
    for mode in ("stale", "consistent"):
        headers = subject.see(name, **{mode: ""}).headers
        assert headers["X-Consul-Effective-Consistency"] == mode


def test_a_registration_wakes(subject: Subject, name: str) -> None:
    """
    A new instance is seen at once, and the index has grown.
    """
    subject.register(name, ID=f"{name}-1")
    before = subject.see(name).index
    with subject.watching(name) as seen:
        subject.register(name, ID=f"{name}-2")
    assert seen.result().index > before
    assert seen.result().ids() == [f"{name}-1", f"{name}-2"]


def test_the_first_registration_wakes(subject: Subject, name: str) -> None:
    """
    A service that is not there yet can be waited for, and has an index.
    """
    nothing = subject.see(name)
    assert (nothing.instances, nothing.index > 0) == ([], True)
    with subject.watching(name) as seen:
        subject.register(name)
    assert seen.result().ids() == [name]


def test_a_deregistration_wakes(subject: Subject, name: str) -> None:
    """
    An instance that leaves is seen at once, the last one too.
    """
    subject.register(name)
    with subject.watching(name) as seen:
        subject.do(f"/v1/agent/service/deregister/{name}")
    assert seen.result().ids() == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/agent/check/pass/service:{name}", None),
        ("/v1/agent/service/maintenance/{name}?enable=true", None),
        ("/v1/agent/check/register", {"Name": "a", "ServiceID": "{}", "TTL": "9s"}),
        ("/v1/agent/check/deregister/service:{name}", None),
        ("/v1/agent/service/register", {"Name": "{}", "Port": 5}),
    ],
    ids=["check passes", "maintenance", "new check", "check gone", "new port"],
)
def test_changes_of_an_instance_wake(
    subject: Subject, name: str, path: str, body: dict[str, object] | None
) -> None:
    """
    A change of a check or of a registration is seen at once.
    """
    subject.register(name, Check={"TTL": "30s"})
    said = body and {key: name if v == "{}" else v for key, v in body.items()}
    before = subject.see(name)
    with subject.watching(name) as seen:
        subject.do(path.format(name=name), said)
    assert seen.result().index > before.index
    assert seen.result().instances != before.instances


def test_changes_of_the_node_wake(subject: Subject, name: str) -> None:
    """A change of a node wakes the watchers of its services at once."""
    subject.register(name)
    try:
        with subject.watching(name) as begun:
            subject.do("/v1/agent/maintenance?enable=true")
        begun.result()
        with subject.watching(name) as ended:
            subject.do("/v1/agent/maintenance?enable=false")
        ended.result()
    finally:
        subject.do("/v1/agent/maintenance?enable=false")


def test_an_external_node_that_leaves_wakes(
    subject: Subject, name: str, external: str
) -> None:
    """
    A node that is deregistered takes its instances along at once.
    """
    said = {"Node": external, "Address": "10.0.0.9", "Service": {"Service": name}}
    subject.do("/v1/catalog/register", said)
    with subject.watching(name) as seen:
        subject.do("/v1/catalog/deregister", {"Node": external})
    assert seen.result().ids() == []


def test_a_ttl_that_ends_wakes(subject: Subject, name: str) -> None:
    """A TTL check without an update turns critical, and wakes the watcher."""
    subject.register(name, Check={"TTL": "500ms", "Status": "passing"})
    with subject.watching(name) as seen:
        pass
    (instance,) = seen.result().instances
    assert [check["Status"] for check in instance["Checks"]] == ["passing", "critical"]


@pytest.mark.parametrize("wait", ["200ms", "0.2s", "200000us"])
def test_the_wait_runs_out(subject: Subject, name: str, wait: str) -> None:
    """
    When nothing happens, the answer comes when the wait is over, or up to a
    sixteenth later, with the same index and the same instances.
    """
    subject.register(name)
    before = subject.see(name)
    after = subject.see(name, index=before.index, wait=wait)
    assert after.seconds >= 0.2
    assert (after.index, after.instances) == (before.index, before.instances)


def test_an_index_from_the_future(subject: Subject, name: str) -> None:
    """
    An index that is larger than the catalog's waits in vain; the answer then
    has the real, smaller index.  A client that lost its Consul must notice.
    """
    subject.register(name)
    now = subject.see(name).index
    seen = subject.see(name, index=now + 1000, wait="200ms")
    assert (seen.seconds >= 0.2, seen.index) == (True, now)


def test_an_index_from_the_future_sleeps_through_changes(
    subject: Subject, name: str
) -> None:
    """
    Worse: with such an index even a change of the service is slept through.
    """
    subject.register(name, Port=1)
    future = subject.see(name).index + 1000
    with subject.watching(name, future, "1s") as seen:
        subject.register(name, Port=2)
    assert seen.result().seconds >= 1
    assert seen.result().instances[0]["Service"]["Port"] == 2


def test_other_services_do_not_wake(subject: Subject, name: str) -> None:
    """
    A service with instances has an index of its own: changes of others do not wake its
    watchers.
    """
    subject.register(name)
    before = subject.see(name)
    with subject.watching(name, wait="500ms") as seen:
        subject.register(f"{name}-other")
        subject.do(f"/v1/agent/service/deregister/{name}-other")
    assert seen.result().seconds >= 0.5
    after = seen.result()
    assert (after.index, after.instances) == (before.index, before.instances)


def test_the_end_of_another_service_wakes_who_waits_for_none(
    subject: Subject, name: str
) -> None:
    """
    All services without instances share one index, which moves when any
    service loses its last instance: an answer is no proof of a change.
    """
    gone = f"{name}-gone"
    subject.register(gone)
    subject.do(f"/v1/agent/service/deregister/{gone}")
    subject.register(f"{name}-other")
    before = subject.see(gone).index
    with subject.watching(gone) as seen:
        subject.do(f"/v1/agent/service/deregister/{name}-other")
    assert seen.result().index > before
    assert seen.result().instances == []


def test_the_index_never_falls(subject: Subject, name: str) -> None:
    """
    The index of a service is never 0, and grows from the first registration to
    the time after the last.
    """
    steps = [
        ("/v1/agent/service/register", {"Name": name, "Check": {"TTL": "9s"}}),
        (f"/v1/agent/check/pass/service:{name}", None),
        (f"/v1/agent/service/maintenance/{name}?enable=true", None),
        (f"/v1/agent/service/deregister/{name}", None),
        ("/v1/agent/service/register", {"Name": name}),
    ]
    indexes = [subject.see(name).index]
    for path, body in steps:
        subject.do(path, body)
        indexes.append(subject.see(name).index)
    assert indexes == sorted(set(indexes))
    assert indexes[0] > 0


def test_filters_wake_all_the_same(subject: Subject, name: str) -> None:
    """
    A filter narrows what is listed, not what is waited for.
    """
    subject.register(name, ID=f"{name}-1")
    with subject.watching(name, passing="") as seen:
        subject.do(f"/v1/agent/service/maintenance/{name}-1?enable=true")
    assert seen.result().ids() == []
    with subject.watching(name, tag="x") as seen:
        subject.register(name, ID=f"{name}-2")
    assert seen.result().ids() == []


def test_the_lists_can_be_watched_too(
    subject: Subject, name: str, external: str
) -> None:
    """
    The lists of services and of nodes have indexes as well.
    """
    lists = ("services", "nodes", f"service/{name}")
    before = {
        path: subject.headers("GET", f"/v1/catalog/{path}")["X-Consul-Index"]
        for path in lists
    }
    subject.register(name)
    subject.do("/v1/catalog/register", {"Node": external, "Address": "10.0.0.9"})
    for path, index in before.items():
        watched = f"/v1/catalog/{path}?index={index}&wait={LONG}"
        assert int(subject.headers("GET", watched)["X-Consul-Index"]) > int(index)
