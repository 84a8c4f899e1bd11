"""Which clients are served, and with how many connections."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lbconsul.config.model import Mapping
from lbconsul.proxy.access_control import AccessControl
from lbconsul.stats.termination import Termination
from tests.support.mappings import altered

DENIED, TOO_MANY = Termination.DENIED, Termination.CLIENT_LIMIT


def _access_control(**options: Any) -> AccessControl:
    admission = AccessControl.of(altered(Mapping("web"), **options))
    assert admission is not None
    return admission


def _peer(host: str, port: int = 4000) -> tuple[object, ...]:
    """A client's address, as its socket has it."""
    return (host, port, 0, 0) if ":" in host else (host, port)


def _refused(admission: AccessControl, *hosts: str) -> list[Termination | None]:
    return [admission.refuse(_peer(host)) for host in hosts]


def test_everybody() -> None:
    """A mapping that says nothing of its clients has no use for it."""
    assert AccessControl.of(Mapping("web")) is None


def test_allow() -> None:
    """Only those are served that the mapping allows."""
    admission = _access_control(allow=("10.0.0.0/8", "::1/128"))
    hosts = ("10.1.2.3", "::ffff:10.1.2.3", "::1", "11.0.0.1", "::2")
    assert _refused(admission, *hosts) == [None, None, None, DENIED, DENIED]


def test_deny() -> None:
    """Every client is served but those in deny."""
    admission = _access_control(deny=("10.0.0.0/8", "fe80::/10"))
    hosts = ("11.0.0.1", "::1", "10.1.2.3", "::ffff:10.1.2.3", "fe80::1%eth0")
    assert _refused(admission, *hosts) == [None, None, DENIED, DENIED, DENIED]


def test_both() -> None:
    """A denied client is not served, though allow has it as well."""
    admission = _access_control(allow=("10.0.0.0/8",), deny=("10.1.0.0/16",))
    hosts = ("10.2.0.1", "10.1.0.1", "11.0.0.1")
    assert _refused(admission, *hosts) == [None, DENIED, DENIED]


def test_trusted_proxies() -> None:
    """A proxy that is to say who the clients are is let in, and counted as itself."""
    admission = _access_control(
        mode="http",
        allow=("192.0.2.0/24",),
        deny=("10.0.0.2/32",),
        trusted_proxies=("10.0.0.0/30",),
        max_connections_per_client=1,
    )
    hosts = ("10.0.0.1", "10.0.0.2", "10.0.0.9", "192.0.2.1", "10.0.0.1")
    refused = [None, None, DENIED, None, TOO_MANY]
    assert _refused(admission, *hosts) == refused
    assert admission.denies("10.0.0.1")  # without a client that it names


def test_unix() -> None:
    """Clients of a UNIX socket have no address: they are all served, without end."""
    admission = _access_control(allow=("10.0.0.0/8",), max_connections_per_client=1)
    for name in ("", "/run/client.sock", b"\0abstract", None):
        for _ in range(3):
            assert admission.refuse(name) is None
    for _ in range(3):
        admission.release("")


def test_left_at_once() -> None:
    """A client that left before its address could be read is not served."""
    admission = _access_control(max_connections_per_client=1)
    assert admission.refuse(("?", 0)) is Termination.CLIENT_LEFT


def test_limit() -> None:
    """
    One client has so many connections, on whatever ports, and another one once
    one of them is over; others have theirs.
    """
    admission = _access_control(max_connections_per_client=2)
    assert _refused(admission, *["192.0.2.1"] * 3) == [None, None, TOO_MANY]
    assert _refused(admission, "192.0.2.2", "::ffff:192.0.2.1") == [None, TOO_MANY]
    admission.release(_peer("192.0.2.1", 5000))
    assert _refused(admission, *["192.0.2.1"] * 2) == [None, TOO_MANY]


def test_limit_of_ipv6() -> None:
    """A client of IPv6 does not get more by all the addresses that it has."""
    admission = _access_control(max_connections_per_client=2)
    hosts = ("2001:db8::1", "2001:db8::ffff:1", "2001:db8::2", "2001:db8:0:1::1")
    assert _refused(admission, *hosts) == [None, None, TOO_MANY, None]


def test_denied_do_not_count() -> None:
    """A denied client uses no part of its network's limit."""
    admission = _access_control(deny=("2001:db8::1/128",), max_connections_per_client=1)
    hosts = ("2001:db8::1", "2001:db8::1", "2001:db8::2")
    assert _refused(admission, *hosts) == [DENIED, DENIED, None]


HOSTS = st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:1::1"])


@given(st.integers(1, 3), st.lists(st.tuples(st.booleans(), HOSTS)))
def test_nothing_is_kept(limit: int, steps: list[tuple[bool, str]]) -> None:
    """
    However clients come and go, the count is right; of those that left nothing is kept.
    """
    admission = _access_control(max_connections_per_client=limit)
    inside: list[str] = []
    for comes, host in steps:
        if comes:
            refused = admission.refuse(_peer(host))
            assert (refused is None) == (inside.count(host) < limit)
            inside += [host] if refused is None else []
        elif host in inside:
            inside.remove(host)
            admission.release(_peer(host))
    assert len(admission._open) == len({*inside})
    for host in inside:
        admission.release(_peer(host))
    assert admission._open == {}
