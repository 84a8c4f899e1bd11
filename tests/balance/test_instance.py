"""Instances: how they show themselves, and which of several statuses counts."""

import pytest
from attrs import evolve

from lbconsul.balance.instance import STATUSES, Health, Identity, Status
from tests.support.instances import an_identity, an_instance


@pytest.mark.parametrize(
    ("one", "other"),
    [(one, other) for one in STATUSES for other in STATUSES if one != other],
)
def test_the_worst_status_counts(one: Status, other: Status) -> None:
    """Maintenance is worse than critical, that than warning, that than passing."""
    worst = STATUSES[max(STATUSES.index(one), STATUSES.index(other))]
    assert Health(one).worst(Health(other)).status == worst


def test_of_equals_the_first_counts() -> None:
    """Of two checks that are equally bad the first one gives the reason."""
    first, second = Health("critical", "disk full"), Health("critical", "no memory")
    assert first.worst(second) is first


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("192.0.2.1", "web-1@node-1 192.0.2.1:8080"),
        ("2001:db8::1", "web-1@node-1 [2001:db8::1]:8080"),
        ("web.internal", "web-1@node-1 web.internal:8080"),
    ],
)
def test_shows_itself(host: str, text: str) -> None:
    """An instance shows its id, its node, and where it is."""
    assert str(an_instance(host=host)) == text


def test_cannot_forge_a_line_of_log() -> None:
    """A registered name cannot break a line, nor command a terminal."""
    instance = an_instance("a\nb\x1b[2J", host="h\ud800")
    assert str(instance) == "a?b?[2J@node-1 h?:8080"


def test_is_two_words() -> None:
    """A name with blanks does not look like several columns."""
    instance = an_instance("web@other 192.0.2.9:80 in=1", host="h out=2\u2028")
    assert str(instance) == "web@other?192.0.2.9:80?in=1@node-1 h?out=2?:8080"


def test_an_identity_is_more_than_a_service_id() -> None:
    """Two nodes may use the same service id: they are two instances."""
    identity = an_identity("web-1")
    assert identity == ("dc1", "node-1", "web-1")
    assert identity != identity._replace(node="node-2")
    assert identity != identity._replace(datacenter="dc2")


def test_several_addresses() -> None:
    """One of them is preferred, and the others follow as in a ring."""
    instance = evolve(an_instance(host="a"), address="a", alternates=("b", "c"))
    assert instance.addresses == ("a", "b", "c")
    assert instance.preferring("b").addresses == ("b", "c", "a")
    assert instance.preferring("a") == instance
    assert evolve(instance, address="", alternates=()).addresses == ()


@pytest.mark.parametrize("char", ["x", "\n"])
def test_long_names_are_cut(char: str) -> None:
    """A name of a megabyte is cut before it is made printable."""
    instance = an_instance(char * 10**6, host=char * 10**6)
    assert len(str(instance)) < 1100
    whole = an_instance(char * 255, host="x" * 255)
    assert str(whole).endswith(f"@node-1 {'x' * 255}:8080")


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.1", "192.0.2.1:8080"),
        ("2001:db8::1", "[2001:db8::1]:8080"),
        ("/run/web.sock", "unix:/run/web.sock"),
    ],
)
def test_shows_its_place(address: str, place: str) -> None:
    """An instance on a UNIX socket has no port."""
    assert an_instance(host=address).place == place


def test_id_of_an_identity() -> None:
    """An identity is written as one path, and read again, whatever its names are."""
    identity = Identity("dc1", "node/1", "a%ü")
    assert identity.id == "dc1/node%2F1/a%25%C3%BC"
    assert Identity.parse(identity.id) == identity


@pytest.mark.parametrize("text", ["", "web", "a/b", "a/b/c/d", "a/b/%ff"])
def test_no_id_of_an_identity(text: str) -> None:
    """What is no id is refused in a line that says what would be one."""
    with pytest.raises(ValueError, match="must be DATACENTER/NODE/SERVICE-ID, percen"):
        Identity.parse(text)
