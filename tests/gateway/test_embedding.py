"""What a program can learn of the gateway in it, and order."""

import select
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from twisted.logger import capturedLogs, formatEvent

from lbconsul import CannotOrder, CannotReload, ConfigError, Event, configure
from lbconsul.admin.event_log import EventLog
from lbconsul.balance.instance import Instance
from lbconsul.gateway.embedding import subscribe
from lbconsul.service import Gateway
from tests.support.loopback import PATIENCE, accept, connect, listening, refusing
from tests.support.ports import free_ports
from tests.support.running_gateway import (
    Started,
    assert_passes,
    is_free,
    local,
    of,
    serve,
)
from tests.support.running_proxy import ReactorThread
from tests.support.waiting import eventually


class Stage:
    """A gateway with one mapping and two instances, in a program."""

    def __init__(self, held: ExitStack, reactor: ReactorThread, consul: str) -> None:
        self.reactor = reactor
        self.ports = free_ports(2)
        self.servers = [held.enter_context(listening()) for _ in range(2)]
        self.config = configure([consul], [f"127.0.0.1:{self.ports[0]}:web"])
        self.gateway = Gateway(reactor.reactor, self.config)
        held.enter_context(Started(reactor, self.gateway))
        instances: list[Instance] = [
            of(server, name) for server, name in zip(self.servers, "ab", strict=True)
        ]
        serve(reactor, self.gateway, *instances)
        self.id = instances[0].identity.id

    def standings(self) -> dict[str, str]:
        """What each instance is, by its service id."""
        document = self.reactor.call(self.gateway.status)
        upstreams = document["mappings"][0]["pools"][0]["upstreams"]
        return {each["service_id"]: each["standing"] for each in upstreams}


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A gateway that runs, while there is no Consul."""
    with ExitStack() as held:
        port = held.enter_context(refusing())
        reactor = held.enter_context(ReactorThread())
        yield Stage(held, reactor, f"127.0.0.1:{port}")


def test_status(stage: Stage) -> None:
    """The status is the document of /status, without an admin listener as well."""
    document = stage.reactor.call(stage.gateway.status)
    assert document["gateway"]["state"] == "serving"
    assert document["mappings"][0]["service"] == "web"
    assert stage.standings() == {"a": "serving", "b": "serving"}


def test_orders(stage: Stage) -> None:
    """Upstreams are drained, undrained and ejected by their ids in the status."""
    gateway, call = stage.gateway, stage.reactor.call
    assert call(gateway.drain_upstream, stage.id)
    assert stage.standings()["a"] == "draining"
    assert call(gateway.undrain, stage.id)
    assert stage.standings()["a"] == "serving"
    assert stage.reactor.outcome(lambda: gateway.eject(stage.id))
    assert stage.standings()["a"] == "ejected"
    with pytest.raises(CannotOrder, match="it is already ejected"):
        stage.reactor.outcome(lambda: gateway.eject(stage.id))
    assert not call(gateway.drain_upstream, "dc1/node/none")
    assert not stage.reactor.outcome(lambda: gateway.eject("dc1/node/none"))
    with pytest.raises(ValueError, match="must be DATACENTER/NODE/SERVICE-ID"):
        call(gateway.drain_upstream, "web-1")


def test_unlisten(stage: Stage) -> None:
    """
    A mapping that was added can be taken away: its connections live on, and the others
    are served as before.
    """
    gateway, call = stage.gateway, stage.reactor.call
    [added] = configure([], [f"127.0.0.1:{stage.ports[1]}:web"]).mappings
    call(gateway.listen, added)
    with connect(local(stage.ports[1])) as client:
        [server], _, _ = select.select(stage.servers, [], [], PATIENCE)
        upstream = accept(server)
        call(gateway.unlisten, added)
        eventually(lambda: is_free(stage.ports[1]), "its socket is closed")
        assert_passes(client, upstream)
        upstream.close()
    assert not is_free(stage.ports[0])
    with pytest.raises(ConfigError, match="its address is not one that is listened on"):
        call(gateway.unlisten, added)


def test_unlisten_too_early(stage: Stage) -> None:
    """A gateway that does not run cannot take a mapping away."""
    other = Gateway(stage.reactor.reactor, stage.config)
    with pytest.raises(CannotReload, match="does not run"):
        other.unlisten(stage.config.mappings[0])


def test_events(stage: Stage) -> None:
    """An observer gets each event, until it wants no more."""
    events = list[Event]()
    cancel = stage.reactor.call(stage.gateway.subscribe, events.append)
    stage.reactor.call(stage.gateway.drain_upstream, stage.id)
    [event] = events
    assert (event.kind, event.upstream) == ("drained", stage.id)
    for _ in range(2):
        stage.reactor.call(cancel)
    stage.reactor.call(stage.gateway.undrain, stage.id)
    assert len(events) == 1


def test_broken_observer() -> None:
    """An observer that raises an exception is named, and others get the event."""
    log, events = EventLog(lambda: 0.0), list[Event]()

    def fail(event: Event) -> None:
        raise KeyError(event.kind)

    subscribe(log, fail)
    subscribe(log, events.append)
    with capturedLogs() as said:
        log.add("drained", "web-1 drained")
    assert [each.kind for each in events] == ["drained"]
    [line] = [formatEvent(each) or "" for each in said]
    assert "fail" in line
    assert "which has subscribed to events, raised KeyError: 'drained'" in line


def test_events_of_observers() -> None:
    """An event that an observer causes comes to all after the one before it."""
    log, kinds = EventLog(lambda: 0.0), list[str]()

    def cause(event: Event) -> None:
        if event.kind == "first":
            log.add("second", "caused by the first")

    subscribe(log, cause)
    subscribe(log, lambda event: kinds.append(event.kind))
    log.add("first", "comes first")
    assert kinds == ["first", "second"]


def test_metrics(stage: Stage) -> None:
    """
    A program's own registry shows the gateway's figures beside its own, read in
    whatever thread.
    """
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    registry.register(stage.reactor.call(lambda: stage.gateway.collector))
    found: dict[str, Any] = {}

    def read() -> None:
        found["text"] = generate_latest(registry).decode()

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    lines = found["text"].splitlines()
    name = f'mapping="127.0.0.1:{stage.ports[0]}:web",service="web"'
    assert f"lbconsul_connections_accepted_total{{{name}}} 0.0" in lines
    upstream = f'lbconsul_upstream_connections_open{{{name},upstream="{stage.id}"}} 0.0'
    assert upstream in lines
    names = [each.split("{")[0].split(" ")[0] for each in lines]
    assert names.count("process_open_fds") == 1
    assert not [each for each in names if each.startswith("lbconsul_admin_")]
