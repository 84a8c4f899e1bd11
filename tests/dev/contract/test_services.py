"""Registering services with the agent, and how they are listed."""

from urllib.parse import quote

import pytest

from tests.dev.contract.subject import REGISTER, Subject


def test_the_least_registration(subject: Subject, name: str) -> None:
    """
    A name and a port are enough; everything else has a default, and an empty
    address means the address of the node.
    """
    subject.register(name, Port=9000)
    instance = subject.instance(name)
    assert list(instance) == ["Node", "Service", "Checks"]
    service = dict(instance["Service"])
    assert service.pop("CreateIndex") == service.pop("ModifyIndex") > 0
    assert service == {
        "ID": name,
        "Service": name,
        "Tags": [],
        "Address": "",
        "Meta": None,
        "Port": 9000,
        "Weights": {"Passing": 1, "Warning": 1},
        "EnableTagOverride": False,
        "Proxy": {"MeshGateway": {}, "Expose": {}},
        "Connect": {},
    }


def test_the_node_of_an_agent(subject: Subject, name: str) -> None:
    """
    An instance comes with its node, which has an id and the same address
    under several tags.
    """
    subject.register(name)
    node = subject.instance(name)["Node"]
    assert node["Node"] == subject.node()
    assert len(node["ID"]) == 36
    assert {key: node[key] for key in ("Address", "Datacenter", "Meta")} == {
        "Address": "127.0.0.1",
        "Datacenter": "dc1",
        "Meta": {"consul-network-segment": ""},
    }
    assert node["TaggedAddresses"] == dict.fromkeys(
        ("lan", "lan_ipv4", "wan", "wan_ipv4"), "127.0.0.1"
    )
    assert list(node)[-2:] == ["CreateIndex", "ModifyIndex"]


def test_the_check_of_the_agent(subject: Subject, name: str) -> None:
    """
    Every instance on an agent's node shows that the agent is alive.
    """
    subject.register(name)
    (check,) = subject.instance(name)["Checks"]
    assert 0 < check.pop("CreateIndex") <= check.pop("ModifyIndex")
    assert check == {
        "Node": subject.node(),
        "CheckID": "serfHealth",
        "Name": "Serf Health Status",
        "Status": "passing",
        "Notes": "",
        "Output": "Agent alive and reachable",
        "ServiceID": "",
        "ServiceName": "",
        "ServiceTags": [],
        "Type": "",
        "Definition": {},
    }


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"Tags": ["v2", "eu"]}, {"Tags": ["v2", "eu"]}),
        ({"Tags": None}, {"Tags": []}),
        ({"Meta": {"rack": "7"}}, {"Meta": {"rack": "7"}}),
        ({"Port": -1}, {"Port": -1}),
        ({"Port": None}, {"Port": 0}),
        ({"Address": "backend.example"}, {"Address": "backend.example"}),
        ({"Kind": "mesh-gateway", "Port": 5}, {"Kind": "mesh-gateway"}),
        ({"EnableTagOverride": True}, {"EnableTagOverride": True}),
        ({"enable_tag_override": True}, {"EnableTagOverride": True}),
        ({"port": 7, "ADDRESS": "10.0.0.1"}, {"Port": 7, "Address": "10.0.0.1"}),
        ({"Weights": None}, {"Weights": {"Passing": 1, "Warning": 1}}),
        ({"Weights": {"Passing": 5}}, {"Weights": {"Passing": 5, "Warning": 0}}),
        (
            {"Weights": {"passing": 7, "Warning": 2}},
            {"Weights": {"Passing": 7, "Warning": 2}},
        ),
        (
            {"tagged_addresses": {"wan": {"Address": "192.0.2.5"}}},
            {"TaggedAddresses": {"wan": {"Address": "192.0.2.5", "Port": 0}}},
        ),
    ],
    ids=str,
)
def test_what_is_said_is_shown(
    subject: Subject, name: str, said: dict[str, object], shown: dict[str, object]
) -> None:
    """
    What a registration says is listed as it was said, names in any case; a
    null is as good as nothing.
    """
    subject.register(name, **said)
    service = subject.service(name)
    assert {key: service[key] for key in shown} == shown


