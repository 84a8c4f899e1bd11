"""Every way in which a catalog misbehaves that we know of, as scripts."""

import gzip
from collections.abc import Callable

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from lbconsul.consul.query_loop import RATE
from tests.support.script_server import Asked, Honest, Script, ScriptServer

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
class Scenario:
    """What the server does, and what may come of it."""

    #: From the stage to the script by which the server misbehaves.
    script: Callable[[Stage], Script]
    #: How many questions a second are fair.
    rate: float = 1.0
    #: Whether it is a failure, and so something to tell the operator.
    fails: bool = True
    #: Whether the port is closed.
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
    """An answer an hour old, and an error for a consistent query."""
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
    "packs what it says": body(gzip.compress(b"[]"), **{"Content-Encoding": "gzip"}),
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
