"""Watches of a real Consul: its answers, access rules, and outages."""

from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import capturedLogs, formatEvent

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.consul import ConsulConfig
from tests.support.certificates import Authority
from tests.support.consul_agent import ConsulAgent
from tests.support.in_reactor import FastReactor, run, until
from tests.support.waiting import PATIENCE
from tests.support.watching import Watched, local, watched

pytestmark = pytest.mark.consul

#: How many times faster than ours the time of most watches here is, so that
#: their backoff ends soon.
SPEED = 10.0

#: How long news may take, in our seconds; a busy machine takes its time.
SOON = PATIENCE

#: The token that may do anything, where there are ACLs.
MASTER = "00000000-0000-0000-0000-0000000000aa"

T = TypeVar("T")

Scene = Callable[[Any, Watched], Coroutine[Any, Any, T]]


def watching(
    config: ConsulConfig, query: ServiceQuery, scene: Scene[T], speed: float = SPEED
) -> T:
    """What `scene` returns, played while a watch of `query` runs."""

    async def scenario(real: Any) -> T:
        reactor = FastReactor(real, speed)
        gateway = watched(reactor, config, query)
        gateway.watch.startService()
        try:
            return await scene(real, gateway)
        finally:
            await gateway.watch.stopService()

    return run(scenario, timeout=5 * PATIENCE)


def register(agent: ConsulAgent, service: str, number: int = 1, **of: Any) -> None:
    """Register an instance, with a TTL check that passes."""
    check = {"CheckID": f"{service}-{number}", "TTL": "1h", "Status": "passing"}
    made = {
        "Name": service,
        "ID": f"{service}-{number}",
        "Address": "127.0.0.1",
        "Port": 8000 + number,
        "Check": check,
        **of,
    }
    done(agent.api("PUT", "/v1/agent/service/register", made))


def deregister(agent: ConsulAgent, service: str, number: int = 1) -> None:
    """The end of an instance."""
    done(agent.api("PUT", f"/v1/agent/service/deregister/{service}-{number}"))


def done(answer: tuple[int, Any, Any]) -> Any:
    """Consul's answer, if it carried the request out."""
    status, _, said = answer
    assert status == 200, said
    return said


@pytest.fixture(scope="module")
def guarded(consul_binary: str) -> Iterator[ConsulAgent]:
    """An agent with ACLs, by default deny, and one service."""
    acl = {
        "enabled": True,
        "default_policy": "deny",
        "tokens": {"master": MASTER, "agent": MASTER, "default": ""},
    }
    config = {"acl": acl, "primary_datacenter": "dc1"}
    with ConsulAgent(consul_binary, extra_config=config) as agent:
        register(agent, "vault")
        yield agent


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority of the certificates."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure(consul_binary: str, authority: Authority) -> Iterator[ConsulAgent]:
    """An agent with HTTPS, which demands certificates of its clients."""
    own = authority.issue("server.dc1.consul", "127.0.0.1")
    config = {
        "ca_file": authority.file,
        "cert_file": own.cert,
        "key_file": own.key,
        "verify_incoming": True,
    }
    with ConsulAgent(consul_binary, extra_config=config) as agent:
        register(agent, "safe")
        yield agent


