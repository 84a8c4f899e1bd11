"""Hooks of mappings in HTTP mode: asked and told for each client's connection."""

from collections.abc import Iterator

import pytest
from twisted.logger import capturedLogs, formatEvent

from lbconsul import Deny, Prefer
from tests.support.http_stage import GET, OK, HTTPStage, exchange
from tests.support.loopback import is_refused
from tests.support.own_hooks import HOOKS, OwnHooks
from tests.support.waiting import eventually


@pytest.fixture
def hooks() -> Iterator[OwnHooks]:
    """Hooks that do what the test says."""
    HOOKS.clear()
    yield HOOKS
    HOOKS.clear()


_POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok"


def test_client(hooks: OwnHooks) -> None:
    """
    Hooks are asked once for a client with several requests, which all go to the
    preferred upstream, and told once, with the number of requests.
    """
    with HTTPStage(upstreams=2, hooks=(HOOKS.name,)) as stage:
        hooks.decide = lambda client: Prefer(
            max(client.upstreams, key=lambda each: each.id)
        )
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream(1)
        upstream.hear()
        upstream.say(OK)
        client.hear_message()
        for request in (GET, _POST, GET):
            exchange(client, upstream, request)
        client.close()
        eventually(lambda: len(hooks.ended) == 1, "the end is told")
        [known], [ended] = hooks.clients, hooks.ended
        assert ended.client is known
        assert (ended.requests, ended.upstream, ended.sent) == (4, None, None)
        assert ended.termination == "--"


def test_deny(hooks: OwnHooks) -> None:
    """A denied client is reset before its request is read, and has a line of log."""
    hooks.decide = lambda client: Deny("not today")
    with HTTPStage(hooks=(HOOKS.name,)) as stage, capturedLogs() as events:
        assert is_refused(stage.proxy.connect)
        eventually(lambda: stage.proxy.open() == 0, "it is over")
        said = [formatEvent(each) or "" for each in events]
    assert [each for each in said if "PR" in each and "denied by" in each]
    assert not hooks.ended


def test_without_preference(hooks: OwnHooks) -> None:
    """Hooks without a preference leave requests to the policy, as without hooks."""
    with HTTPStage(hooks=(HOOKS.name,)) as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(OK)
        client.hear_message()
        exchange(client, upstream)
