"""`--check --online` against a Consul that takes its time."""

from collections.abc import Callable
from typing import Any

import pytest
from attrs import Factory, define
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.build import configure
from lbconsul.gateway.online_check import AT_ONCE, WITHIN, OnlineCheck

OVER = f"Consul did not answer every query within {WITHIN:g} s"


@define
class SlowConsul:
    """Answers the paths that `answers` has, and nothing else ever."""

    addresses: int
    answers: dict[str, bytes]
    asked: list[str] = Factory(list)

    def where(self, address: int) -> str:
        return f"http://consul-{address}"

    def page(self, path: str, datacenter: str, address: int) -> Deferred[bytes]:
        return self._answer(path)

    def ask(self, query: ServiceQuery, index: int, address: int) -> Deferred[Any]:
        return self._answer(query.service)

    async def close(self) -> None:
        """Nothing is kept."""

    def _answer(self, what: str) -> Deferred[Any]:
        self.asked.append(what)
        found = self.answers.get(what)
        return Deferred() if found is None else succeed(found)


@pytest.fixture
def checked() -> Callable[..., tuple[OnlineCheck, list[str]]]:
    """A check after all of its time, and what Consul was asked."""

    def check(
        consul: SlowConsul, services: int, *, token: str = ""
    ) -> tuple[OnlineCheck, list[str]]:
        mappings = [f"{8000 + each}:web-{each}" for each in range(services)]
        options = {"token": token} if token else {}
        config, clock = configure([], mappings, **options), Clock()
        found = OnlineCheck(clock, config, consul)  # type: ignore[arg-type]
        done = Deferred.fromCoroutine(found.finish())
        clock.advance(WITHIN)
        assert done.called
        assert not clock.getDelayedCalls()
        return found, consul.asked

    return check


def test_it_is_reached_by_no_address(checked: Any) -> None:
    """Of many addresses that hang no further one is asked when the time is over."""
    check, asked = checked(SlowConsul(9, {}), 1)
    assert check.problems == [OVER]
    assert len(asked) == 1


def test_it_hangs_over_the_token(checked: Any) -> None:
    """A token of which Consul says nothing is no token that it takes."""
    consul = SlowConsul(1, {"/v1/status/leader": b'"a"'})
    check, _ = checked(consul, 1, token="secret")
    assert check.found == ["Consul at http://consul-0 answers"]
    assert check.problems == [OVER]


@pytest.mark.parametrize("services", [1, AT_ONCE, 3 * AT_ONCE])
def test_it_hangs_over_services(services: int, checked: Any) -> None:
    """Services that hang are one line; when the time is over none is asked for."""
    consul = SlowConsul(1, {"/v1/status/leader": b'"a"'})
    check, asked = checked(consul, services)
    assert check.problems == [OVER]
    assert len(asked) == 1 + min(services, AT_ONCE)


def test_routes() -> None:
    """Each route is checked; a mapping without a service has nothing to check."""
    answers = {"/v1/status/leader": b'"a"', "/v1/catalog/services": b"{}"}
    consul = SlowConsul(1, answers)
    config = configure([], ["443:-,mode=sni"], ["443:a.com=a", "443:b.com=b"])
    check = OnlineCheck(Clock(), config, consul)  # type: ignore[arg-type]
    Deferred.fromCoroutine(check.finish())
    assert consul.asked == ["/v1/status/leader", "a", "b"]
