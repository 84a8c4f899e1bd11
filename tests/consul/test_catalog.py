"""From Consul's JSON to instances."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.balance.instance import Health, Identity, Instance
from lbconsul.consul.catalog import (
    MOST_META,
    MOST_NAME,
    MOST_TAG,
    MOST_TAGS,
    Catalog,
    parse,
    read_entry,
)
from lbconsul.consul.location import Pick
from lbconsul.errors import UnusableAnswer
from tests.support.instances import an_answer, an_entry


def _one(entry: object) -> Instance:
    catalog = parse(an_answer(entry))
    assert catalog.skipped == ()
    [instance] = catalog.instances
    return instance


def _check(
    check_id: str = "http", service_id: str = "web-1", **of: Any
) -> dict[str, Any]:
    return {"CheckID": check_id, "ServiceID": service_id, "Status": "passing"} | of


class TestEntry:
    """What is read from an entry."""

    def test_a_whole_entry(self) -> None:
        """Identity, address, port, tags, weights and health are all taken over."""
        entry = an_entry(
            "web-7",
            Tags=["v2", "eu"],
            Port=8443,
            Weights={"Passing": 10, "Warning": 2},
            checks=[_check(Status="warning", Output="slow"), _check("serf", "")],
        )
        assert _one(entry) == Instance(
            identity=Identity("dc1", "node-1", "web-7"),
            host="192.0.2.1",
            port=8443,
            address="192.0.2.1",
            tags=("v2", "eu"),
            passing_weight=10,
            warning_weight=2,
            health=Health("warning", "check 'http' warning: slow"),
            node_health=Health(),
        )

    def test_hardly_anything(self) -> None:
        """Missing and null fields have defaults."""
        for null in ({}, {"Tags": None, "Meta": None, "Weights": None, "Kind": None}):
            entry = {
                "Node": {"Node": "n", "Address": "192.0.2.9"},
                "Service": {"ID": "web", "Port": 80} | null,
            }
            assert _one(entry) == Instance(
                identity=Identity("", "n", "web"),
                host="192.0.2.9",
                port=80,
                address="192.0.2.9",
            )

    def test_no_checks(self) -> None:
        """An instance without checks is passing."""
        assert _one(an_entry(checks=[])).health == Health()
        assert _one(an_entry(checks=None)).health == Health()

    def test_the_nodes_address(self) -> None:
        """Where a service has no address of its own, its node's is meant."""
        assert _one(an_entry(Address="")).host == "192.0.2.9"

    @pytest.mark.parametrize(
        ("host", "address"),
        [
            ("2001:db8::1", "2001:db8::1"),
            ("web.internal", ""),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ],
    )
    def test_addresses(self, host: str, address: str) -> None:
        """An IP address can be connected to as it is, a name must be resolved."""
        instance = _one(an_entry(Address=host))
        assert (instance.host, instance.address) == (address or host, address)

    def test_a_unix_socket(self) -> None:
        """An instance with a SocketPath needs neither address nor port."""
        entry = an_entry(Address="", Port=0, SocketPath="/run/web.sock")
        entry["Node"]["Address"] = None
        instance = _one(entry)
        assert (instance.address, instance.port) == ("/run/web.sock", 0)
        assert str(instance) == "web-1@node-1 unix:/run/web.sock"

    def test_one_of_several(self) -> None:
        """Of several ports and addresses the configured one is taken."""
        entry = an_entry(
            Port=0,
            Ports=[{"Name": "http", "Port": 80}, {"Name": "grpc", "Port": 90}],
            TaggedAddresses={"wan": {"Address": "203.0.113.1", "Port": 8443}},
        )
        [instance] = parse(an_answer(entry), Pick("grpc", "wan")).instances
        assert (instance.address, instance.port) == ("203.0.113.1", 90)

    def test_consuls_order_is_kept(self) -> None:
        """Instances come in the order in which Consul sorted them."""
        body = an_answer(an_entry("b"), an_entry("a"), an_entry("c"))
        assert [each.identity.service_id for each in parse(body).instances] == [*"bac"]

    def test_an_unregistered_service(self) -> None:
        """The answer about an unregistered service is valid, and empty."""
        assert parse(b"[]") == Catalog(())


