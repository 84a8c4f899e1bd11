"""A catalog that misbehaves in every way we know of, and a watch that lives on.

Each scenario has a server and a watch of its own.  The watch gets a good
answer, then the server misbehaves for a while, then there is news.  All of
them are played at the same time, in a time that passes faster than ours.
"""

import gzip
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from attrs import frozen
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, capturedLogs, formatEvent

from lbconsul.balance.selection import Question
from lbconsul.config.model import ConsulConfig
from lbconsul.consul import client as consul_client_module
from lbconsul.consul.watch import BURST, RATE
from tests.support.in_reactor import FastReactor, run, until
from tests.support.ports import free_ports
from tests.support.script_server import Asked, Honest, Script, ScriptServer, entry
from tests.support.watching import Watched, local, watched

#: How many times faster the time of the scenarios is than ours.
SPEED = 25.0

#: How long a server misbehaves, in seconds of that time: longer than the
#: deadline of a question, so that a hang is met by a second one.
LASTS = 100.0

#: Within which news must be seen after that, in seconds of that time: a hang
#: has its deadline, every failure its backoff, and a busy machine its pauses.
RECOVERS = 400.0

FIRST = [entry(1), entry(2)]
NEWS = [entry(2), entry(3)]

#: An answer in the shape of Consul's with one wrong type in it each.
WRONG_TYPES = [
    b"null",
    b"{}",
    b"[null]",
    b'[{"Node": [], "Service": {}}]',
    b'[{"Node": {"Node": "n", "Address": "127.0.0.1"}, "Service": {"ID": 7}}]',
    b'[{"Node": {"Node": "n", "Address": "127.0.0.1"},'
    b' "Service": {"ID": "web-1", "Port": "80"}}]',
]


@frozen
class Stage:
    """What a scenario is played on."""

    clock: IReactorTime
    server: ScriptServer
    honest: Honest


@frozen
class Outcome:
    """How a scenario went."""

    lasted: float
    #: Questions that the watch asked while the server misbehaved.
    questions: int
    #: Requests that the server saw of them: Twisted repeats one whose kept
    #: connection turned out to be dead.
    requests: int
    #: Changes of the pool meanwhile.
    changes: Sequence[object]
    #: How long it took until the news was seen.
    recovered: float
    #: What the watch logged.
    said: Sequence[str]


@frozen
class Scenario:
    """What the server does, and what may come of it."""

    #: From the stage to the script by which the server misbehaves.
    script: Callable[[Stage], Script]
    #: How many questions a second are fair.
    rate: float = 1.0
    #: Whether it is a failure, and so something to tell the operator.
    fails: bool = True
    #: Whether nobody even listens.
    closed: bool = False


def always(do: Script) -> Callable[[Stage], Script]:
    """The same to each question."""
    return lambda stage: do


def ignored(asked: Asked) -> None:
    """No answer at all."""


def status(line: str) -> Scenario:
    """An error of HTTP."""
    return Scenario(always(lambda asked: asked.answer(b"out of order", status=line)))


def body(content: bytes, **headers: object) -> Scenario:
    """A 200 with a useless body."""
    return Scenario(always(lambda asked: asked.answer(content, 9, headers=headers)))


def indexed(index: Callable[[Stage], object], rate: float) -> Scenario:
    """The same instances at once, under whatever index."""

    def script(stage: Stage) -> Script:
        return lambda asked: asked.answer(stage.honest.body, index(stage))

    return Scenario(script, rate, fails=False)


def with_headers(rate: float = 1.0, **headers: object) -> Scenario:
    """As Consul does, but for some headers."""
    named = {f"X-Consul-{key.replace('_', '-')}": headers[key] for key in headers}

    def script(stage: Stage) -> Script:
        stage.honest.headers = named
        return stage.honest

    return Scenario(script, rate, fails=False)


def dripping(stage: Stage) -> Script:
    """One byte a second of a body that would take hours."""

    def drip(asked: Asked) -> None:
        if not asked.gone:
            asked.write(b" ")
            stage.clock.callLater(1.0, drip, asked)

    def script(asked: Asked) -> None:
        asked.answer(b"[", 9, length=10_000)
        drip(asked)

    return script


def flooding(stage: Stage) -> Script:
    """A body without end."""

    def flood(asked: Asked) -> None:
        if not asked.gone:
            asked.write(bytes(1 << 16))
            stage.clock.callLater(0.0, flood, asked)

    def script(asked: Asked) -> None:
        asked.answer(b"[", 9, length=10**15)
        flood(asked)

    return script


def cut_body(asked: Asked) -> None:
    """A body shorter than it was said to be, and sound as far as it goes."""
    asked.answer(b"[]", 9, length=99)
    asked.close()


def cut_old_body(asked: Asked) -> None:
    """A body whose end is the connection's, too early."""
    asked.write(b"HTTP/1.0 200 OK\r\n\r\n[")
    asked.close()