@pytest.mark.parametrize(
    ("address", "family", "another"),
    [("10.1.2.3", "ipv4", "192.0.2.9"), ("2001:db8::1", "ipv6", "2001:db8::9")],
)
def test_addresses_of_a_family(
    subject: Subject, name: str, address: str, family: str, another: str
) -> None:
    """
    An address that is an IP is also listed under tags of its family, unless
    the registration says something else there.
    """
    own = {f"lan_{family}": {"Address": another, "Port": 1}}
    subject.register(name, Address=address, Port=80, TaggedAddresses=own)
    tagged = subject.service(name)["TaggedAddresses"]
    assert tagged == {**own, f"wan_{family}": {"Address": address, "Port": 80}}


@pytest.mark.parametrize(
    ("tag", "address"), [("lan_ipv6", "10.0.0.1"), ("wan_ipv4", "a.host")]
)
def test_addresses_of_another_family(
    subject: Subject, name: str, tag: str, address: str
) -> None:
    """
    An address under the tag of a family must be of that family.
    """
    said = {"Name": name, "TaggedAddresses": {tag: {"Address": address}}}
    complaint = f'Service tagged address "{tag}" must be a valid {tag[4:]} address'
    assert subject.put(REGISTER, said) == (500, complaint)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"Name": ""}, "Missing service name"),
        ({"Address": "0.0.0.0"}, "Invalid service address"),
        ({"Address": "::"}, "Invalid service address"),
        (
            {"Weights": {"Passing": 0}},
            "Invalid Weights: Passing must be greater than 0",
        ),
        (
            {"Weights": {"Passing": 1, "Warning": -1}},
            "Invalid Weights: Warning must be greater or equal than 0",
        ),
        (
            {"Weights": {"Passing": 65536}},
            "Invalid Weights: DNS Weight must be between 0 and 65535",
        ),
        (
            {"Meta": {"a b": "x"}},
            "Invalid Service Meta: Couldn't load metadata pair ('a b', 'x'):"
            " Key contains invalid characters",
        ),
        (
            {"Meta": {"": "x"}},
            "Invalid Service Meta: Couldn't load metadata pair ('', 'x'):"
            " Key cannot be blank",
        ),
        (
            {"Meta": {"consul-x": "x"}},
            "Invalid Service Meta: Couldn't load metadata pair ('consul-x', 'x'):"
            " Key prefix 'consul-' is reserved for internal use",
        ),
        (
            {"Meta": {"k" * 129: "x"}},
            f"Invalid Service Meta: Couldn't load metadata pair ('{'k' * 129}', 'x'):"
            " Key is too long (limit: 128 characters)",
        ),
        (
            {"Meta": {"k": "x" * 513}},
            f"Invalid Service Meta: Couldn't load metadata pair ('k', '{'x' * 513}'):"
            " Value is too long (limit: 512 characters)",
        ),
    ],
)
def test_registrations_that_make_no_sense(
    subject: Subject, name: str, said: dict[str, object], complaint: str
) -> None:
    """
    A registration that cannot be meant is refused, with what is wrong.
    """
    assert subject.put(REGISTER, {"Name": name, **said}) == (400, complaint)
    assert subject.see(name).instances == []


def test_several_instances(subject: Subject, name: str) -> None:
    """
    Instances of one service on one node differ by their id, and are listed in
    its order.
    """
    for suffix in ("c", "a", "b"):
        subject.register(name, ID=f"{name}-{suffix}")
    assert subject.see(name).ids() == [f"{name}-{s}" for s in "abc"]


def test_registering_again(subject: Subject, name: str) -> None:
    """
    A registration under a known id replaces what was there: what it does not
    say is gone, and the index of its creation stays.
    """
    subject.register(name, Port=1, Tags=["old"], Meta={"a": "b"})
    before = subject.service(name)
    subject.register(name, Port=2)
    after = subject.service(name)
    assert (after["Port"], after["Tags"], after["Meta"]) == (2, [], None)
    assert after["CreateIndex"] == before["CreateIndex"]
    assert after["ModifyIndex"] > before["ModifyIndex"]


def test_registering_the_same_again(subject: Subject, name: str) -> None:
    """
    Saying once more what is already registered is not a change.
    """
    subject.register(name, Port=1, Tags=["x"])
    before = subject.see(name)
    subject.register(name, Port=1, Tags=["x"])
    after = subject.see(name)
    assert (after.index, after.instances) == (before.index, before.instances)