class TestHealth:
    """What checks say."""

    def test_the_worst_counts(self) -> None:
        """Of several checks the worst counts, with its output in one line."""
        checks = [
            _check("a", Status="warning", Output="slow"),
            _check("b", Status="critical", Output="HTTP GET:\n  500\tno\x1b[0m "),
            _check("c", Status="critical", Output="later"),
        ]
        assert _one(an_entry(checks=checks)).health == Health(
            "critical", "check 'b' critical: HTTP GET: 500 no[0m"
        )

    def test_the_nodes_checks_are_kept_apart(self) -> None:
        """A check without a service is its node's."""
        checks = [_check("disk", "", Status="critical"), _check(Status="warning")]
        instance = _one(an_entry(checks=checks))
        assert instance.health == Health("warning", "check 'http' warning")
        assert instance.node_health == Health("critical", "check 'disk' critical")

    @pytest.mark.parametrize(
        ("status", "word"), [("", "of unknown status"), ("melted\nX", "melted X")]
    )
    def test_unknown_status(self, status: str, word: str) -> None:
        """An unknown status counts as critical."""
        entry = an_entry(checks=[_check(Status=status)])
        assert _one(entry).health == Health("critical", f"check 'http' {word}")

    @pytest.mark.parametrize(
        ("check_id", "service_id"),
        [("_node_maintenance", ""), ("_service_maintenance:web-1", "web-1")],
    )
    def test_maintenance(self, check_id: str, service_id: str) -> None:
        """Maintenance of the node or the service has its reason."""
        check = _check(check_id, service_id, Status="critical", Notes="new disk")
        instance = _one(an_entry(checks=[check, _check(Status="critical")]))
        assert instance.health == Health("maintenance", "maintenance: new disk")
        assert instance.node_health == Health()

    def test_maintenance_without_a_reason(self) -> None:
        """Maintenance for which no reason was given is its own."""
        check = _check("_node_maintenance", "", Status="critical")
        assert _one(an_entry(checks=[check])).health.reason == "maintenance"

    def test_long_output(self) -> None:
        """Of a long output as much is kept as a person would read."""
        entry = an_entry(
            checks=[_check("x" * 999, Status="critical", Output="y" * 999)]
        )
        reason = _one(entry).health.reason
        assert reason == f"check '{'x' * 120}' critical: {'y' * 120}"


class TestOwnWeight:
    """``lbconsul-weight`` replaces the registration's weights."""

    @pytest.mark.parametrize(
        ("service", "weight"),
        [
            ({"Meta": {"lbconsul-weight": "20"}}, 20),
            ({"Tags": ["v2", "lbconsul-weight=0"]}, 0),
            ({"Meta": {"lbconsul-weight": "3"}, "Tags": ["lbconsul-weight=4"]}, 3),
            ({"Meta": {"lbconsul-weight": "x"}, "Tags": ["lbconsul-weight=4"]}, 4),
            ({"Tags": ["lbconsul-weight=", "lbconsul-weight=4"]}, 4),
            ({"Meta": {"lbconsul-weight": "999999"}}, 65535),
            ({"Meta": {"lbconsul-weight": "-1"}}, None),
            ({"Meta": {"lbconsul-weight": 5}}, None),
            ({"Tags": ["lbconsul-weight=" + "9" * 5000]}, None),
            ({"Tags": ["lbconsul-weights=4", "lbconsul-weight"]}, None),
            ({}, None),
        ],
    )
    def test_where(self, service: dict[str, Any], weight: int | None) -> None:
        """
        The weight stands in Meta or, second to that, among the tags; an invalid one is
        ignored.
        """
        assert _one(an_entry(**service)).own_weight == weight

    def test_absurd_registration(self) -> None:
        """A weight beyond what Consul allows counts as the greatest it allows."""
        instance = _one(an_entry(Weights={"Passing": 10**400, "Warning": 10**9}))
        assert (instance.passing_weight, instance.warning_weight) == (65535, 65535)


class TestSkipped:
    """What is no plain backend."""

    @pytest.mark.parametrize(
        ("entry", "sentence"),
        [
            (
                an_entry(Kind="connect-proxy"),
                "web-1@node-1 192.0.2.1:8080: its kind is connect-proxy",
            ),
            (an_entry(Port=0), "web-1@node-1 192.0.2.1:0: its port is 0"),
            (an_entry(Port=65536), "web-1@node-1 192.0.2.1:65536: its port is 65536"),
            (an_entry(Port=-1), "web-1@node-1 192.0.2.1:-1: its port is -1"),
            (
                an_entry(Address="", node={"Address": ""}),
                "web-1@node-1 :8080: neither the service nor its node has an address",
            ),
            (
                an_entry(Kind="a\nb\x1b[2J"),
                "web-1@node-1 192.0.2.1:8080: its kind is a b[2J",
            ),
        ],
    )
    def test_why(self, entry: object, sentence: str) -> None:
        """
        Sidecars, and instances without port or address, are skipped with a reason.
        """
        catalog = parse(an_answer(an_entry("ok"), entry))
        assert [each.identity.service_id for each in catalog.instances] == ["ok"]
        [skipped] = catalog.skipped
        assert f"{skipped.instance}: {skipped.reason}" == sentence


