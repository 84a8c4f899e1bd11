"""One process that holds connections, or mappings, and measures its own turns.

usage: python -m bench.held idle COUNT SECONDS
       python -m bench.held close COUNT
       python -m bench.held reload COUNT CONSUL

It prints a line of JSON.  ``idle`` and ``close`` need no descriptors: the connections
are as the gateway's, but all of them share one pair of sockets, which is asked in their
place.  A turn of the reactor is measured in processor time, so that whatever else the
machine does is not in it.
"""

import json
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor as installed  # noqa: TID253 (a program)
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread

from lbconsul.balance.instance import Health, Identity, Instance
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Drain, Mapping
from lbconsul.process.garbage import ShortCollections
from lbconsul.proxy.dialer import DialAttempt
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.runtime import ProxyRuntime
from lbconsul.proxy.tcp_session import TcpSession
from lbconsul.tap import Options, makeService
from lbconsul.workers.traffic_messages import write_traffic

reactor: Any = installed

#: How long to let it come to rest, in seconds.
SETTLE = 3.0

#: The longest that closing all of them may take, in seconds.
PATIENCE = 60.0

_MAPPING = Mapping(
    "held", TCPListen("127.0.0.1", 1), drain=Drain(close_on_critical=True)
)


class Turns:
    """How long the reactor's turns take, in seconds of processor time."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._begun = 0.0
        self._calls, self._events = reactor.runUntilCurrent, reactor.doIteration
        reactor.runUntilCurrent = self._begin
        reactor.doIteration = self._end

    def _begin(self) -> None:
        self._begun = time.thread_time()
        self._calls()

    def _end(self, delay: float) -> None:
        self._events(delay)
        self.longest = max(self.longest, time.thread_time() - self._begun)


class _Shared:
    """A connection's socket, in whose place another one is asked."""

    _asked, _peer = socket.socketpair()

    def __init__(self) -> None:
        self.fileno = self._asked.fileno
        self.getsockopt = self._asked.getsockopt

    def recv_into(self, buffer: object) -> int:
        raise BlockingIOError

    def send(self, data: bytes) -> int:
        raise BlockingIOError

    def setsockopt(self, *option: object) -> None:
        """Do nothing: the socket is shared."""

    def close(self) -> None:
        """Keep the shared socket open."""


class _NoObserver:
    """No listener is told of connections."""

    awaits_end = False
    proxies = ()

    def on_ended(self, proxy: MappingProxy) -> None:
        """Nothing to resume."""

    def on_starved(self) -> None:
        """Nothing to pause."""


class _NoPoller:
    """Called for events, which never come."""

    def addReader(self, *each: object) -> None:
        """Not watched, since it has no descriptor of its own."""

    addWriter = removeReader = removeWriter = forget = later = addReader

    def stop(self) -> None:
        """Nothing to stop."""


def _instance(name: str, status: str = "passing") -> Instance:
    identity = Identity("dc1", "node", name)
    health = Health(cast(Any, status))
    return Instance(identity, "127.0.0.1", 1, "127.0.0.1", health=health)


class Holding:
    """Holds so many connections, as a worker does."""

    def __init__(self, count: int) -> None:
        self.registry = Registry(random.random, seconds=reactor.seconds)
        self.runtime = ProxyRuntime(reactor, self.registry, connection_log=False)
        self.runtime._poller = cast(Any, _NoPoller())
        self.answer("passing")
        self._proxy = self.runtime.make(_MAPPING, _NoObserver())
        for _ in range(count):
            _hold(self._proxy)
        self.runtime.start()
        ShortCollections().start()
        LoopingCall(self._report).start(1.0)

    def answer(self, status: str) -> None:
        """Consul says this of all instances."""
        instances = [_instance(str(number), status) for number in range(10)]
        self.registry.replace(ServiceQuery("held"), instances)

    def _report(self) -> None:
        """What a worker does each second."""
        if self.runtime.has_news(_MAPPING):
            write_traffic(0, self.runtime.traffic(_MAPPING))


def _hold(proxy: MappingProxy) -> None:
    """One more connection."""
    client, upstream = (cast(socket.socket, _Shared()) for _ in range(2))
    session = TcpSession(proxy, client, ("127.0.0.1", 1), reactor.seconds())
    proxy.stats.accepted += 1
    proxy.sessions.add(session)
    proxy.connection_limit.taken += 1
    session._dial = DialAttempt(proxy.dialer, session, reactor.seconds())
    session._dial.lease = proxy.dialer.failover.lease((), 3)
    session.on_connected(upstream)


def idle(count: int, seconds: str) -> None:
    """So many connections on which nothing moves, for so long."""
    measured = float(seconds)
    turns, _ = Turns(), Holding(count)

    def begin() -> None:
        turns.longest = 0.0
        reactor.callLater(measured, end, time.process_time())

    def end(cpu: float) -> None:
        percent = 100 * (time.process_time() - cpu) / measured
        _tell(longest=1000 * turns.longest, cpu=percent)

    reactor.callLater(SETTLE, begin)


def close(count: int) -> None:
    """So many connections whose instances all turn critical at once."""
    turns, holding = Turns(), Holding(count)

    def begin() -> None:
        turns.longest = 0.0
        holding.answer("critical")
        look(time.monotonic())

    def look(begun: float) -> None:
        taken = time.monotonic() - begun
        if holding.runtime.open and taken < PATIENCE:
            reactor.callLater(0.01, look, begun)
        else:
            _tell(longest=1000 * turns.longest, left=holding.runtime.open, time=taken)

    reactor.callLater(SETTLE, begin)


def reload(count: int, consul: str) -> None:
    """So many mappings, of which a tenth is altered by a SIGHUP."""
    file = Path(tempfile.mkdtemp(prefix="bench-")) / "lb.toml"
    options = Options()
    _write(file, count, "1h")
    options.parseOptions(["--consul", consul, "--admin=off", "--config", str(file)])
    gateway = makeService(options)
    gateway.privilegedStartService()
    gateway.startService()
    turns = Turns()

    def wait() -> None:
        if gateway.is_serving and gateway.knows(wholly=True):
            reactor.callLater(SETTLE, begin)
        else:
            reactor.callLater(0.1, wait)

    def begin() -> None:
        _write(file, count, "2h")
        turns.longest = 0.0
        begun = time.process_time()
        reading = deferToThread(options.read)
        reading.addCallback(gateway.reload_gradually)
        reading.addCallback(lambda _: reactor.callLater(1.0, end, begun))

    def end(begun: float) -> None:
        taken = 1000 * (time.process_time() - begun)
        _tell(time=taken, longest=1000 * turns.longest)

    wait()


def _write(file: Path, count: int, altered: str) -> None:
    """The same mappings, a tenth of which has this idle limit."""
    lines = []
    for number in range(count):
        lines += [
            "[[map]]",
            f'listen = "127.0.{1 + number // 1000}.1:{20_000 + number % 1000}"',
            f'service = "mapped-{number}"',
            f'idle-timeout = "{"1h" if number % 10 else altered}"',
        ]
    file.write_text("\n".join(lines))


def _tell(**figures: float) -> None:
    print(json.dumps(figures), flush=True)
    reactor.stop()


def main(what: str, count: str, *more: str) -> None:
    """Do one of them, and print what came of it."""
    does: dict[str, Callable[..., None]] = {
        "idle": idle, "close": close, "reload": reload,
    }  # fmt: skip
    does[what](int(count), *more)
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