def cut_chunks(asked: Asked) -> None:
    """A chunked body whose last chunk never comes."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Consul-Index: 9\r\n\r\n"
    asked.write(head + b"1\r\n[\r\n")
    asked.close()


def lone_leaderless(stage: Stage) -> Script:
    """An answer an hour old, and an error to whoever wants a newer one."""
    stage.honest.headers = {"X-Consul-LastContact": 3_600_000}

    def script(asked: Asked) -> None:
        if "stale" in asked.params:
            stage.honest(asked)
        else:
            asked.answer(b"No cluster leader", status="500 Internal Server Error")

    return script


SCENARIOS = {
    "refuses": Scenario(always(ignored), closed=True),
    "resets": Scenario(always(Asked.reset)),
    "hangs up": Scenario(always(Asked.close)),
    "hangs before the headers": Scenario(always(ignored)),
    "hangs in the headers": Scenario(
        always(lambda asked: asked.write(b"HTTP/1.1 200 OK\r\nX-Cons"))
    ),
    "hangs in the body": Scenario(
        always(lambda asked: asked.answer(b"[", 9, length=99))
    ),
    "sends one byte a second": Scenario(dripping),
    "cuts the body": Scenario(always(cut_body)),
    "cuts a chunked body": Scenario(always(cut_chunks)),
    "cuts a body without a length": Scenario(always(cut_old_body)),
    "speaks no HTTP": Scenario(always(lambda asked: asked.write(b"SSH-2.0-Go\r\n"))),
    "says 400": status("400 Bad Request"),
    "says 403": status("403 Forbidden"),
    "says 429": status("429 Too Many Requests"),
    "says 500": status("500 Internal Server Error"),
    "redirects for good": Scenario(
        always(
            lambda asked: asked.answer(
                b"", status="301 Moved", headers={"Location": asked.target}
            )
        )
    ),
    "redirects for now": Scenario(
        always(
            lambda asked: asked.answer(
                b"[]", 9, status="302 Found", headers={"Location": "http://localhost/"}
            )
        )
    ),
    "says nothing with 204": status("204 No Content"),
    "sends broken JSON": body(b'[{"Node":'),
    "sends nothing with 200": body(b""),
    "sends HTML with 200": body(b"<html>Please log in</html>"),
    "sends what is no gzip": body(b"[]", **{"Content-Encoding": "gzip"}),
    "cuts the gzip": body(
        gzip.compress(b"[" + b" " * 9999 + b"]")[:-15], **{"Content-Encoding": "gzip"}
    ),
    "floods": Scenario(flooding),
    "hides all by ACL": body(b"[]", **{"X-Consul-Results-Filtered-By-ACLs": "true"}),
    **{
        f"sends a wrong type, {number}": body(content)
        for number, content in enumerate(WRONG_TYPES)
    },
    "has index 0": indexed(lambda _: 0, 1.0),
    "has index -1": indexed(lambda _: -1, 1.0),
    "has no index": indexed(lambda _: None, 1.0),
    "has a word for an index": indexed(lambda _: "soon", 1.0),
    "has an index of 5,000 digits": indexed(lambda _: "9" * 5000, 1.0),
    "has an index that goes backwards": indexed(
        lambda stage: int(1e15 - 1000 * stage.clock.seconds()), RATE
    ),
    "has an index that moves 1,000 times a second": indexed(
        lambda stage: int(1e15 + 1000 * stage.clock.seconds()), RATE
    ),
    "has heard from no leader for an hour": with_headers(LastContact=3_600_000),
    "has a nonsensical last contact": with_headers(LastContact="long ago"),
    "has an old answer and no leader": Scenario(lone_leaderless, fails=False),
    "knows no leader": with_headers(KnownLeader="false"),
}


async def play(real: Any, name: str, scenario: Scenario) -> Outcome:
    """Good answer, misbehaviour, news."""
    reactor = FastReactor(real, SPEED)
    honest = Honest(reactor, FIRST)
    server = ScriptServer(reactor, honest)
    [port] = free_ports(1)
    server.listen(port)
    gateway = watched(reactor, ConsulConfig((local(port),)), Question(name))
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
    said = [text for text in map(words, events) if text.startswith(f"{name}: ")]
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
        yield run(play_all, timeout=60.0)


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_pool_changes(outcomes: dict[str, Outcome], name: str) -> None:
    """
    Whatever Consul does short of a whole, valid answer, every pool stays as
    the last good answer left it, and so does one whose answers bring nothing
    new.
    """
    assert outcomes[name].changes == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_consul_is_not_flooded(outcomes: dict[str, Outcome], name: str) -> None:
    """
    A Consul in trouble is asked about once a second at most, and one that
    always has something new five times; and it is asked again at all.
    """
    outcome = outcomes[name]
    fair = SCENARIOS[name].rate * outcome.lasted + BURST + 1
    assert 1 <= outcome.questions <= fair
    assert outcome.requests <= fair + 1


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_news_is_seen(outcomes: dict[str, Outcome], name: str) -> None:
    """
    Once Consul answers as it should, a change is seen without anybody's help.
    """
    assert 0 <= outcomes[name].recovered < RECOVERS


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_log_says_it_once(outcomes: dict[str, Outcome], name: str) -> None:
    """
    A failure is told once for each kind of it, however long it lasts, and its
    end is told as well; what is no failure is not called one.
    """
    said = outcomes[name].said
    failures = [line for line in said if "no answer from Consul" in line]
    ends = [line for line in said if "Consul answers again" in line]
    if SCENARIOS[name].fails:
        assert 1 <= len(failures) <= 2
        assert len(ends) == 1
        assert all("the last good one stays in use" in line for line in failures)
        assert not any("Failure" in line or "object at" in line for line in failures)
    else:
        assert failures == ends == []


async def many(reactor: Any) -> Watched:
    """First 3,000 instances, then one of them fewer and another one more."""
    honest = Honest(reactor, [entry(number) for number in range(3000)])
    server = ScriptServer(reactor, honest)
    server.listen()
    gateway = watched(reactor, ConsulConfig((local(server.port),)), Question("web"))
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
    assert second.altered == ()
