"""Keys of Consul's store: what an answer says, and what a watch tells of them."""

import json
from base64 import b64encode
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThreadPool
from twisted.logger import capturedLogs, formatEvent

from lbconsul.config.consul import ConsulConfig
from lbconsul.consul.client import ConsulClient, Reply, consul_client
from lbconsul.consul.key_watch import KeyValue, key_watch, reading
from lbconsul.errors import UnusableAnswer
from lbconsul.steps import finish
from tests.support.consul_agent import ConsulAgent
from tests.support.in_reactor import FastReactor, run, until
from tests.support.waiting import PATIENCE
from tests.support.watching import local

#: How long news may take, in our seconds.
SOON = PATIENCE


def entry(key: str, value: bytes | None = b"", index: int = 1) -> dict[str, Any]:
    """A key as Consul writes it."""
    text = None if value is None else b64encode(value).decode()
    return {"Key": key, "Value": text, "ModifyIndex": index, "Flags": 0}


def read(*entries: object, prefix: str = "a") -> list[KeyValue]:
    """What an answer with these says."""
    return list(finish(reading(json.dumps(entries).encode(), prefix)))


def test_keys_below_a_prefix() -> None:
    """The prefix is that of a folder, or a key; folders themselves are left out."""
    found = read(
        entry("a/z.pem", b"z", 7),
        entry("a/", None),
        entry("ab/x.pem"),
        entry("a/b/c.pem", None),
        entry("a", b"itself"),
    )
    assert found == [
        KeyValue("a", b"itself", 1),
        KeyValue("a/b/c.pem", b"", 1),
        KeyValue("a/z.pem", b"z", 7),
    ]
    assert "itself" not in repr(found)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (entry("a") | {"Value": "%%"}, "a is not base64"),
        (entry("a") | {"Value": 1}, "an entry is not a key with a value"),
        ({"Key": "a"}, "an entry is not a key with a value"),
    ],
)
def test_what_is_no_key(wrong: object, why: str) -> None:
    """An answer that cannot be right counts as none."""
    with pytest.raises(UnusableAnswer, match=why):
        read(wrong)


@pytest.fixture(scope="module")
def agent(consul_binary: str) -> Iterator[ConsulAgent]:
    """An agent that lets only those with a token read keys."""
    acl = {
        "enabled": True,
        "default_policy": "deny",
        "tokens": {"master": "00000000-0000-0000-0000-0000000000aa"},
    }
    config = {"primary_datacenter": "dc1", "acl": acl}
    with ConsulAgent(consul_binary, extra_config=config) as made:
        yield made


def put(agent: ConsulAgent, key: str, value: bytes) -> None:
    """Set a key."""
    assert agent.api("PUT", f"/v1/kv/{key}", value)[0] == 200


def delete(agent: ConsulAgent, prefix: str) -> None:
    """Delete all keys with a prefix."""
    assert agent.api("DELETE", f"/v1/kv/{prefix}?recurse")[0] == 200


@pytest.mark.consul
def test_a_real_consul(agent: ConsulAgent) -> None:
    """Each change is told as it comes, and nothing else; other keys do not count."""
    heard: list[list[tuple[str, bytes]]] = []

    def changed(prefix: str, found: tuple[KeyValue, ...]) -> None:
        assert prefix == "certs"
        heard.append([(each.key, each.value) for each in found])

    async def scenario(reactor: Any) -> None:
        config = ConsulConfig((local(agent.port),), token=agent.token or "")
        client = consul_client(reactor, config)
        watch = key_watch(reactor, client, lambda: 0.5, "certs", changed)
        watch.startService()
        steps = (
            lambda: put(agent, "certs/a", b"one"),
            lambda: put(agent, "certs/b", b"two"),
            lambda: delete(agent, "certs/"),
            lambda: put(agent, "certs/c", b"three"),
            # A token that may not read them is told that there are none.
            lambda: watch.use_client(
                consul_client(reactor, ConsulConfig((local(agent.port),)))
            ),
        )
        try:
            put(agent, "certs-of-others/a", b"other")
            for count, step in enumerate(steps, 1):
                await until(reactor, partial(lambda at: len(heard) == at, count), SOON)
                step()
            await until(reactor, lambda: len(heard) == 6, SOON)
        finally:
            await watch.stopService()

    run(scenario, timeout=5 * PATIENCE)
    a, b, c = (f"certs/{name}" for name in "abc")
    assert heard == [
        [],
        [(a, b"one")],
        [(a, b"one"), (b, b"two")],
        [],
        [(c, b"three")],
        [],
    ]


@pytest.mark.consul
def test_a_consul_that_goes_and_comes(consul_binary: str) -> None:
    """What fails is told once, and the last answer stays."""
    heard: list[list[str]] = []

    def changed(prefix: str, found: tuple[KeyValue, ...]) -> None:
        heard.append([each.key for each in found])

    async def scenario(real: Any) -> None:
        reactor = FastReactor(real, 10.0)
        client = consul_client(reactor, ConsulConfig((local(own.port),)))
        watch = key_watch(reactor, client, lambda: 0.5, "certs", changed)
        watch.startService()
        try:
            await until(real, lambda: heard, SOON)
            assert not watch.error
            own.kill()
            await until(real, lambda: watch.error, SOON)
            await deferToThreadPool(real, real.getThreadPool(), own.restart)
            await until(real, lambda: not watch.error, SOON)
        finally:
            await watch.stopService()

    with ConsulAgent(consul_binary, persistent=True) as own:
        put(own, "certs/a", b"one")
        with capturedLogs() as events:
            run(scenario, timeout=5 * PATIENCE)
    assert heard == [["certs/a"]]
    said = [formatEvent(each) for each in events]
    assert any("the last answer stays in use" in each for each in said)
    assert any("consul:certs: Consul answers again, after" in each for each in said)


class Behind(ConsulClient):
    """Answers with these indexes and keys; without keys it fails."""

    def __init__(self, *replies: tuple[str, list[object] | None]) -> None:
        self.replies = list(replies)
        self.asked: list[bool] = []

    @property
    def addresses(self) -> int:
        return 1

    def where(self, address: int) -> str:
        return "http://consul"

    def ask_keys(
        self, prefix: str, index: int, address: int, *, stale: bool = True
    ) -> Deferred[Reply]:
        if not self.replies:
            return Deferred()
        self.asked.append(stale)
        number, keys = self.replies.pop(0)
        if keys is None:
            return fail(UnusableAnswer("500: No cluster leader"))
        return succeed(Reply(json.dumps(keys).encode(), number))


def test_a_server_that_has_just_started() -> None:
    """
    It answers before it has replayed all of its log: no key is missing meanwhile.
    """
    all_keys: list[object] = [entry("certs/a"), entry("certs/b")]
    client = Behind(
        ("9", all_keys), ("4", all_keys[:1]), ("", None), ("4", []), ("9", all_keys)
    )
    heard: list[int] = []
    clock = Clock()
    watch = key_watch(
        clock, client, lambda: 0.5, "certs", lambda _, found: heard.append(len(found))
    )
    watch.startService()
    clock.pump([0.5] * 20)
    assert client.asked == [True, True, False, True, False]
    assert heard == [2]
    watch.stopService()
