"""What nodes tell of services that have changed; see also `test_fleet`."""

import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from lbconsul.consul.client import ConsulClient, Reply
from lbconsul.consul.node_scan import (
    BURST,
    BYTES,
    LONGEST_PAUSE,
    NodeScan,
    Places,
    Registered,
    reading_nodes,
    reading_services,
)
from lbconsul.errors import UnusableAnswer
from lbconsul.steps import finish

INSTANCES = st.sets(st.tuples(st.sampled_from("mn"), st.sampled_from("123")))
STEPS = st.lists(st.tuples(st.sampled_from("abc"), INSTANCES), max_size=8)


@given(STEPS, st.sets(st.tuples(st.sampled_from("abc"), st.sampled_from("123"))))
def test_what_is_gone(
    steps: list[tuple[str, set[tuple[str, str]]]], listed: set[tuple[str, str]]
) -> None:
    """A service has changed on a node if an instance that it had is not listed there,
    whatever came and went before.
    """
    places, known = Places(), dict[str, set[tuple[str, str]]]()
    for service, instances in steps:
        places.put(service, instances)
        known[service] = instances
    found = [Registered(service, number, 5) for service, number in listed]
    gone = {
        service
        for service, instances in known.items()
        for node, number in instances
        if node == "n" and (service, number) not in listed
    }
    assert set(places.changed("n", found, lambda _: 5)) == gone
    on_node = {name for name, there in known.items() if "n" in dict(there)}
    assert set(places.services("n")) == on_node


def test_what_is_newer() -> None:
    """A service has changed if an instance did after the last answer about it; the
    first answer is still to come for some, and they are asked for anyway.
    """
    found = [Registered("a", "1", 4), Registered("b", "1", 5), Registered("c", "1", 5)]
    last = {"a": 4, "b": 4, "c": 0}
    assert Places().changed("n", found, last.__getitem__) == ["b"]


def test_lists() -> None:
    """The nodes of an answer, and the services of a node, which may not be there."""
    nodes = [{"Node": "n", "Address": "10.0.0.1", "ModifyIndex": 3}]
    assert finish(reading_nodes(Reply(json.dumps(nodes).encode()))) == {"n": 3}
    services = {"web-1": {"Service": "web", "ModifyIndex": 4}}
    body = json.dumps({"Node": nodes[0], "Services": services}).encode()
    assert finish(reading_services(Reply(body))) == [Registered("web", "web-1", 4)]
    assert finish(reading_services(Reply(b"null"))) == []


@pytest.mark.parametrize(
    ("read", "document", "why"),
    [
        (reading_nodes, [{"Node": "n"}], "not a node"),
        (reading_nodes, {}, "instead of a list"),
        (reading_services, {"Services": {"a": {"Service": "a"}}}, "not a service"),
        (reading_services, {"Node": {}}, "without Services"),
    ],
)
def test_unusable(read: Any, document: Any, why: str) -> None:
    """An answer that cannot be right changes nothing."""
    with pytest.raises(UnusableAnswer, match=why):
        finish(read(Reply(json.dumps(document).encode())))


class FakeClient:
    """A client that has the same answer for each node."""

    def __init__(self, clock: Clock, size: int) -> None:
        self.asked, self.clock = list[str](), clock
        self.body = json.dumps({"Services": {}}).encode().ljust(size)

    def ask_list(self, path: str, *_: object) -> Deferred[Reply]:
        self.asked.append(path)
        return succeed(Reply(self.body))


@pytest.mark.parametrize(
    ("size", "least", "most"),
    [(2, BURST, BURST + 25), (int(BYTES), 1, 3), (int(BYTES * 99), 1, 1)],
)
def test_how_fast(size: int, least: int, most: int) -> None:
    """Nodes are looked at one after the other, within a rate of nodes and of bytes."""
    clock = Clock()
    client = FakeClient(clock, size)
    scan = NodeScan(
        clock, cast(ConsulClient, client), "", lambda _: 0, list, lambda: None
    )
    scan.startService()
    scan.look([f"a/{each}" for each in range(300)])
    assert len(client.asked) <= BURST
    clock.pump([0.01] * 110)
    assert least <= len(client.asked) <= most
    assert client.asked[0] == "/v1/catalog/node/a%2F0"
    scan.stopService()
    count = len(client.asked)
    clock.pump([LONGEST_PAUSE] * 3)
    assert len(client.asked) == count