def test_an_id_that_changes_its_service(subject: Subject, name: str) -> None:
    """
    An id registered under another name leaves its old service.
    """
    subject.register(name, ID=name)
    subject.register(f"{name}-renamed", ID=name)
    assert subject.see(name).ids() == []
    assert subject.see(f"{name}-renamed").ids() == [name]


def test_deregistering(subject: Subject, name: str) -> None:
    """
    A service that is deregistered is gone from every list.
    """
    subject.register(name)
    assert name in subject.get("/v1/agent/services")
    assert subject.put(f"/v1/agent/service/deregister/{name}") == (200, "")
    assert subject.see(name).instances == []
    assert name not in subject.get("/v1/agent/services")
    assert name not in subject.get("/v1/catalog/services")


def test_deregistering_what_is_not_there(subject: Subject, name: str) -> None:
    """
    Deregistering an unknown service is no error; naming none is one.
    """
    assert subject.put(f"/v1/agent/service/deregister/{name}") == (200, "")
    missing = subject.put("/v1/agent/service/deregister/")
    assert missing == (500, "ServiceID missing")


def test_names_with_odd_characters(subject: Subject, name: str) -> None:
    """
    Names and ids may hold spaces and slashes, escaped in a path.
    """
    subject.register(f"{name} a/b", ID=f"{name} c/d")
    assert subject.see(f"{name} a/b").ids() == [f"{name} c/d"]
    subject.do(f"/v1/agent/service/deregister/{name}%20c/d")
    assert subject.see(f"{name} a/b").ids() == []


def test_the_agents_own_list(subject: Subject, name: str) -> None:
    """
    The agent lists what was registered with it, by id, without indexes.
    """
    subject.register(name, ID=f"{name}-1", Port=9000, Meta={"a": "b"}, Tags=["x"])
    assert subject.get("/v1/agent/services")[f"{name}-1"] == {
        "ID": f"{name}-1",
        "Service": name,
        "Tags": ["x"],
        "Meta": {"a": "b"},
        "Port": 9000,
        "Address": "",
        "Weights": {"Passing": 1, "Warning": 1},
        "EnableTagOverride": False,
    }


def test_the_catalogs_lists(subject: Subject, name: str) -> None:
    """
    The catalog lists all services with their tags, Consul itself among them,
    and the instances of one without their health.
    """
    subject.register(name, ID=f"{name}-1", Tags=["a"], Port=80, Address="10.0.0.1")
    subject.register(name, ID=f"{name}-2", Tags=["b", "a"])
    services = subject.get("/v1/catalog/services")
    assert sorted(services[name]) == ["a", "b"]
    assert services["consul"] == []
    first, _ = subject.get(f"/v1/catalog/service/{name}")
    address = {"Address": "10.0.0.1", "Port": 80}
    expected = {
        "Node": subject.node(),
        "Address": "127.0.0.1",
        "Datacenter": "dc1",
        "NodeMeta": {"consul-network-segment": ""},
        "ServiceKind": "",
        "ServiceID": f"{name}-1",
        "ServiceName": name,
        "ServiceTags": ["a"],
        "ServiceAddress": "10.0.0.1",
        "ServiceTaggedAddresses": {"lan_ipv4": address, "wan_ipv4": address},
        "ServiceWeights": {"Passing": 1, "Warning": 1},
        "ServiceMeta": {},
        "ServicePort": 80,
        "ServiceEnableTagOverride": False,
        "ServiceProxy": {"MeshGateway": {}, "Expose": {}},
        "ServiceConnect": {},
    }
    assert {**first, **expected} == first
    assert set(first) - set(expected) == {
        "ID",
        "TaggedAddresses",
        "CreateIndex",
        "ModifyIndex",
    }
    tagged = subject.get(f"/v1/catalog/service/{name}?tag=b")
    assert [one["ServiceID"] for one in tagged] == [f"{name}-2"]


def test_one_service_of_the_agent(subject: Subject, name: str) -> None:
    """The agent shows each of its services by its id, with a digest of it."""
    subject.register(name, ID=f"{name}-[::1]-80", Port=80, Meta={"a": "b"})
    path = f"/v1/agent/service/{quote(f'{name}-[::1]-80', safe='')}"
    shown = subject.get(path)
    assert len(shown.pop("ContentHash")) == 16
    assert shown == subject.get("/v1/agent/services")[f"{name}-[::1]-80"]
    assert subject.ask("GET", f"{path}x") == (
        404,
        f"unknown service ID: {name}-[::1]-80x",
    )
