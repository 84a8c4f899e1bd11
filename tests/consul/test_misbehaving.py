"""A catalog that misbehaves in every way we know of, and a watch that lives on.

Each scenario has a server and a watch of its own.  The watch gets a good
answer, then the server misbehaves for a while, then there is news.  All of
them are played at the same time, in a time that passes faster than ours.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from attrs import frozen
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, capturedLogs, formatEvent

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.consul import ConsulConfig
from lbconsul.consul import client as consul_client_module
from lbconsul.consul.query_loop import BURST
from tests.support.in_reactor import FastReactor, run, until
from tests.support.misbehaving import SCENARIOS, Scenario, Stage
from tests.support.ports import free_ports
from tests.support.script_server import Honest, ScriptServer, entry
from tests.support.watching import Watched, local, watched

#: How many times faster the time of the scenarios is than ours: what takes a busy
#: machine a second takes ten here.
SPEED = 10.0

#: How long a server misbehaves, in seconds of that time: longer than the
#: deadline of a question, so that a hang is met by a second one.
LASTS = 100.0

#: Within which news must be seen after that, in seconds of that time: a hang
#: has its deadline, every failure its backoff, and a busy machine its pauses.
RECOVERS = 400.0

FIRST = [entry(1), entry(2)]
NEWS = [entry(2), entry(3)]


@frozen
class Outcome:
    """How a scenario went."""

    lasted: float
    #: Questions that the watch asked while the server misbehaved.
    queries: int
    #: Requests that the server saw of them.
    requests: int
    #: Changes of the pool meanwhile.
    changes: Sequence[object]
    #: How long it took until the news was seen.
    recovered: float
    #: What the watch logged.
    said: Sequence[str]


async def play(real: Any, name: str, scenario: Scenario) -> Outcome:
    """Good answer, misbehaviour, news."""
    reactor = FastReactor(real, SPEED)
    honest = Honest(reactor, FIRST)
    server = ScriptServer(reactor, honest)
    [port] = free_ports(1)
    server.listen(port)
    gateway = watched(reactor, ConsulConfig((local(port),)), ServiceQuery(name))
    with capturedLogs() as events:
        gateway.watch.startService()
        await until(reactor, lambda: gateway.ids() == {"web-1", "web-2"}, RECOVERS)

        begin, asked = reactor.seconds(), gateway.client.asked
        requests, changes = len(server.asked), len(gateway.registry.changes)
        server.script = scenario.script(Stage(reactor, server, honest))
        honest.hand_over(server.script)
        if scenario.closed:
            await server.close()
        await deferLater(reactor, LASTS)
        lasted = reactor.seconds() - begin
        asked = gateway.client.asked - asked
        requests = len(server.asked) - requests
        meanwhile = gateway.registry.changes[changes:]

        server.script = honest
        honest.headers = {}
        # Ahead of every index that a script may have invented.
        honest.index = 10**17
        honest.say(NEWS)
        if scenario.closed:
            server.listen(port)
        recovered = await until(
            reactor, lambda: gateway.ids() == {"web-2", "web-3"}, RECOVERS
        )
        await gateway.watch.stopService()
        await server.close()
    about = f"{ServiceQuery(name)}: "
    said = [text for text in map(words, events) if text.startswith(about)]
    return Outcome(lasted, asked, requests, meanwhile, recovered, said)


def words(event: LogEvent) -> str:
    """The line of an event."""
    return formatEvent(event)


async def play_all(reactor: Any) -> dict[str, Outcome]:
    """Every scenario at once."""
    played = [
        Deferred.fromCoroutine(play(reactor, name, scenario))
        for name, scenario in SCENARIOS.items()
    ]
    outcomes: list[Outcome] = await gatherResults(played, consumeErrors=True)
    return dict(zip(SCENARIOS, outcomes, strict=True))


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[str, Outcome]]:
    """How every scenario went."""
    with pytest.MonkeyPatch.context() as patch:
        # Some 60 MiB fewer to shovel, and the same code.
        patch.setattr(consul_client_module, "BODY_LIMIT", 1 << 20)
        yield run(play_all, timeout=180.0)


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_pool_changes(outcomes: dict[str, Outcome], name: str) -> None:
    """
    Whatever Consul does short of a whole, valid answer, every pool stays as the last
    valid answer left it.
    """
    assert outcomes[name].changes == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_consul_is_not_flooded(outcomes: dict[str, Outcome], name: str) -> None:
    """
    A failing Consul is asked about once a second at most, and one that always has a
    change five times; but it is asked.
    """
    outcome = outcomes[name]
    fair = SCENARIOS[name].rate * outcome.lasted + BURST + 1
    assert 1 <= outcome.queries <= fair
    assert outcome.requests <= fair


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_news_is_seen(outcomes: dict[str, Outcome], name: str) -> None:
    """Once Consul answers correctly, a change is seen without any intervention."""
    assert 0 <= outcomes[name].recovered < RECOVERS


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_log_says_it_once(outcomes: dict[str, Outcome], name: str) -> None:
    """
    Each kind of failure is logged once, however long it lasts, and so is its end; other
    answers are no failures.
    """
    said = outcomes[name].said
    failures = [line for line in said if "no answer from Consul" in line]
    ends = [line for line in said if "Consul answers again" in line]
    if SCENARIOS[name].fails:
        assert 1 <= len(failures) <= 2
        assert len(ends) == 1
        assert all("the last answer stays in use" in line for line in failures)
        assert not any("Failure" in line or "object at" in line for line in failures)
    else:
        assert failures == ends == []


async def many(reactor: Any) -> Watched:
    """First 3,000 instances, then one of them fewer and another one more."""
    honest = Honest(reactor, [entry(number) for number in range(3000)])
    server = ScriptServer(reactor, honest)
    server.listen()
    gateway = watched(reactor, ConsulConfig((local(server.port),)), ServiceQuery("web"))
    gateway.watch.startService()
    await until(reactor, lambda: len(gateway.ids()) == 3000)
    honest.say([entry(number) for number in range(1, 3001)])
    await until(reactor, lambda: "web-3000" in gateway.ids())
    await gateway.watch.stopService()
    await server.close()
    return gateway


def test_three_thousand_instances_are_balanced() -> None:
    """
    A service of 3,000 instances is taken in whole, and a change in it is that
    change and no more.
    """
    gateway = run(many)
    assert len(gateway.ids()) == 3000
    first, second = gateway.registry.changes
    assert len(first.joined) == 3000
    assert [str(each) for each in second.joined] == [
        "web-3000@n1 127.1.12.1:8000",
    ]
    assert [each.identity.service_id for each in second.left] == ["web-0"]
    assert second.changed == ()
