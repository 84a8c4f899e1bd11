"""Registrations: what the agent is told of a mapping, and what its answers mean."""

import json
from typing import Any

import pytest

from lbconsul.config.build import configure
from lbconsul.config.model import Mapping
from lbconsul.consul.registration import (
    Found,
    Registration,
    is_circle,
    parse,
    registration,
    report,
)
from lbconsul.errors import UnusableAnswer


def mapping(text: str, *routes: str) -> Mapping:
    """The mapping that a text and its routes are."""
    [built] = configure(mappings=[text], routes=routes).mappings
    return built


def edge(text: str = "80:web,register=edge", host: str = "0.0.0.0") -> Registration:
    """The registration of a mapping that listens on port 80 of a host."""
    return registration(mapping(text), host, 80)


def test_request() -> None:
    """The whole registration is one body, with the check that keeps it alive."""
    said = "80:web,register=edge,register-tags=a|b,register-meta=zone=1=2"
    body = json.loads(edge(said, "10.0.0.7").request("me", is_ready=True))
    assert body == {
        "ID": "lbconsul-edge-10.0.0.7-80",
        "Name": "edge",
        "Tags": ["a", "b"],
        "Meta": {
            "zone": "1=2",
            "lbconsul-balances": "web",
            "lbconsul-gateway": "me",
        },
        "Address": "10.0.0.7",
        "Port": 80,
        "EnableTagOverride": False,
        "Check": {
            "CheckID": "service:lbconsul-edge-10.0.0.7-80",
            "Name": "the gateway is ready",
            "TTL": "15s",
            "Status": "passing",
            "DeregisterCriticalServiceAfter": "600s",
        },
    }
    body = json.loads(edge().request("me", is_ready=False))
    assert ("Address" in body, body["Check"]["Status"]) == (False, "critical")


@pytest.mark.parametrize(
    ("host", "given", "address", "port", "place"),
    [
        ("0.0.0.0", "", "", 80, "port 80 of the agent's address"),
        ("::", "", "", 80, "port 80 of the agent's address"),
        ("10.0.0.7", "", "10.0.0.7", 80, "10.0.0.7:80"),
        ("2001:db8::7", "", "2001:db8::7", 80, "[2001:db8::7]:80"),
        ("0.0.0.0", "lb.example.com", "lb.example.com", 80, "lb.example.com:80"),
        ("10.0.0.7", "192.0.2.1:8080", "192.0.2.1", 8080, "192.0.2.1:8080"),
    ],
)
def test_address(host: str, given: str, address: str, port: int, place: str) -> None:
    """A wildcard address means the agent's own; what is given wins over both."""
    said = "80:web,register=edge" + (f",register-address={given}" if given else "")
    found = edge(said, host)
    assert (found.address, found.port, found.place) == (address, port, place)
    assert found.id == "-".join(filter(None, ("lbconsul-edge", address, str(port))))


def test_balanced() -> None:
    """Its metadata names the services behind it, its own name first."""
    said = "80:web,mode=http,register=api,when-empty=fallback=sorry"
    routed = mapping(said, "80:/api=api", "80:/x=x,when-empty=fallback=h:80")
    found = registration(routed, "::", 80)
    assert dict(found.meta)["lbconsul-balances"] == "api, web, sorry, x"


def shown(wanted: Registration, **changed: Any) -> bytes:
    """The agent's answer about a registration."""
    said = json.loads(wanted.request("me", is_ready=True))
    body = {
        "ID": said["ID"],
        "Service": said["Name"],
        "Tags": said["Tags"],
        "Meta": said["Meta"],
        "Port": said["Port"],
        "Address": said.get("Address", ""),
        "Weights": {"Passing": 1, "Warning": 1},
    }
    return json.dumps(body | changed).encode()


def test_is_like() -> None:
    """What the agent shows is compared with what is wanted, and whose it is."""
    wanted = edge("80:web,register=edge,register-tags=a")
    found = parse(shown(wanted))
    assert found.gateway == "me"
    assert wanted.is_like(found, "me")
    assert not wanted.is_like(found, "you")
    changes: list[dict[str, Any]] = [
        {"Tags": None},
        {"Meta": {}},
        {"Port": 81},
        {"Address": "a"},
    ]
    for changed in changes:
        assert not wanted.is_like(parse(shown(wanted, **changed)), "me")
    assert parse(b'{"Service": "db"}') == Found("db", "", 0, (), ())
    assert parse(b'{"Service": "db"}').gateway == ""


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"Service":1}', b'{"Service":"a","Tags":[1]}',
     b'{"Service":"a","Meta":[1]}', b'{"Service":"a","Port":"x"}', b"[" * 100_000],
)  # fmt: skip
def test_unusable(body: bytes) -> None:
    """An answer that is no service is an error."""
    with pytest.raises(UnusableAnswer, match="is not a service"):
        parse(body)


def test_report() -> None:
    """A report says whether the gateway is ready, or why not, in bounded words."""
    assert json.loads(report("")) == {"Status": "passing", "Output": "ready"}
    said = json.loads(report("x" * 1000))
    assert (said["Status"], len(said["Output"])) == ("critical", 512)


@pytest.mark.parametrize(
    ("service", "meta", "circle"),
    [
        ("web", {"lbconsul-balances": "web, mail"}, True),
        ("mail", {"lbconsul-balances": "web, mail"}, True),
        ("edge", {"lbconsul-balances": "web"}, False),
        ("web", {"lbconsul-balances": 1}, False),
        ("web", {}, False),
        ("web", None, False),
    ],
)
def test_circle(service: str, meta: object, circle: bool) -> None:
    """An instance that balances its own service would lead back."""
    assert is_circle({"Service": service, "Meta": meta}) is circle
