"""Filters, and questions that cannot be answered."""

import pytest

from tests.dev.contract.subject import REGISTER, Subject


def test_only_what_passes(subject: Subject, name: str) -> None:
    """
    `passing` leaves out whatever has a check that does not pass.  What is left
    comes in no particular order.
    """
    for status in ("passing", "warning", "critical"):
        check = {"TTL": "30s", "Status": status}
        subject.register(name, ID=f"{name}-{status}", Check=check)
    subject.register(name, ID=f"{name}-unchecked")
    passing = [f"{name}-passing", f"{name}-unchecked"]
    for said in ("", "1", "true"):
        assert sorted(subject.see(name, passing=said).ids()) == passing
    assert len(subject.see(name, passing="false").ids()) == 4
    bare = subject.get(f"/v1/health/service/{name}?passing")
    assert len(bare) == 2


def test_only_what_is_tagged(subject: Subject, name: str) -> None:
    """
    `tag` leaves out whatever has not that tag, in any case; several tags must
    all be there.
    """
    subject.register(name, ID=f"{name}-1", Tags=["a"])
    subject.register(name, ID=f"{name}-2", Tags=["A", "b"])
    subject.register(name, ID=f"{name}-3")
    assert subject.see(name, tag="a").ids() == [f"{name}-1", f"{name}-2"]
    assert subject.see(name, tag="B").ids() == [f"{name}-2"]
    assert subject.see(name, tag="").ids() == []
    both = subject.get(f"/v1/health/service/{name}?tag=a&tag=b")
    assert [one["Service"]["ID"] for one in both] == [f"{name}-2"]


def test_another_datacenter(subject: Subject, name: str) -> None:
    """
    The own datacenter may be named; of another one nothing is known, which is
    a failure of the server and comes with the index 1.
    """
    subject.register(name)
    assert subject.see(name, dc="dc1").ids() == [name]
    path = f"/v1/health/service/{name}?dc=dc9"
    assert subject.ask("GET", path) == (500, "No path to datacenter")
    headers = subject.headers("GET", path)
    assert headers["X-Consul-Index"] == "1"
    assert headers["X-Consul-KnownLeader"] == "false"
    assert headers["Content-Type"] == "text/plain; charset=utf-8"


def test_what_makes_no_difference(subject: Subject, name: str) -> None:
    """
    One node has nothing to sort by distance, unknown parameters are ignored, and so is
    a token while there are no access rules.
    """
    subject.register(name)
    assert subject.see(name, near="_agent", odd="1", token="x").ids() == [name]


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("wait=abc", "Invalid wait time"),
        ("wait=5", "Invalid wait time"),
        ("wait=1d", "Invalid wait time"),
        ("wait=%201s", "Invalid wait time"),
        ("index=abc", "Invalid index"),
        ("index=-1", "Invalid index"),
        ("index=18446744073709551616", "Invalid index"),
        (f"index={'9' * 5000}", "Invalid index"),
        ("passing=odd", "Invalid value for ?passing"),
        (
            "stale&consistent",
            "Cannot specify ?stale with ?consistent, conflicting semantics.",
        ),
        (
            "ns=other",
            'Bad request: Invalid query parameter: "ns" - Namespaces are a Consul'
            " Enterprise feature",
        ),
    ],
)
def test_arguments_that_make_no_sense(
    subject: Subject, name: str, query: str, complaint: str
) -> None:
    """
    An argument that cannot be meant is refused, with what is wrong.
    """
    path = f"/v1/health/service/{name}?{query}"
    assert subject.ask("GET", path) == (400, complaint)
    assert subject.headers("GET", path)["X-Consul-Index"] is None