def _without(entry: dict[str, Any], part: str, key: str) -> dict[str, Any]:
    del entry[part][key]
    return entry


class TestUnusable:
    """What is no answer; a pool stays as it was."""

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            (b"", "^not JSON: "),
            (b"rpc error: No cluster leader", "^not JSON: "),
            (b'[{"Node": {"No', "^not JSON: "),
            (b"\xff\xfe\xfa", "^not JSON: "),
            (b"[" * 100_000, "^not JSON: "),
            (b"[" + b"9" * 5000 + b"]", "^not JSON: "),
            (b"{}", "^JSON, but dict instead of a list$"),
            (b"null", "^JSON, but NoneType instead of a list$"),
        ],
    )
    def test_no_list(self, body: bytes, why: str) -> None:
        """An answer that is not JSON, cut short, or JSON of another kind is refused."""
        with pytest.raises(UnusableAnswer, match=why):
            parse(body)

    @pytest.mark.parametrize(
        ("entry", "why"),
        [
            (None, "an entry is not an object"),
            ({}, "Node is NoneType instead of dict"),
            ({"Node": {}}, "Service is NoneType instead of dict"),
            (_without(an_entry(), "Node", "Node"), "Node is NoneType instead of str"),
            (_without(an_entry(), "Service", "ID"), "ID is NoneType instead of str"),
            (
                an_entry(Address=None, node={"Address": None}),
                "Address is NoneType instead of str",
            ),
            (an_entry(Port="80"), "Port is str instead of int"),
            (an_entry(Port=True), "Port is bool instead of int"),
            (an_entry(Port=80.0), "Port is float instead of int"),
            (an_entry(Weights={"Passing": "1"}), "Passing is str instead of int"),
            (an_entry(Kind=1), "Kind is int instead of str"),
            (an_entry(Tags="v2"), "Tags is str instead of list"),
            (an_entry(Tags=[1]), "a tag is not a string"),
            (an_entry(Meta=[]), "Meta is list instead of dict"),
            (an_entry(checks=[None]), "a check is not an object"),  # type: ignore[list-item]
            (an_entry(checks=[_check(Status=3)]), "Status is int instead of str"),
            (
                an_entry(checks=[_check(Status="critical", Output=[])]),
                "Output is list instead of str",
            ),
        ],
    )
    def test_a_wrong_entry(self, entry: object, why: str) -> None:
        """One wrong entry spoils the whole: half an answer would take some away."""
        with pytest.raises(UnusableAnswer, match=f"^(web-1(@node-1)?: )?{why}$"):
            parse(an_answer(an_entry("ok"), entry))

    def test_whose(self) -> None:
        """The error names the instance whose entry is wrong."""
        [skipped] = parse(an_answer(an_entry(Port=0), an_entry("ok"))).skipped
        assert str(skipped) == "web-1@node-1 192.0.2.1:0: its port is 0"
        with pytest.raises(UnusableAnswer, match=r"^an entry is not an object$"):
            read_entry([])
        with pytest.raises(UnusableAnswer, match=r"^web-9@node-1: Port is str instead"):
            parse(an_answer(an_entry("ok"), an_entry("web-9", Port="80")))


WORDS = st.sampled_from(
    [
        "Node", "Service", "Checks", "Address", "Datacenter", "ID", "Port", "Tags",
        "Weights", "Passing", "Warning", "Meta", "Kind", "CheckID", "ServiceID",
        "Status", "Output", "Notes", "lbconsul-weight", "lbconsul-weight=7",
        "passing", "critical",
    ]
)  # fmt: skip
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | WORDS,
    lambda children: st.lists(children) | st.dictionaries(WORDS, children),
    max_leaves=20,
)


def _usable_or_unusable(body: bytes) -> None:
    try:
        catalog = parse(body)
    except UnusableAnswer as error:
        assert str(error)
    else:
        assert all(1 <= each.port <= 65535 for each in catalog.instances)