class TestNews:
    """What happens to a service is seen while it happens."""

    def test_registrations(self, consul: ConsulAgent) -> None:
        """
        Instances join when they are registered and leave when they are not
        any more, each at once.
        """

        async def scene(reactor: Any, gateway: Watched) -> int:
            await until(reactor, gateway.answered, SOON)
            assert gateway.ids() == set()
            register(consul, "coming", 1)
            await until(reactor, lambda: gateway.ids() == {"coming-1"}, SOON)
            register(consul, "coming", 2)
            await until(
                reactor, lambda: gateway.ids() == {"coming-1", "coming-2"}, SOON
            )
            deregister(consul, "coming", 1)
            await until(reactor, lambda: gateway.ids() == {"coming-2"}, SOON)
            deregister(consul, "coming", 2)
            await until(reactor, lambda: gateway.ids() == set(), SOON)
            return gateway.client.asked

        config = ConsulConfig((local(consul.port),))
        asked = watching(config, ServiceQuery("coming"), scene, 1.0)
        assert 5 <= asked <= 20

    def test_checks_and_maintenance(self, consul: ConsulAgent) -> None:
        """
        A critical instance or one in maintenance gets no connections, one with a
        warning does, and the reason is shown.
        """

        async def scene(reactor: Any, gateway: Watched) -> list[tuple[bool, str]]:
            seen: list[tuple[bool, str]] = []

            async def after(path: str) -> None:
                before = len(gateway.registry.changes)
                done(consul.api("PUT", path))
                await until(
                    reactor, lambda: len(gateway.registry.changes) > before, SOON
                )
                [upstream] = pool()
                seen.append((upstream.serving, upstream.verdict.reason))

            def pool() -> Any:
                [pool] = gateway.registry._pools.values()
                return pool.upstreams()

            await until(reactor, lambda: gateway.serving() == {"sick-1"}, SOON)
            await after("/v1/agent/check/warn/sick-1?note=slow")
            await after("/v1/agent/check/fail/sick-1?note=dead")
            await after("/v1/agent/check/pass/sick-1")
            maintenance = "/v1/agent/service/maintenance/sick-1"
            await after(f"{maintenance}?enable=true&reason=new+disk")
            await after(f"{maintenance}?enable=false")
            return seen

        register(consul, "sick")
        try:
            config = ConsulConfig((local(consul.port),))
            assert watching(config, ServiceQuery("sick"), scene) == [
                (True, "check 'sick-1' warning: slow"),
                (False, "check 'sick-1' critical: dead"),
                (True, "passing"),
                (False, "maintenance: new disk"),
                (True, "passing"),
            ]
        finally:
            deregister(consul, "sick")

    def test_filter_near_and_datacenter(self, consul: ConsulAgent) -> None:
        """
        A filter in Consul's own language leaves only what it selects, and a
        datacenter and a node to be near to are understood.
        """

        async def scene(reactor: Any, gateway: Watched) -> set[str]:
            await until(reactor, gateway.answered, SOON)
            return gateway.ids()

        register(consul, "picked", 1, Tags=["v 1"], Meta={"team": "a&b"})
        register(consul, "picked", 2, Tags=["v 2"])
        try:
            config = ConsulConfig((local(consul.port),))
            for filter, ids in (
                ('"v 1" in Service.Tags', {"picked-1"}),
                ('Service.Meta.team == "a&b"', {"picked-1"}),
                ('"v 2" in Service.Tags', {"picked-2"}),
                ("", {"picked-1", "picked-2"}),
            ):
                query = ServiceQuery("picked", "dc1", filter, consul.node)
                assert watching(config, query, scene) == ids
        finally:
            deregister(consul, "picked", 1)
            deregister(consul, "picked", 2)

    def test_a_query_consul_does_not_understand(self, consul: ConsulAgent) -> None:
        """The log has Consul's own words about a filter that Consul cannot parse."""

        async def scene(reactor: Any, gateway: Watched) -> str:
            with capturedLogs() as said:
                await until(reactor, lambda: len(said) > 0, SOON)
            return formatEvent(said[0])

        config = ConsulConfig((local(consul.port),))
        line = watching(config, ServiceQuery("web", filter="Service.Tags ="), scene)
        assert "500: Failed to create boolean expression" in line

    def test_an_unknown_datacenter(self, consul: ConsulAgent) -> None:
        """
        An unknown datacenter is a failure in Consul's words, and not an empty service.
        """

        async def scene(reactor: Any, gateway: Watched) -> tuple[bool, str]:
            with capturedLogs() as said:
                await until(reactor, lambda: gateway.client.asked >= 3, SOON)
            return gateway.answered(), formatEvent(said[0])

        config = ConsulConfig((local(consul.port),))
        answered, line = watching(config, ServiceQuery("web", "dc9"), scene)
        assert not answered
        assert line.endswith("500: No path to datacenter; waiting for the first answer")


