"""Hooks of mappings of connections: asked, told, and heeded."""

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.logger import capturedLogs, formatEvent

from lbconsul import Deny, Prefer, UpstreamView
from lbconsul.net.proxy_v2 import build_v2
from lbconsul.proxy.hooked_session import client_of
from tests.support.loopback import (
    accept,
    is_refused,
    listening,
    receive,
    receive_all,
    reset,
    was_reset,
)
from tests.support.own_hooks import HOOKS, OwnHooks
from tests.support.running_proxy import RunningProxy
from tests.support.tls import hello
from tests.support.upstreams import instance
from tests.support.waiting import eventually


@pytest.fixture
def hooks() -> Iterator[OwnHooks]:
    """Hooks that do what the test says."""
    HOOKS.clear()
    yield HOOKS
    HOOKS.clear()


class Stage:
    """Two upstreams, and a mapping with hooks before them."""

    def __init__(self, **options: Any) -> None:
        self.servers = {name: listening() for name in ("a", "b")}
        instances = [
            instance(name, each.getsockname()[1]) for name, each in self.servers.items()
        ]
        self.proxy = RunningProxy(*instances, hooks=(HOOKS.name,), **options)

    def __enter__(self) -> "Stage":
        self.proxy.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.proxy.__exit__(*error)
        for each in self.servers.values():
            each.close()

    def id(self, name: str) -> str:
        """The id of an upstream."""
        pool = self.proxy.mapped.dialer.failover.pools[0]
        return next(each.id for each in pool.upstreams() if each.service_id == name)


def _id(upstream: UpstreamView) -> str:
    return upstream.id


def _wait_for_ends(hooks: OwnHooks, count: int) -> None:
    eventually(lambda: len(hooks.ended) == count, f"{count} ends are told")


def test_connection(hooks: OwnHooks) -> None:
    """A hook learns who comes, and at the end what has become of the connection."""
    hooks.decide = lambda client: Prefer(
        max(client.upstreams, key=lambda each: each.id)
    )
    with Stage() as stage:
        client = stage.proxy.connect()
        client.sendall(b"question")
        upstream = accept(stage.servers["b"])
        assert receive(upstream, 8) == b"question"
        upstream.sendall(b"answer")
        upstream.close()
        assert receive_all(client) == b"answer"
        address = client.getsockname()
        client.close()
        _wait_for_ends(hooks, 1)
        [known], [ended] = hooks.clients, hooks.ended
        assert (known.address, known.port) == address
        assert (known.service, known.mapping) == ("web", str(stage.proxy.mapping))
        assert (known.server_name, known.via, known.common_name) == ("", "", "")
        assert ended.client is known
        assert ended.upstream is not None and ended.upstream.service_id == "b"
        assert (ended.received, ended.sent, ended.retries) == (8, 6, 0)
        assert (ended.termination, ended.requests) == ("--", None)
        assert ended.seconds >= 0


def test_prefer(hooks: OwnHooks) -> None:
    """All clients go to the upstream that is preferred, whatever its load."""
    with Stage() as stage:
        hooks.decide = lambda client: Prefer(stage.id("b"))
        for _ in range(6):
            stage.proxy.connect()
        stage.proxy.wait_until_open(6)
        eventually(lambda: stage.proxy.opens() == {"a": 0, "b": 6}, "all go to one")


def test_prefer_in_vain(hooks: OwnHooks) -> None:
    """
    Where the preferred upstream is full, refuses, or is none, the client is served by
    another one.
    """
    with Stage(max_connections_per_upstream=1) as stage:
        hooks.decide = lambda client: Prefer(stage.id("b"))
        for _ in range(2):
            stage.proxy.connect()
        eventually(lambda: stage.proxy.opens() == {"a": 1, "b": 1}, "both get one")
    hooks.clear()
    with Stage() as stage:
        stage.servers["b"].close()
        hooks.decide = lambda client: Prefer(stage.id("b"))
        client = stage.proxy.connect()
        eventually(lambda: stage.proxy.opens() == {"a": 1, "b": 0}, "another is tried")
        reset(client)
        _wait_for_ends(hooks, 1)
        assert hooks.ended[0].retries == 1
        hooks.decide = lambda client: Prefer("dc/node/none")
        stage.proxy.connect()
        stage.proxy.wait_until_open(1)