@pytest.mark.parametrize("path", ["health/service/", "catalog/service/"])
def test_no_name(subject: Subject, path: str) -> None:
    """
    A list of instances needs the name of a service.
    """
    assert subject.ask("GET", f"/v1/{path}") == (400, "Missing service name")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/health/service/x", "GET"),
        ("PUT", "/v1/catalog/services", "GET"),
        ("GET", REGISTER, "PUT"),
        ("POST", REGISTER, "PUT"),
        ("DELETE", "/v1/agent/services", "GET"),
        ("GET", "/v1/agent/service/deregister/x", "PUT"),
    ],
)
def test_wrong_methods(subject: Subject, method: str, path: str, allowed: str) -> None:
    """
    A path that knows another method says which.
    """
    answer = subject.ask(method, path)
    assert answer == (405, f"method {method} not allowed")
    assert subject.headers(method, path)["Allow"] == f"OPTIONS,{allowed}"


def test_asking_for_the_methods(subject: Subject) -> None:
    """
    Every path can be asked for its methods; HEAD is not among them.
    """
    assert subject.headers("OPTIONS", REGISTER)["Allow"] == "OPTIONS,PUT"
    assert subject.ask("HEAD", "/v1/health/service/x")[0] == 405


def test_a_path_that_is_not_there(subject: Subject) -> None:
    """
    An unknown path is not found.
    """
    assert subject.ask("GET", "/v1/nowhere")[0] == 404


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "EOF"),
        (b"{", "unexpected EOF"),
        (b'{"Name": "w', "unexpected EOF"),
        (b'{"Name": "w"', "unexpected EOF"),
        (b"[", "unexpected EOF"),
        (b'{"Nme": "w"}', 'json: unknown field "Nme"'),
        (b"nope", "invalid character"),
        (b"{'Name': 1}", "invalid character"),
        (b'{"Name" "w"}', "invalid character"),
        (b"[]", "json: cannot unmarshal array into Go value of type struct"),
        (b"5", "json: cannot unmarshal number into Go value of type struct"),
        (
            b'{"Name": 5}',
            "json: cannot unmarshal number into Go struct field .Name of type string",
        ),
        (
            b'{"Port": "x"}',
            "json: cannot unmarshal string into Go struct field .Port of type int",
        ),
        (
            b'{"Port": 80.0}',
            "json: cannot unmarshal number 80.0 into Go struct field .Port of type int",
        ),
        (
            b'{"Tags": [1]}',
            "json: cannot unmarshal number into Go struct field .Tags of type string",
        ),
        (
            b'{"Tags": "x"}',
            "json: cannot unmarshal string into Go struct field .Tags of type []string",
        ),
        (
            b'{"EnableTagOverride": 1}',
            "json: cannot unmarshal number into Go struct field .EnableTagOverride"
            " of type bool",
        ),
        (b'{"Meta": {"a": 1}}', "json: cannot unmarshal number into Go struct field"),
        (
            b'{"Meta": []}',
            "json: cannot unmarshal array into Go struct field .Meta"
            " of type map[string]string",
        ),
        (
            b'{"Weights": []}',
            "json: cannot unmarshal array into Go struct field .Weights"
            " of type structs.Weights",
        ),
        (b'{"Weights": {"Odd": 1}}', 'json: unknown field "Odd"'),
        (b'{"Check": []}', "json: cannot unmarshal array into Go struct field .Check"),
    ],
)
def test_bodies_that_are_not_understood(
    subject: Subject, body: bytes, complaint: str
) -> None:
    """
    A body must be JSON of known names and of the right types; what is wrong
    with it is said in the words of Consul's Go.
    """
    status, said = subject.put(REGISTER, body)
    assert status == 400
    assert said.startswith(f"Request decode failed: {complaint}")


def test_null_is_no_body(subject: Subject) -> None:
    """
    A body of null says nothing; what comes after the body is not read.
    """
    assert subject.put(REGISTER, b"null") == (400, "Missing service name")
    assert subject.put(REGISTER, b'{"Name": ""} x') == (400, "Missing service name")


def test_the_agent_describes_itself(subject: Subject) -> None:
    """
    The agent says where it is, and that it is a server; there is a leader.
    """
    config = subject.get("/v1/agent/self")["Config"]
    assert (config["Datacenter"], config["Server"]) == ("dc1", True)
    host, _, port = subject.get("/v1/status/leader").partition(":")
    assert (host, port.isdigit()) == ("127.0.0.1", True)
