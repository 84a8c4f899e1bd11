"""The cases of fabio's behaviour, on the table, the router and the rows alone."""

from collections.abc import Iterator

import pytest

from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.standing import evaluate
from lbconsul.config.build import configure
from lbconsul.config.model import Mapping
from lbconsul.http.head import Limits
from lbconsul.http.path import normalized_path
from lbconsul.http.redirecting import Redirecting
from lbconsul.http.request import RequestHead, RequestParser, request_fields
from lbconsul.http.rewriting import RequestRewriting
from lbconsul.net.cidr import Networks, read_address
from lbconsul.proxy.targets import failover_spec
from lbconsul.tags.model import TagInstance, TagRoute
from lbconsul.tags.overrides import parse_commands
from lbconsul.tags.router import TagRouter
from lbconsul.tags.rows import row_of
from lbconsul.tags.table import TagTable
from lbconsul.tags.tag import TagRules
from tests.tags.cases import CASES, PEER, PREFIX, Answers, Ask, Case, Serves, Shares

RULES = TagRules(datacenter="dc1")
CLIENT = "192.0.2.9"
PORTS = {"A": 8001, "B": 8002, "C": 8003}
[MAPPING] = configure(mappings=["80:-,mode=http,redirect-https=on"]).mappings
BARE = Mapping("", MAPPING.listen, mode="http")


def _instances(case: Case) -> dict[str, tuple[str, Instance]]:
    """The service and the instance of each server, as Consul has them."""
    found = {}
    for name, server in case.servers.items():
        routes = [f"{PREFIX}{each.replace(PEER, CLIENT)}" for each in server.routes]
        instance = Instance(
            Identity("dc1", "n1", name),
            "10.0.0.1",
            PORTS[name],
            "10.0.0.1",
            (*routes, *server.tags),
        )
        found[name] = server.service or name.lower(), instance
    return found


def _table(case: Case) -> TagTable:
    table = TagTable(RULES)
    by_service = dict[str, list[TagInstance]]()
    for name, (service, instance) in _instances(case).items():
        told = TagInstance(
            instance.identity,
            instance.tags,
            usable=case.servers[name].usable,
            address=instance.place,
        )
        by_service.setdefault(service, []).append(told)
    for service, instances in by_service.items():
        table.update(service, instances, 0.0)
    commands = case.commands
    for name, port in PORTS.items():
        commands = commands.replace(f"//{name}/", f"//10.0.0.1:{port}/")
    table.use_commands(*parse_commands([("fabio/config", commands)], RULES))
    return table


def _head(ask: Ask) -> RequestHead:
    text = f"GET {ask.target} HTTP/1.1\r\nHost: {ask.host}\r\n\r\n"
    found = RequestParser(request_fields(), Limits()).parse(text.encode())
    assert found is not None
    return found


class _Asked:
    """What becomes of one request: each outcome with its share."""

    def __init__(self, case: Case, ask: Ask) -> None:
        self._case, self._ask, self._head = case, ask, _head(ask)
        router = TagRouter[TagRoute](is_tls=ask.tls)
        for key, route in _table(case).routes.items():
            if not key.port:
                router.put(key, route)
        self._path = normalized_path(self._head.path)
        fields = self._head.fields
        host = None if fields.host is None else fields.host.name
        request = host, self._path, b"GET", fields
        self.routes = list(router.matching(*request))
        assert router.find(*request) == (self.routes[0] if self.routes else None)
        explained = router.explain(*request).winner
        assert (None if explained is None else explained.value) == (
            self.routes[0] if self.routes else None
        )

    def outcomes(self) -> dict[object, float]:
        """Answers, or the instance with the target that it gets."""
        for route in self.routes:
            found = dict[object, float]()
            for group in route.groups:
                row = row_of(BARE, route.key, group.key)
                if not group.share:
                    for name in self._members(row):
                        found.setdefault(f"{name} {self._sent(row)}", 0.0)
                    continue
                answer = self._answer(row)
                if answer == "next":
                    break
                if answer is not None:
                    found[answer] = group.share
                    continue
                names = list(self._members(row))
                assert len(names) == group.usable
                for name in names:
                    outcome = f"{name} {self._sent(row)}"
                    found[outcome] = found.get(outcome, 0.0) + group.share / len(names)
            else:
                return found if any(found.values()) else {Answers(503): 1.0}
        return {Answers(404): 1.0}

    def _answer(self, row: Mapping) -> Answers | str | None:
        address = read_address(CLIENT)
        assert address is not None
        if row.allow and address not in Networks.of(row.allow):
            return Answers(403)
        if row.deny and address in Networks.of(row.deny):
            return Answers(403)
        redirecting = Redirecting.of(row.rewriting)
        if redirecting is None:
            return None
        scheme = self._ask.forwarded_proto or ("https" if self._ask.tls else "http")
        found = redirecting.location(self._head, self._path, scheme)
        return "next" if found is None else Answers(found[0], found[1].decode())

    def _members(self, row: Mapping) -> Iterator[str]:
        """The instances that the row's pool has."""
        spec = failover_spec(row)
        if not row.service:
            address = row.when_empty.fallback
            yield from (
                name for name, port in PORTS.items() if address.endswith(f":{port}")
            )
        for name, (service, instance) in _instances(self._case).items():
            if service == row.service:
                verdict = evaluate(instance, spec.selections[0].rules)
                if not verdict.is_unselected:
                    yield name

    def _sent(self, row: Mapping) -> str:
        rewriting = RequestRewriting.of(row.rewriting)
        query = self._head.target[len(self._head.path) :]
        if rewriting is None:
            return (self._path + query).decode()
        return rewriting.line(self._head, self._path).split()[1].decode()

    def row(self) -> Mapping:
        """The only row of the first route that is no redirect."""
        for route in self.routes:
            [group] = route.groups
            row = row_of(BARE, route.key, group.key)
            if self._answer(row) is None:
                return row
        raise AssertionError("no row")

    def fields(self) -> dict[str, str]:
        """The fields that are added for the instance."""
        rewriting = RequestRewriting.of(self.row().rewriting)
        lines = b"" if rewriting is None else rewriting.lines(b"", self._path, {})
        return dict(each.split(": ") for each in lines.decode().splitlines())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.number)
def test_cases(case: Case) -> None:
    """Each request is served, answered or shared as fabio does it."""
    for ask in case.asks:
        asked, expected = _Asked(case, ask), ask.expected
        found = asked.outcomes()
        if isinstance(expected, Shares):
            assert found == pytest.approx(expected.parts)
        elif isinstance(expected, Answers):
            assert found == {expected: 1.0}
        else:
            target = expected.target or ask.target
            assert found == {f"{expected.instance} {target}": 1.0}
            assert isinstance(expected, Serves)
            assert asked.row().http.upstream_host == expected.host
            for name, value in expected.fields.items():
                assert asked.fields().get(name, "") == value
