"""Nodes without an agent, registered with the catalog itself."""

from typing import Any

import pytest

from tests.dev.contract.subject import Subject

REGISTER = "/v1/catalog/register"
DEREGISTER = "/v1/catalog/deregister"


def test_the_least_registration(subject: Subject, name: str, external: str) -> None:
    """
    A node with a service on it: no id, no checks, and not even an agent.
    """
    said = {"Node": external, "Address": "10.0.0.9", "Service": {"Service": name}}
    assert subject.put(REGISTER, said) == (200, True)
    instance = subject.instance(name)
    index = instance["Node"]["CreateIndex"]
    assert instance["Checks"] == []
    assert instance["Node"] == {
        "ID": "",
        "Node": external,
        "Address": "10.0.0.9",
        "Datacenter": "dc1",
        "TaggedAddresses": None,
        "Meta": None,
        "CreateIndex": index,
        "ModifyIndex": index,
    }
    assert instance["Service"]["ID"] == name
    assert "TaggedAddresses" not in instance["Service"]


def test_all_that_can_be_said(subject: Subject, name: str, external: str) -> None:
    """
    A node may have an id, tagged addresses and metadata, and its service all
    that services have.
    """
    said = {
        "ID": "40e4a748-2192-161a-0510-9bf59fe950b5",
        "Node": external,
        "Address": "host.example",
        "Datacenter": "dc1",
        "TaggedAddresses": {"lan": "10.0.0.1"},
        "NodeMeta": {"rack": "7"},
        "Service": {
            "ID": f"{name}-1",
            "Service": name,
            "Address": "10.9.9.9",
            "Port": 81,
            "Tags": ["x"],
            "Meta": {"a": "b"},
            "Weights": {"Passing": 3, "Warning": 0},
        },
    }
    subject.do(REGISTER, said)
    instance = subject.instance(name)
    node, service = instance["Node"], instance["Service"]
    assert (node["ID"], node["Address"]) == (said["ID"], "host.example")
    assert node["TaggedAddresses"] == {"lan": "10.0.0.1"}
    assert node["Meta"] == {"rack": "7"}
    asked: Any = said["Service"]
    assert {key: service[key] for key in asked} == asked


@pytest.mark.parametrize("weights", [None, {"Passing": 0, "Warning": 5}], ids=str)
def test_weights_that_say_nothing(
    subject: Subject, name: str, external: str, weights: object
) -> None:
    """
    Where an agent would refuse a weight of nothing, the catalog takes one.
    """
    service = {"Service": name, "Weights": weights}
    said = {"Node": external, "Address": "10.0.0.9", "Service": service}
    subject.do(REGISTER, said)
    assert subject.service(name)["Weights"] == {"Passing": 1, "Warning": 1}


def test_checks(subject: Subject, name: str, external: str) -> None:
    """
    A registration of a node sets its status, too: a check of the node counts for all of
    its services, any status is kept, and none means critical.
    """
    node = {"Node": external, "Address": "10.0.0.9"}
    service = {"Service": name, "Tags": ["t"]}
    check = {"CheckID": "own", "ServiceID": name, "Status": "warning", "Output": "o"}
    subject.do(REGISTER, {**node, "Service": service, "Check": check})
    checks = [{"Name": "ping", "Status": "unheard of", "Notes": "n"}, {"CheckID": "x"}]
    subject.do(REGISTER, {**node, "Checks": checks})
    found = subject.instance(name)["Checks"]
    assert [(c["CheckID"], c["Name"], c["Status"]) for c in found] == [
        ("ping", "ping", "unheard of"),
        ("x", "", "critical"),
        ("own", "", "warning"),
    ]
    assert (found[2]["ServiceName"], found[2]["ServiceTags"]) == (name, ["t"])
    assert (found[2]["Output"], found[2]["Type"], found[0]["Notes"]) == ("o", "", "n")