def test_deny(hooks: OwnHooks) -> None:
    """A denied client is reset; the log says which hook denied it, and why."""
    hooks.decide = lambda client: Deny("not today")
    with Stage() as stage:
        with capturedLogs() as events:
            assert is_refused(stage.proxy.connect)
            stage.proxy.wait_until_open(0)
        [line] = [formatEvent(each) or "" for each in events if "termination" in each]
        assert line.endswith(f' retries=0 PR error="denied by {HOOKS.name}: not today"')
        assert not hooks.ended
        assert stage.proxy.mapped.stats.endings["PR"] == 1


def test_no_upstream(hooks: OwnHooks) -> None:
    """A client that finds no upstream has an end, too."""
    with Stage() as stage:
        for each in stage.servers.values():
            each.close()
        assert not receive_all(stage.proxy.connect())
        _wait_for_ends(hooks, 1)
        [ended] = hooks.ended
        assert (ended.upstream, ended.termination, ended.retries) == (None, "SC", 2)


def test_broken_hooks(hooks: OwnHooks) -> None:
    """Hooks that raise exceptions end no connection."""

    def fail(*arguments: object) -> None:
        raise RuntimeError

    hooks.decide = hooks.on_ended = fail
    with Stage() as stage, capturedLogs() as events:
        client = stage.proxy.connect()
        stage.proxy.wait_until_open(1)
        reset(client)
        stage.proxy.wait_until_open(0)
        _wait_for_ends(hooks, 1)
    said = [formatEvent(each) or "" for each in events if "extension" in each]
    assert [each.split(" (")[0] for each in said] == [
        f"{HOOKS.name}: on_accept raised RuntimeError",
        f"{HOOKS.name}: on_end raised RuntimeError",
    ]


def test_after_a_handshake(hooks: OwnHooks) -> None:
    """
    Behind a proxy, or with a server name, hooks are asked once it is known who the
    client is.
    """
    header = build_v2(("192.0.2.1", 50000), ("192.0.2.2", 443))
    with Stage(accept_proxy=("127.0.0.0/8",)) as stage:
        client = stage.proxy.connect()
        client.sendall(header)
        stage.proxy.wait_until_open(1)
        eventually(lambda: len(hooks.clients) == 1, "hooks are asked")
        [known] = hooks.clients
        assert (known.address, known.port) == ("192.0.2.1", 50000)
        assert known.via == "{}:{}".format(*client.getsockname())
    hooks.clear()
    routes: dict[str, dict[str, Any]] = {"localhost": {}}
    with Stage(mode="sni", routes=routes, allow=("127.0.0.0/8",)) as stage:
        client = stage.proxy.connect()
        client.sendall(hello("localhost"))
        eventually(lambda: len(hooks.clients) == 1, "hooks are asked")
        assert hooks.clients[0].server_name == "localhost"
        hooks.decide = lambda client: Deny()
        other = stage.proxy.connect()
        other.sendall(hello("localhost"))
        assert was_reset(other)
        reset(client)
        _wait_for_ends(hooks, 1)


def test_mapped_address() -> None:
    """An IPv4 address that came as an IPv6 one is written as IPv4."""
    with Stage() as stage:
        proxy = stage.proxy.mapped
        assert client_of(proxy, ("::ffff:192.0.2.1", 1), None).address == "192.0.2.1"
        assert client_of(proxy, ("2001:db8::1", 1, 0, 0), None).address == "2001:db8::1"
        assert client_of(proxy, "", None).port == 0
