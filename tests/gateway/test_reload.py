"""Another configuration for a gateway that runs."""

from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import pytest
from attrs import evolve
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.build import configure
from lbconsul.config.diff import Plan
from lbconsul.config.model import Config, Mapping
from lbconsul.errors import CannotListen, CannotReload, ConfigError
from lbconsul.net.sweeper import TimeSlicer
from lbconsul.service import Gateway
from tests.support.loopback import accept, connect, listening
from tests.support.ports import free_ports
from tests.support.running_gateway import (
    WEB,
    Started,
    assert_passes,
    is_free,
    local,
    of,
    serve,
    texts,
)
from tests.support.running_proxy import ReactorThread
from tests.support.waiting import eventually


def test_a_gateway_that_does_not_run(running: ReactorThread, no_consul: str) -> None:
    """A gateway that does not run cannot be reloaded."""
    config = configure([no_consul], ["8080:web"])
    gateway = Gateway(running.reactor, config)
    with pytest.raises(CannotReload, match="the gateway does not run"):
        gateway.reload(config)


@pytest.mark.process
@pytest.mark.parametrize("workers", ["1", "2"])
def test_mappings(
    running: ReactorThread, no_consul: str, held: ExitStack, workers: str
) -> None:
    """Queries of removed mappings are no longer asked; shared ones go on."""
    ports = free_ports(3)
    server = held.enter_context(listening())

    def config(*mappings: str) -> Config:
        words = [f"127.0.0.1:{each}" for each in mappings]
        return configure([no_consul], words, workers=workers)

    one, two, three = ports
    first = config(f"{one}:web", f"{two}:mail")
    gateway = Gateway(running.reactor, first)
    with capturedLogs() as events, Started(running, gateway):
        own = running.call(gateway.proxy_factory, Mapping("own"))
        serve(running, gateway, of(server))
        running.call(gateway.registry.replace, ServiceQuery("mail"), [])
        client = held.enter_context(connect(local(one)))
        upstream = held.enter_context(accept(server))
        change = running.call(
            gateway.reload, config(f"{one}:web,attempts=2", f"{three}:web")
        )
        assert [len(change.added), len(change.altered), len(change.removed)] == [
            1,
            1,
            1,
        ]
        assert_passes(client, upstream)
        with connect(local(three)), accept(server):
            pass
        eventually(lambda: is_free(two), "no process listens")
        assert not gateway.registry.answered(ServiceQuery("mail"))
        assert set(gateway._watches._watches) == {WEB, ServiceQuery("own")}
        assert own.mapping in gateway.data_plane.mappings
        assert list(gateway.sockets) == [f"127.0.0.1:{port}" for port in (one, three)]
    assert f"reloaded: {change}" in texts(events)


def test_gradually(running: ReactorThread, no_consul: str, held: ExitStack) -> None:
    """
    A reload may be done in slices. Another reload, or the end, completes it first.
    """
    server, ports = held.enter_context(listening()), free_ports(20)
    every, some = (
        configure([no_consul], [f"127.0.0.1:{each}:web" for each in several])
        for several in (ports, ports[10:])
    )
    gateway = Gateway(running.reactor, some)
    done: list[Plan] = []

    def reload(*configs: Config) -> int:
        """How many are done before the next turn of the reactor, if it is busy."""
        with patch.object(TimeSlicer, "_slice"):
            for each in configs:
                gateway.reload_gradually(each).addCallback(done.append)
            return len(done)

    with capturedLogs() as events, Started(running, gateway):
        serve(running, gateway, of(server))
        assert running.call(reload, every) == 0
        running.call(gateway.proxy_factory, Mapping("own"))
        assert [len(each.added) for each in done] == [10]
        for each in ports:
            client = held.enter_context(connect(local(each)))
            assert_passes(client, held.enter_context(accept(server)))
        assert running.call(reload, some, every, some) == 3
        running.call(lambda: gateway.drain() and None)
        assert [len(each.added) for each in done] == [10, 0, 10, 0]
        assert all(map(is_free, ports))
    assert not any("bug" in text for text in texts(events))


def test_gradually_nothing(
    running: ReactorThread, no_consul: str, held: ExitStack
) -> None:
    """A failure is passed to the caller that waits for the reload."""
    [port] = free_ports(1)
    taken = held.enter_context(listening())
    config, other = (
        configure([no_consul], [f"127.0.0.1:{each}:web"])
        for each in (port, taken.getsockname()[1])
    )
    gateway = Gateway(running.reactor, config)
    failures: list[Failure] = []
    with Started(running, gateway):
        running.call(
            lambda: gateway.reload_gradually(other).addErrback(failures.append)
        )
        eventually(lambda: failures, "it is told")
        assert (gateway.config, is_free(port)) == (config, False)
    assert failures[0].check(CannotListen)


def test_all_or_nothing(
    running: ReactorThread, no_consul: str, held: ExitStack, tmp_path: Path
) -> None:
    """After a failure nothing has changed."""
    one, free = free_ports(2)
    taken = held.enter_context(listening())
    config = configure([no_consul], [f"127.0.0.1:{one}:web"])
    gateway = Gateway(running.reactor, config)
    more = configure([no_consul], [f"127.0.0.1:{free}:web"]).mappings
    busy = f"127.0.0.1:{taken.getsockname()[1]}:web"
    bad = [
        evolve(config, mappings=(*more, *configure([], [busy]).mappings)),
        evolve(config, mappings=more, state_dir="/dev/null"),
        evolve(
            config,
            mappings=more,
            consul=evolve(config.consul, token_file=str(tmp_path / "none")),
        ),
    ]
    with Started(running, gateway):
        served = list(gateway.data_plane.sockets)
        for each in bad:
            with pytest.raises((CannotListen, ConfigError)):
                running.call(gateway.reload, each)
            assert (gateway.config, is_free(free)) == (config, True)
            assert list(gateway.data_plane.sockets) == served


def test_consul(running: ReactorThread, no_consul: str, tmp_path: Path) -> None:
    """
    Another Consul is asked, and snapshots go elsewhere; options that need a restart are
    logged.
    """
    [port] = free_ports(1)
    mapping = f"127.0.0.1:{port}:web"
    config = configure([no_consul], [mapping])
    gateway = Gateway(running.reactor, config)
    with capturedLogs() as events, Started(running, gateway):
        running.call(gateway.reload, config)
        assert not any("watches restarted" in text for text in texts(events))
        other = configure(["127.0.0.1:1"], [mapping], workers="3")
        running.call(gateway.reload, evolve(other, state_dir=str(tmp_path)))
        [watch] = gateway._watches._watches.values()
        assert watch.where == "http://127.0.0.1:1"
        assert watch._snapshot is not None
        assert gateway.config.workers == 1
    said = texts(events)
    assert (
        "Consul's address, the wait, the token or the certificate changed: all"
        " watches restarted"
    ) in said
    assert "--workers cannot be changed by a reload: restart the gateway" in said
