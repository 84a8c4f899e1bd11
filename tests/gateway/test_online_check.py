"""`--check --online` against a Consul that takes its time."""

import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.build import configure
from lbconsul.consul.client import Reply
from lbconsul.gateway.online_check import AT_ONCE, WITHIN, OnlineCheck
from tests.support.certificates import Authority, together

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

    def ask_keys(self, prefix: str, index: int, address: int) -> Deferred[Reply]:
        return self._answer(prefix).addCallback(Reply)

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


def test_certificates(tmp_path: Path) -> None:
    """The certificates among Consul's keys are counted; what is wrong is told."""
    authority = Authority(tmp_path)
    issued = authority.issue("www.example.com")
    pem = together(tmp_path / "a.pem", issued.cert, issued.key)
    keys = [
        {"Key": f"good/{key}", "Value": value, "ModifyIndex": 1}
        for key, value in (
            ("a", b64encode(Path(pem).read_bytes()).decode()),
            ("b", ""),
        )
    ]
    answers = {
        "/v1/status/leader": b'"a"',
        "/v1/catalog/services": b"{}",
        "good": json.dumps(keys).encode(),
        "bad": b"{}",
    }
    mappings = ["80:x,tls=consul:good", "81:x,tls=consul:bad", f"82:x,tls={pem}"]
    config = configure([], mappings)
    check = OnlineCheck(
        Clock(),
        config,
        SlowConsul(1, answers),  # type: ignore[arg-type]
    )
    Deferred.fromCoroutine(check.finish())
    assert check.found[1] == "80:x: 1 certificates in consul:good"
    assert "80:x: consul:good/a: the chain is missing" in check.found[2]
    assert check.problems == [
        "81:x: no answer for consul:bad: JSON, but dict instead of a list",
        "80:x: tls consul:good/b: holds no PEM certificate",
    ]


def test_keys_that_hang() -> None:
    """Keys of which Consul says nothing end with the time of the check."""
    config, clock = configure([], ["80:x,tls=consul:certs"]), Clock()
    consul = SlowConsul(1, {"/v1/status/leader": b'"a"'})
    check = OnlineCheck(clock, config, consul)  # type: ignore[arg-type]
    Deferred.fromCoroutine(check.finish())
    clock.advance(WITHIN)
    assert check.problems == [OVER]
    assert consul.asked[-1] == "certs"
