"""What the limits of a mapping or route say to its clients."""

from collections import Counter
from typing import Any

import pytest
from attrs import evolve

from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Limits, Mapping
from lbconsul.config.rate_limit import rate_limit
from lbconsul.limits.row_limits import Limiting, RowLimits, own_limiting
from lbconsul.stats.termination import Termination

WEB = Mapping("web", TCPListen("0.0.0.0", 80), mode="http")


class Limited:
    """The limits of a row, at one time."""

    def __init__(
        self, *rates: str, by: Limiting | None = None, row: Mapping = WEB, **limits: Any
    ) -> None:
        told = Limits(rates=tuple(map(rate_limit, rates)), **limits)
        self.exceeded = Counter[str]()
        found = RowLimits.of(
            evolve(row, limits=told), *(by or own_limiting(b"s" * 16)), self.exceeded
        )
        assert found is not None
        self.limits = found

    def ask(self, address: str, fields: str = "", now: float = 100.0) -> int:
        """The status of the answer to a request; 0 if it is served."""
        limits = self.limits.of_client(address, f"{fields}\r\n\r\n".encode())
        refusal = limits.refusal(now)
        return 0 if refusal is None else refusal.status


def test_none() -> None:
    """A mapping without limits pays nothing for them."""
    assert RowLimits.of(WEB, *own_limiting(), Counter()) is None


def test_by_address() -> None:
    """Each address has a bucket of its own; an IPv4 address is one in IPv6, too."""
    web = Limited("1/s")
    assert [web.ask("192.0.2.1"), web.ask("192.0.2.1")] == [0, 429]
    assert web.ask("192.0.2.2") == 0
    assert web.ask("::ffff:192.0.2.2") == 429
    assert [web.ask(""), web.ask("")] == [0, 429]  # clients of a UNIX socket
    assert web.exceeded == {"1/s": 3}


@pytest.mark.parametrize(
    ("prefix", "other", "status"),
    [
        ("", "2001:db8:1:2::9", 429),
        ("", "2001:db8:1:3::1", 0),
        (";ipv6-prefix=48", "2001:db8:1:3::1", 429),
        (";ipv6-prefix=128", "2001:db8:1:2::9", 0),
    ],
)
def test_networks(prefix: str, other: str, status: int) -> None:
    """An IPv6 /64 is one client, or another network that the limit names."""
    web = Limited("1/s" + prefix)
    assert web.ask("2001:db8:1:2::1%eth0") == 0
    assert web.ask(other) == status


def test_by_header() -> None:
    """
    Requests count by the value of a field, wherever they come from; without it, by
    their address.
    """
    web = Limited("1/s;by=header:x-api-key")
    assert web.ask("192.0.2.1", "Host: a\r\nX-Api-Key:  one ") == 0
    assert web.ask("192.0.2.2", "x-api-key: one") == 429
    assert web.ask("192.0.2.1", "x-api-key: two") == 0
    assert [web.ask("192.0.2.1"), web.ask("192.0.2.1", "x-api-key:")] == [0, 429]
    assert web.ask("192.0.2.2") == 0


def test_by_route() -> None:
    """All clients of a route share one bucket, and those of another one another."""
    shared = own_limiting(b"s" * 16)
    one = Limited("1/s;by=route", by=shared, row=evolve(WEB, route="/a"))
    other = Limited("1/s;by=route", by=shared, row=evolve(WEB, route="/b"))
    assert [one.ask("192.0.2.1"), one.ask("192.0.2.2")] == [0, 429]
    assert other.ask("192.0.2.1") == 0


def test_a_mapping_with_routes() -> None:
    """The limit of a mapping holds for what its routes get together with it."""
    shared = own_limiting(b"s" * 16)
    web, route = (
        Limited("1/s", by=shared, row=evolve(WEB, route=each)) for each in ("", "/a")
    )
    assert web.ask("192.0.2.1") == 0
    assert route.ask("192.0.2.1") == 429


@pytest.mark.parametrize(("terms", "status"), [("1/m", 429), ("2/m", 0)])
def test_a_reload(terms: str, status: int) -> None:
    """What a client has used counts on if a limit stays, whatever else changes."""
    shared = own_limiting(b"s" * 16)
    assert Limited("1/m", by=shared).ask("192.0.2.1") == 0
    altered = Limited(terms, by=shared, row=evolve(WEB, service="other"))
    assert altered.ask("192.0.2.1") == status


def test_several() -> None:
    """
    A request must keep all limits; one that another limit refuses takes nothing from
    the first.
    """
    web = Limited("3/s", "1/s;by=header:x-user", requests=10)
    assert web.ask("192.0.2.1", "x-user: a") == 0
    assert [web.ask("192.0.2.1", "x-user: a") for _ in range(5)] == 5 * [429]
    assert web.ask("192.0.2.1", "x-user: b") == 0
    assert web.ask("192.0.2.1", "x-user: c") == 0
    assert web.ask("192.0.2.1", "x-user: d") == 429
    assert web.exceeded == {"1/s;by=header:x-user": 5, "3/s": 1}


def test_the_refusal_tells_when_to_come_again() -> None:
    """Who is refused learns after how many seconds it would not be."""
    limits = Limited("10/m;burst=1").limits.of_client("192.0.2.1")
    assert limits.refusal(100.0) is None
    refusal = limits.refusal(101.5)
    assert refusal is not None
    assert refusal.termination is Termination.RATE_LIMITED
    assert (refusal.retry_after, refusal.error) == (5, "more than 10/m;burst=1")


def test_dry_run() -> None:
    """A limit that is only tried refuses nothing, and counts what it would."""
    web = Limited("1/s;dry-run")
    assert [web.ask("192.0.2.1") for _ in range(3)] == [0, 0, 0]
    assert web.exceeded == {"1/s;dry-run": 2}


def test_requests_at_a_time() -> None:
    """Beyond `max-requests` a request is refused, until one is over."""
    web = Limited(requests=1)
    assert [web.ask("192.0.2.1"), web.ask("192.0.2.2")] == [0, 503]
    assert web.limits.requests is not None
    web.limits.requests.end()
    limits = web.limits.of_client("192.0.2.3")
    assert limits.refusal(1.0) is None
    limits.give_back()
    assert limits.refusal(1.0) is None
    refusal = limits.refusal(1.0)
    assert refusal is not None
    assert refusal.termination is Termination.REQUEST_LIMIT


def test_overload() -> None:
    """A process that lags behind refuses its share, and takes no tokens for that."""
    web = Limited("1/m", shed_lag=0.1)
    assert web.limits.shedder is not None
    web.limits.shedder.share = 50
    assert [web.ask("192.0.2.1") for _ in range(4)] == [0, 503, 429, 503]


def test_connections_of_a_route() -> None:
    """Without HTTP the mapping has counted the clients of its routes already."""
    route = evolve(
        WEB,
        mode="sni",
        route="a.example",
        limits=Limits(rates=(rate_limit("1/s"),), shed_lag=0.1),
    )
    assert RowLimits.of(route, *own_limiting(), Counter()) is None
    own = evolve(rate_limit("1/s"), route="a.example")
    assert RowLimits.of(
        evolve(route, limits=Limits(rates=(own,))), *own_limiting(), Counter()
    )
