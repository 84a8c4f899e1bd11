"""Looking up one host name."""

import pytest
from twisted.internet.defer import CancelledError, Deferred

from lbconsul.consul.host_lookup import look_up
from tests.support.fake_resolver import FakeResolver


def _results(found: Deferred[list[str]]) -> list[list[str]]:
    """The result, once there is one."""
    results: list[list[str]] = []
    found.addCallback(results.append)
    return results


def test_all_addresses_of_a_name() -> None:
    """A look-up finds all addresses of a name."""
    resolver = FakeResolver()
    results = _results(look_up(resolver, "a.example"))
    assert results == []
    resolver.answer("a.example", "10.0.0.1", "10.0.0.2")
    assert results == [["10.0.0.1", "10.0.0.2"]]


def test_no_name_at_all() -> None:
    """A text that no resolver takes for a host name cannot be resolved."""
    resolver = FakeResolver()
    assert _results(look_up(resolver, "my..host")) == [[]]
    assert resolver.asked == []


def test_cancelled() -> None:
    """A look-up that is cancelled ends at the resolver too."""
    resolver = FakeResolver()
    found = look_up(resolver, "a.example")
    failures: list[type[Exception] | None] = []
    found.addErrback(lambda failure: failures.append(failure.check(CancelledError)))
    found.cancel()
    assert failures == [CancelledError]
    with pytest.raises(KeyError):  # it waits for no answer
        resolver.answer("a.example", "10.0.0.1")
