"""The lines of connections, of those that are served and of the others."""

import re
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs, formatEvent

from lbconsul.balance.upstream import Upstream
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Mapping
from lbconsul.proxy.access_log import BURST, RATE, ConnectionLog
from lbconsul.proxy.client_info import ClientInfo
from lbconsul.stats.termination import Termination
from tests.support.instances import an_upstream

MAPPING = Mapping("web", TCPListen("0.0.0.0", 80))

#: What every line of a connection looks like, whatever is in it.
SHAPE = re.compile(
    r"(\S+:\d+|unix) 80:web (-|\S+@\S+ \S+:\d+) in=\d+ out=\d+ time=\d+\.\d{3}"
    r" retries=\d+ (--|[A-Za-z][A-Z-])"
)


class Connections:
    """Connections that end, and their log."""

    def __init__(self, is_on: bool = True) -> None:
        self.clock = Clock()
        self.log = ConnectionLog(self.clock, MAPPING, is_on)

    def end(
        self,
        ending: Termination,
        upstream: Upstream | None = None,
        count: int = 1,
        address: object = ("192.0.2.1", 4000),
    ) -> None:
        """So many end like that."""
        now = self.clock.seconds()
        for _ in range(count):
            self.log.tell(address, now, upstream, 1, 2, 0, ending)


@pytest.fixture
def logs() -> Iterator[Sequence[LogEvent]]:
    """All that is logged."""
    with capturedLogs() as events:
        yield events


def _lines(logs: Sequence[LogEvent]) -> list[str]:
    return [str(formatEvent(event)) for event in logs]


def test_storm(logs: Sequence[LogEvent]) -> None:
    """
    Of a storm of clients that are not served the log has the first lines, a few each
    second, and the number of the others, once a second.
    """
    connections = Connections()
    connections.end(Termination.REFUSED, count=1250)
    connections.end(Termination.DENIED, count=34)
    assert len(logs) == BURST
    connections.clock.advance(1)
    assert (
        _lines(logs)[-1] == "80:web: 1234 more clients were not served: 1200 SC, 34 PR"
    )
    assert logs[-1]["terminations"] == {"SC": 1200, "PR": 34}
    assert (logs[-1]["mapping"], logs[-1]["count"]) == ("80:web", 1234)
    assert logs[-1]["log_level"].name == "info"


def test_long_storm(logs: Sequence[LogEvent]) -> None:
    """A storm of a minute makes some hundred lines, and each client is in one."""
    connections = Connections()
    for _ in range(600):
        connections.end(Termination.REFUSED, count=1000)
        connections.clock.advance(0.1)
    connections.clock.advance(1)
    lines = _lines(logs)
    summed_up = [line for line in lines if "more clients" in line]
    assert len(lines) <= BURST + 60 * RATE + 62
    assert len(summed_up) <= 61
    told = sum(int(line.split()[1]) for line in summed_up)
    assert told + len(lines) - len(summed_up) == 600_000


def test_one_more(logs: Sequence[LogEvent]) -> None:
    """One is no plural."""
    connections = Connections()
    connections.end(Termination.CLIENT_LIMIT, count=int(BURST) + 1)
    connections.log.stop()
    assert _lines(logs)[-1] == "80:web: 1 more client was not served: 1 PL"
    assert connections.clock.getDelayedCalls() == []


def test_served(logs: Sequence[LogEvent]) -> None:
    """Of those that are served each has its line, whatever else is going on."""
    connections = Connections()
    connections.end(Termination.REFUSED, count=1000)
    before = len(logs)
    connections.end(Termination.DONE, an_upstream(), count=1000)
    assert len(logs) == before + 1000
    assert {*_lines(logs[before:])} == {
        "192.0.2.1:4000 80:web web-1@node-1 192.0.2.1:8080 in=1 out=2 time=0.000"
        " retries=0 --"
    }


def test_switched_off(logs: Sequence[LogEvent]) -> None:
    """Without connection lines there are no summaries either."""
    connections = Connections(is_on=False)
    connections.end(Termination.REFUSED, count=1000)
    connections.end(Termination.DONE, an_upstream())
    connections.clock.advance(10)
    connections.log.stop()
    assert logs == []


NAMES = st.text(max_size=20) | st.binary(max_size=20).map(lambda name: b"\0" + name)


@given(NAMES, st.sampled_from(Termination))
def test_names_of_unix_sockets(name: str | bytes, ending: Termination) -> None:
    """A client may call its UNIX socket what it likes: that is not in the log."""
    with capturedLogs() as logs:
        connections = Connections()
        for upstream in (None, an_upstream()):
            connections.end(ending, upstream, address=name)
    assert len(logs) == 2
    for line in _lines(logs):
        assert SHAPE.fullmatch(line)
        assert line.startswith("unix 80:web ")


@given(st.text(min_size=1, alphabet=st.characters(exclude_categories=["Zs"])))
def test_names_of_instances(name: str) -> None:
    """A registered name cannot break its line, nor add one."""
    with capturedLogs() as logs:
        Connections().end(Termination.DONE, an_upstream(name))
    [line] = _lines(logs)
    assert SHAPE.fullmatch(line)
    assert line.isprintable()


def test_what_a_handshake_told(logs: Sequence[LogEvent]) -> None:
    """What is known of a client beyond its address stands at the end, and in fields."""
    connections = Connections()
    info = ClientInfo(via=("10.0.0.9", 4000), server_name="web.example.com")
    address, now = ("192.0.2.1", 4000), connections.clock.seconds()
    connections.log.tell(address, now, None, 1, 2, 0, Termination.CLIENT_LEFT, info)
    [line] = _lines(logs)
    assert line.endswith(' CC via="10.0.0.9:4000" sni=web.example.com')
    assert (logs[0]["via"], logs[0]["sni"]) == ("10.0.0.9:4000", "web.example.com")
