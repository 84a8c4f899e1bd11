"""Where an instance is, as its registration says it."""

from typing import Any

import pytest

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.consul.location import BY_DEFAULT, Location, Pick, locate, pick_of

HTTP = {"Name": "http", "Port": 8080, "Default": True}
GRPC = {"Name": "grpc", "Port": 9090}
NODE = {"Address": "192.0.2.9"}


def of(pick: Pick = BY_DEFAULT, /, **service: Any) -> Location:
    """The location of a service on a node."""
    return locate(NODE, service, pick)


def why(pick: Pick = BY_DEFAULT, /, **service: Any) -> str:
    """Why it has none."""
    found = of(pick, **service)
    assert not found.address
    return found.why


def test_address_and_port() -> None:
    """A service is at its own address, else at its node's."""
    assert of(Address="10.0.0.1", Port=80) == Location("10.0.0.1", 80, "10.0.0.1")
    assert of(Address="", Port=80) == Location("192.0.2.9", 80, "192.0.2.9")
    assert of(Address="a.example", Port=80) == Location("a.example", 80)


@pytest.mark.parametrize("port", [0, -1, 65536, 10**30])
def test_no_port(port: int) -> None:
    """An impossible port is a reason to skip."""
    assert why(Port=port) == f"its port is {port}"


def test_no_address() -> None:
    """So is a missing or wrong address."""
    sentence = "neither the service nor its node has an address"
    assert locate({}, {"Port": 80}, BY_DEFAULT).why == sentence
    assert why(Address=" ", Port=80) == sentence
    assert why(Address="10.0.0.1:80", Port=80) == (
        "its address '10.0.0.1:80' holds a port, where only the host belongs"
    )
    assert len(why(Address="x\n" * 10**6, Port=80)) < 200


class TestPorts:
    """Services with several ports, as of Consul 1.22."""

    def test_the_default(self) -> None:
        """Without a Port the default one counts, or else the first."""
        assert of(Port=0, Ports=[GRPC, HTTP]).port == 8080
        assert of(Ports=[GRPC]).port == 9090
        assert of(Port=80, Ports=[GRPC, HTTP]).port == 80
        assert why(Port=0, Ports=[]) == "its port is 0"

    def test_by_name(self) -> None:
        """A port that a mapping names is that one, whatever the default is."""
        assert of(Pick("grpc"), Port=80, Ports=[HTTP, GRPC]).port == 9090
        sentence = "it has no port of the name 'grpc'"
        assert why(Pick("grpc"), Ports=[HTTP]) == sentence
        assert why(Pick("grpc"), Port=80) == sentence

    @pytest.mark.parametrize(
        "ports",
        [
            {"http": 80}, "http", [80], [None], [{}], [{"Name": "a"}],
            [{"Name": "a", "Port": "80"}], [{"Name": "a", "Port": 80.0}],
            [{"Name": "a", "Port": True}], [{"Name": 1, "Port": 80}],
            [{"Name": "a", "Port": 80, "Default": "yes"}],
        ],
    )  # fmt: skip
    def test_odd_shapes(self, ports: Any) -> None:
        """An odd shape makes one instance unusable, and not the answer."""
        assert (
            why(Ports=ports) == "its Ports are not a list of names with a number each"
        )

    @pytest.mark.parametrize("port", [0, -1, 65536])
    def test_no_port(self, port: int) -> None:
        """Its number must be one like any other."""
        assert why(Ports=[{"Name": "a", "Port": port}]) == f"its port is {port}"


class TestTaggedAddresses:
    """Addresses that stand beside the one, and are asked for by a tag."""

    def test_of_the_service(self) -> None:
        """The address with this tag counts, with its port if it has one."""
        tagged = {
            "wan": {"Address": "203.0.113.1", "Port": 443},
            "lan": {"Address": "a"},
        }
        said = {"Address": "10.0.0.1", "Port": 80, "TaggedAddresses": tagged}
        assert of(Pick("", "wan"), **said) == Location(
            "203.0.113.1", 443, "203.0.113.1"
        )
        assert of(Pick("", "lan"), **said) == Location("a", 80)
        assert of(**said).address == "10.0.0.1"

    def test_with_a_named_port(self) -> None:
        """A port that is asked for by name is that one at the tagged address, too."""
        tagged = {"wan": {"Address": "203.0.113.1", "Port": 443}}
        found = of(Pick("grpc", "wan"), Ports=[GRPC], TaggedAddresses=tagged)
        assert (found.host, found.port) == ("203.0.113.1", 9090)
        assert why(Pick("x", "wan"), Ports=[GRPC], TaggedAddresses=tagged) == (
            "it has no port of the name 'x'"
        )

    def test_of_the_node(self) -> None:
        """The node's counts where the service has no address of its own."""
        node = {"Address": "10.0.0.9", "TaggedAddresses": {"wan": "203.0.113.9"}}
        pick = Pick("", "wan")
        assert locate(node, {"Port": 80}, pick).host == "203.0.113.9"
        own = locate(node, {"Port": 80, "Address": "10.0.0.1"}, pick)
        assert own.why == "it has no address tagged 'wan'"

    @pytest.mark.parametrize("wan", [None, "", 7, {"Address": "203.0.113.9"}])
    def test_none_of_the_node(self, wan: Any) -> None:
        """A node without one helps no service, whatever else it says there."""
        node = {"Address": "10.0.0.9", "TaggedAddresses": {"wan": wan}}
        found = locate(node, {"Port": 80}, Pick("", "wan"))
        assert found.why == "it has no address tagged 'wan'"

    @pytest.mark.parametrize(
        "tagged", [None, [], {"wan": None}, {"wan": {"Address": 1}}]
    )
    def test_without_the_tagged_address(self, tagged: Any) -> None:
        """One without is skipped, and not connected to at another address."""
        sentence = "it has no address tagged 'wan'"
        assert why(Pick("", "wan"), Port=80, TaggedAddresses=tagged) == sentence


class TestUnixSockets:
    """Services at a UNIX socket."""

    def test_a_path(self) -> None:
        """The path is where it is, whatever else is said."""
        found = of(SocketPath="/run/./web.sock", Address="10.0.0.1", Port=80)
        assert found == Location("/run/web.sock", address="/run/web.sock")

    @pytest.mark.parametrize(
        ("path", "sentence"),
        [
            ("run/a", "its SocketPath 'run/a' must begin with / and be printable"),
            ("@a", "its SocketPath '@a' must begin with / and be printable"),
            ("/a\nb", "its SocketPath '/a b' must begin with / and be printable"),
            ("/" + "x" * 107, "its SocketPath exceeds 107 bytes"),
            ("/" + "é" * 54, "its SocketPath exceeds 107 bytes"),
        ],
    )
    def test_no_path(self, path: str, sentence: str) -> None:
        """So is a SocketPath that is no path."""
        assert why(SocketPath=path) == sentence


def test_what_a_query_takes() -> None:
    """Port and address are those that the query names."""
    query = ServiceQuery("web", port_name="grpc", tagged_address="wan")
    assert pick_of(query) == Pick("grpc", "wan")
    assert str(query) == "web,port-name=grpc,tagged-address=wan"