def test_a_node_that_moves(subject: Subject, name: str, external: str) -> None:
    """
    A node that is registered again changes for all of its services, unless the
    registration says to leave the node as it is.
    """
    service = {"Service": name}
    subject.do(REGISTER, {"Node": external, "Address": "10.0.0.9", "Service": service})
    before = subject.see(name).index
    subject.do(REGISTER, {"Node": external, "Address": "10.0.0.10"})
    assert subject.instance(name)["Node"]["Address"] == "10.0.0.10"
    assert subject.see(name).index > before
    left = {"Node": external, "Address": "10.0.0.11", "SkipNodeUpdate": True}
    subject.do(REGISTER, {**left, "Service": {**service, "Port": 5}})
    instance = subject.instance(name)
    assert (instance["Node"]["Address"], instance["Service"]["Port"]) == (
        "10.0.0.10",
        5,
    )


def test_the_list_of_nodes(subject: Subject, external: str) -> None:
    """
    All nodes are listed by their names, with or without services.
    """
    subject.do(REGISTER, {"Node": external, "Address": "10.0.0.9"})
    nodes = [node["Node"] for node in subject.get("/v1/catalog/nodes")]
    assert external in nodes
    assert subject.node() in nodes
    assert nodes == sorted(nodes)


def test_deregistering(subject: Subject, name: str, external: str) -> None:
    """
    A check, a service with its checks, or a node with everything on it is
    taken out again.
    """
    node = {"Node": external, "Address": "10.0.0.9"}
    for instance in ("1", "2"):
        service = {"ID": instance, "Service": name}
        check = {"CheckID": f"c{instance}", "ServiceID": instance}
        subject.do(REGISTER, {**node, "Service": service, "Check": check})
    assert subject.put(DEREGISTER, {"Node": external, "CheckID": "c1"}) == (200, True)
    assert [len(one["Checks"]) for one in subject.see(name).instances] == [0, 1]
    subject.do(DEREGISTER, {"Node": external, "ServiceID": "2"})
    assert subject.see(name).ids() == ["1"]
    subject.do(REGISTER, {**node, "Checks": [{"CheckID": "ping"}]})
    subject.do(DEREGISTER, {"Node": external})
    assert subject.see(name).ids() == []
    subject.do(REGISTER, {**node, "Service": {"Service": name}})
    assert subject.instance(name)["Checks"] == []


@pytest.mark.parametrize("what", [{}, {"ServiceID": "x"}, {"CheckID": "x"}], ids=str)
def test_deregistering_what_is_not_there(
    subject: Subject, external: str, what: dict[str, str]
) -> None:
    """
    Deregistering what is unknown is no error.
    """
    assert subject.put(DEREGISTER, {"Node": external, **what}) == (200, True)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"Node": ""}, "Must provide node"),
        ({"Address": ""}, "Must provide address if SkipNodeUpdate is not set"),
        ({"Datacenter": "dc9"}, "No path to datacenter"),
        ({"Service": {"ID": "x"}}, "Must provide service name with ID"),
        (
            {"Service": {}},
            "failed inserting service: failed inserting service:"
            " object missing primary index",
        ),
        (
            {"Check": {"Node": "another", "CheckID": "x"}},
            'check node "another" does not match node "{node}"',
        ),
        (
            {"Check": {"CheckID": "x", "ServiceID": "nowhere"}},
            'failed inserting check: Missing service registration on node "{node}"',
        ),
    ],
    ids=str,
)
def test_registrations_that_make_no_sense(
    subject: Subject, external: str, said: dict[str, object], complaint: str
) -> None:
    """An invalid registration is refused, as a failure of the server."""
    body = {"Node": external, "Address": "10.0.0.9", **said}
    assert subject.put(REGISTER, body) == (500, complaint.format(node=external))


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({}, "Must provide node"),
        ({"ServiceID": "x"}, "Must provide node"),
        ({"Node": "x", "Datacenter": "dc9"}, "No path to datacenter"),
    ],
    ids=str,
)
def test_deregistrations_that_make_no_sense(
    subject: Subject, said: dict[str, object], complaint: str
) -> None:
    """An invalid deregistration is refused, as a failure of the server."""
    assert subject.put(DEREGISTER, said) == (500, complaint)