class TestACLs:
    """A Consul that shows nothing without a token."""

    def token(self, agent: ConsulAgent, name: str) -> tuple[str, str]:
        """The accessor and the secret of a token that may read everything."""
        rules = 'service_prefix "" {policy="read"} node_prefix "" {policy="read"}'
        policy = {"Name": name, "Rules": rules}
        done(agent.api("PUT", "/v1/acl/policy", policy))
        made = done(agent.api("PUT", "/v1/acl/token", {"Policies": [{"Name": name}]}))
        return made["AccessorID"], made["SecretID"]

    async def sees(self, reactor: Any, gateway: Watched) -> set[str]:
        """What the first good answer holds."""
        await until(reactor, gateway.answered, SOON)
        return gateway.ids()

    def test_without_a_token(self, guarded: ConsulAgent) -> None:
        """
        Without a token there is nothing to see: this Consul hides it all
        without a word.
        """
        config = ConsulConfig((local(guarded.port),))
        assert watching(config, ServiceQuery("vault"), self.sees) == set()

    def test_with_a_wrong_token(self, guarded: ConsulAgent) -> None:
        """
        A token that Consul does not know is refused, and that is said once.
        """

        async def scene(reactor: Any, gateway: Watched) -> list[str]:
            with capturedLogs() as said:
                await until(reactor, lambda: gateway.client.asked >= 4, SOON)
            assert not gateway.answered()
            return [formatEvent(event) for event in said]

        config = ConsulConfig((local(guarded.port),), token=MASTER[:-2] + "bb")
        [line] = watching(config, ServiceQuery("vault"), scene)
        assert line.endswith("403: ACL not found; waiting for the first answer")

    def test_with_the_right_token(self, guarded: ConsulAgent, tmp_path: Path) -> None:
        """
        With a token that may read, as a text or from a file, all is seen.
        """
        _, secret = self.token(guarded, "right")
        file = tmp_path / "token"
        file.write_text(f"{secret}\n")
        sites = (local(guarded.port),)
        for config in (
            ConsulConfig(sites, token=secret),
            ConsulConfig(sites, token_file=str(file)),
        ):
            assert watching(config, ServiceQuery("vault"), self.sees) == {"vault-1"}

    def test_a_token_that_is_corrected(
        self, guarded: ConsulAgent, tmp_path: Path
    ) -> None:
        """
        A wrong token in the file is corrected there and nowhere else.
        """
        _, secret = self.token(guarded, "corrected")
        file = tmp_path / "token"
        file.write_text(MASTER[:-2] + "cc")

        async def scene(reactor: Any, gateway: Watched) -> set[str]:
            await until(reactor, lambda: gateway.client.asked >= 3, SOON)
            assert not gateway.answered()
            file.write_text(secret)
            return await self.sees(reactor, gateway)

        config = ConsulConfig((local(guarded.port),), token_file=str(file))
        assert watching(config, ServiceQuery("vault"), scene) == {"vault-1"}

    def test_a_token_that_is_rotated(
        self, guarded: ConsulAgent, tmp_path: Path
    ) -> None:
        """
        A token is deleted while it is in use and its successor written to the
        file: nothing leaves, and news is seen with the new one.
        """
        old, secret = self.token(guarded, "old")
        _, successor = self.token(guarded, "new")
        file = tmp_path / "token"
        file.write_text(secret)

        async def scene(reactor: Any, gateway: Watched) -> set[str]:
            await until(reactor, lambda: gateway.ids() == {"vault-1"}, SOON)
            done(guarded.api("DELETE", f"/v1/acl/token/{old}"))
            register(guarded, "vault", 2)
            asked = gateway.client.asked
            await until(reactor, lambda: gateway.client.asked >= asked + 2, SOON)
            assert "vault-1" in gateway.ids()
            file.write_text(successor)
            await until(reactor, lambda: "vault-2" in gateway.ids(), SOON)
            return {
                each.identity.service_id
                for change in gateway.registry.changes
                for each in change.left
            }

        config = ConsulConfig((local(guarded.port),), token_file=str(file))
        try:
            assert watching(config, ServiceQuery("vault"), scene) == set()
        finally:
            deregister(guarded, "vault", 2)


class TestTLS:
    """A Consul that speaks TLS only, with both sides showing certificates."""

    def said_by(self, agent: ConsulAgent, **config: Any) -> str:
        """What a watch with this configuration finds: instances, or a failure."""

        async def scene(reactor: Any, gateway: Watched) -> str:
            with capturedLogs() as said:
                await until(reactor, lambda: gateway.answered() or said, SOON)
            return formatEvent(said[0])

        sites = (local(agent.https_port, "https"),)
        return watching(ConsulConfig(sites, **config), ServiceQuery("safe"), scene)

    def test_both_certificates(self, secure: ConsulAgent, authority: Authority) -> None:
        """
        With the authority's certificate and one of our own, Consul answers.
        """
        own = authority.issue("gateway")
        line = self.said_by(
            secure,
            ca_file=authority.file,
            client_cert=own.cert,
            client_key=own.key,
        )
        assert line.startswith("safe: 1 joined (safe-1@test-node ")

    def test_no_certificate_of_ours(
        self, secure: ConsulAgent, authority: Authority
    ) -> None:
        """
        Without a certificate to show, Consul refuses, and the log says why.
        """
        line = self.said_by(secure, ca_file=authority.file)
        assert "safe: no answer from Consul" in line
        assert "bad certificate" in line

    def test_another_authority(
        self, secure: ConsulAgent, authority: Authority, tmp_path: Path
    ) -> None:
        """A Consul whose certificate another authority made is refused."""
        own = authority.issue("gateway")
        other = Authority(tmp_path, "other")
        line = self.said_by(
            secure, ca_file=other.file, client_cert=own.cert, client_key=own.key
        )
        assert "safe: no answer from Consul" in line
        assert "certificate verify failed" in line

    def test_the_system_s_authorities(
        self, secure: ConsulAgent, authority: Authority
    ) -> None:
        """
        Without an authority of our own it is the system's that count, and
        none of those made this certificate.
        """
        own = authority.issue("gateway")
        line = self.said_by(secure, client_cert=own.cert, client_key=own.key)
        assert "certificate verify failed" in line

    def test_without_verification(
        self, secure: ConsulAgent, authority: Authority
    ) -> None:
        """
        With the check off any Consul is accepted; it still gets the client's
        certificate.
        """
        own = authority.issue("gateway")
        line = self.said_by(
            secure, verify=False, client_cert=own.cert, client_key=own.key
        )
        assert line.startswith("safe: 1 joined (safe-1@test-node ")

    def test_http_to_https(self, secure: ConsulAgent) -> None:
        """Without the s in https the log has what Consul answers to that."""

        async def scene(reactor: Any, gateway: Watched) -> str:
            with capturedLogs() as said:
                await until(reactor, lambda: said, SOON)
            return formatEvent(said[0])

        config = ConsulConfig((local(secure.https_port),))
        line = watching(config, ServiceQuery("safe"), scene)
        assert "400: Client sent an HTTP request to an HTTPS server." in line