@given(st.binary())
def test_any_bytes(body: bytes) -> None:
    """Whatever bytes arrive, they are instances or an unusable answer."""
    _usable_or_unusable(body)


@given(ANY_JSON)
def test_any_json(document: object) -> None:
    """Whatever JSON arrives, it is instances or an unusable answer."""
    _usable_or_unusable(json.dumps(document).encode())


@given(
    path=st.sampled_from(
        [
            "Node", "Service", "Checks", "Node.Node", "Node.Address",
            "Node.Datacenter", "Service.ID", "Service.Address", "Service.Port",
            "Service.Tags", "Service.Meta", "Service.Weights", "Service.Kind",
            "Service.Weights.Passing", "Service.Meta.lbconsul-weight", "Checks.0",
            "Checks.0.Status", "Checks.0.Output", "Checks.0.CheckID",
            "Checks.0.ServiceID",
        ]
    ),
    value=ANY_JSON,
)  # fmt: skip
def test_any_value_anywhere(path: str, value: object) -> None:
    """Whatever stands in one place of an entry that is else as it should be, it
    is an instance, is left out, or makes the answer unusable.
    """
    entry: Any = an_entry(checks=[_check(Status="critical", Output="no")])
    *way, last = [0 if step == "0" else step for step in path.split(".")]
    place = entry
    for step in way:
        place = place[step]
    place[last] = value
    _usable_or_unusable(an_answer(an_entry("ok"), entry))


class TestBounds:
    """Registrations are untrusted input."""

    @pytest.mark.parametrize("what", ["id", "node", "datacenter", "address"])
    def test_long_names(self, what: str) -> None:
        """An instance with a name that no name needs is left out, and said in short;
        others are not.
        """

        def entry(name: str) -> dict[str, Any]:
            own = {"id": {"ID": name}, "address": {"Address": name}}
            said: dict[str, Any] = own.get(what, {})
            made = an_entry(**said)
            node = {"node": {"Node": name}, "datacenter": {"Datacenter": name}}
            made["Node"] = made["Node"] | node.get(what, {})
            return made

        longest = "x" * MOST_NAME if what != "address" else "x.y"
        catalog = parse(an_answer(entry(longest), entry(longest * 1000), an_entry("b")))
        assert len(catalog.instances) == 2
        [told] = catalog.skipped
        assert told.reason == (
            f"its {what} is {1000 * len(longest)} characters long, and may be 255"
        )
        assert len(told.instance) <= MOST_NAME

    def test_circle(self) -> None:
        """A gateway that balances the service which it is registered as is left out:
        it would lead back here."""
        made = an_entry(Service="web", Meta={"lbconsul-balances": "web"})
        [told] = parse(an_answer(made)).skipped
        assert "balances this service" in told.reason
        made = an_entry(Service="edge", Meta={"lbconsul-balances": "web"})
        assert parse(an_answer(made)).skipped == ()

    def test_tags(self) -> None:
        """Of tags without end some are known; what is no tag in its length is not."""
        tags = [str(number) for number in range(10_000)]
        tags[5:5] = ["x" * (MOST_TAG + 1), "y" * MOST_TAG]
        known = _one(an_entry(Tags=tags)).tags
        assert known[:7] == ("0", "1", "2", "3", "4", "y" * MOST_TAG, "5")
        assert len(known) == MOST_TAGS

    def test_metadata(self) -> None:
        """The metadata of a service is known as far as Consul's bounds go."""
        assert _one(an_entry(Meta={"version": "2", "a": "b"})).meta == (
            ("a", "b"),
            ("version", "2"),
        )
        odd = {"n": 1, "k" * 129: "", "long": "v" * 513, "none": None}
        assert _one(an_entry(Meta=odd)).meta == ()
        many = {f"{number:03}": "" for number in range(100)}
        assert len(_one(an_entry(Meta=many)).meta) == MOST_META

    @pytest.mark.parametrize("weight", [10**30, -(10**30), 10**4000])
    def test_weights(self, weight: int) -> None:
        """A weight beyond all measure is the most, or nothing, that there is."""
        instance = _one(an_entry(Weights={"Passing": weight, "Warning": weight}))
        assert instance.passing_weight == min(weight, 65535)
        own = _one(an_entry(Meta={"lbconsul-weight": str(weight)})).own_weight
        assert own is None