class TestRestart:
    """A Consul that dies, or freezes, and comes back."""

    def test_kill_and_restart(self, consul_binary: str) -> None:
        """
        Consul is killed and comes back with what it knew: the watch is back
        by itself, nothing left meanwhile, and news is seen.
        """

        async def scene(reactor: Any, gateway: Watched) -> tuple[set[str], int]:
            await until(reactor, lambda: gateway.ids() == {"steady-1"}, SOON)
            changes = len(gateway.registry.changes)
            agent.kill()
            await deferLater(reactor, 1.0)
            agent.start()
            pool = reactor.getThreadPool()
            await deferToThreadPool(reactor, pool, agent.wait_until_ready)
            for each in gateway.registry.changes[changes:]:
                assert not each.left, each
            register(agent, "steady", 2)
            await until(
                reactor, lambda: gateway.ids() == {"steady-1", "steady-2"}, SOON
            )
            return gateway.ids(), len(gateway.registry.changes[changes:])

        with ConsulAgent(consul_binary, persistent=True) as agent:
            # With a check it would come back critical, as Consul has it.
            register(agent, "steady", Check=None)
            config = ConsulConfig((local(agent.port),))
            ids, changes = watching(config, ServiceQuery("steady"), scene, 1.0)
        assert ids == {"steady-1", "steady-2"}
        assert changes == 1

    def test_frozen_and_back(self, consul_binary: str) -> None:
        """
        Consul freezes with its sockets open: the watch hangs up at its
        deadline, keeps what it has, and sees the news after that.
        """

        async def scene(reactor: Any, gateway: Watched) -> int:
            await until(reactor, lambda: gateway.ids() == {"frozen-1"}, SOON)
            changes = len(gateway.registry.changes)
            agent.pause()
            asked = gateway.client.asked
            await until(reactor, lambda: gateway.client.asked > asked, SOON)
            assert gateway.ids() == {"frozen-1"}
            agent.resume()
            register(agent, "frozen", 2)
            await until(
                reactor, lambda: gateway.ids() == {"frozen-1", "frozen-2"}, SOON
            )
            return len(gateway.registry.changes[changes:])

        with ConsulAgent(consul_binary) as agent:
            register(agent, "frozen")
            config = ConsulConfig((local(agent.port),))
            assert watching(config, ServiceQuery("frozen"), scene, 40.0) == 1

    def test_the_next_address(self, consul: ConsulAgent, consul_binary: str) -> None:
        """
        When one of two Consuls dies the other one is asked, within seconds.
        """

        async def scene(reactor: Any, gateway: Watched) -> float:
            await until(reactor, lambda: gateway.ids() == {"twin-1"}, SOON)
            first.kill()
            register(consul, "twin", 2)
            return await until(reactor, lambda: "twin-2" in gateway.ids(), SOON)

        register(consul, "twin")
        try:
            with ConsulAgent(consul_binary) as first:
                register(first, "twin")
                config = ConsulConfig((local(first.port), local(consul.port)))
                watching(config, ServiceQuery("twin"), scene, 1.0)
        finally:
            deregister(consul, "twin", 1)
            deregister(consul, "twin", 2)
