"""How a Consul address is connected to."""

from typing import Any

import pytest
from twisted.internet.error import ConnectError, DNSLookupError

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.consul import ConsulAddress, ConsulConfig
from lbconsul.consul.client import Reply, consul_client
from tests.support.fake_resolver import FakeResolver
from tests.support.in_reactor import run
from tests.support.script_server import Asked, ScriptServer

WEB = ServiceQuery("web")


def ask_by_name(*addresses: str, name: str = "consul.example") -> tuple[Reply, str]:
    """Ask at a name with these addresses, on a port of 127.0.0.1; and the Host sent."""

    async def scenario(reactor: Any) -> tuple[Reply, str]:
        hosts = []

        def script(asked: Asked) -> None:
            hosts.append(asked.headers["host"])
            asked.answer(b"[]", 7)

        server = ScriptServer(reactor, script)
        server.listen()
        resolver = FakeResolver()
        config = ConsulConfig((ConsulAddress("http", name, server.port),))
        client = consul_client(reactor, config, resolver)
        asked = client.ask(WEB, 0, 0)
        resolver.answer(name, *addresses)
        try:
            reply = await asked
            return reply, hosts[0].replace(str(server.port), "PORT")
        finally:
            await client.close()
            await server.close()

    return run(scenario)


def test_a_name_with_an_underscore() -> None:
    """
    Consul may be at a name as Docker's networks give it, which is no name by
    the rules of the Internet.
    """
    reply, host = ask_by_name("127.0.0.1", name="my_consul")
    assert (reply, host) == (Reply(b"[]", "7"), "my_consul:PORT")


def test_a_name_with_several_addresses() -> None:
    """
    If one of a name's addresses refuses, the next one is connected to.
    """
    reply, _ = ask_by_name("127.0.0.3", "127.0.0.1")
    assert reply == Reply(b"[]", "7")


def test_a_name_all_of_whose_addresses_refuse() -> None:
    """
    A refused connection is reported as such, and not as a name that does not resolve.
    """
    with pytest.raises(ConnectError):
        ask_by_name("127.0.0.3", "127.0.0.4")


def test_a_name_without_an_address() -> None:
    """The error names the host name that cannot be resolved."""
    with pytest.raises(DNSLookupError, match=r"the host name consul\.example cannot"):
        ask_by_name()


def test_a_name_that_cannot_be_resolved_any_more() -> None:
    """
    Consul is asked where it was last; its address that failed is tried last.
    """

    async def scenario(reactor: Any) -> list[int]:
        servers = [ScriptServer(reactor, lambda asked: asked.answer(b"[]", 7))]
        servers.append(ScriptServer(reactor, servers[0].script))
        servers[0].listen()
        resolver = FakeResolver()
        address = ConsulAddress("http", "consul.example", servers[0].port)
        client = consul_client(reactor, ConsulConfig((address,)), resolver)
        for found in (["127.0.0.3", "127.0.0.1"], [], []):
            asked = client.ask(WEB, 0, 0)
            resolver.answer("consul.example", *found)
            await asked
            for server in servers:
                for connection in list(server.connections):
                    connection.abort()
            if found:
                servers[1].listen(servers[0].port, "127.0.0.3")
            await client.close()
        accepted = [each.accepted for each in servers]
        for server in servers:
            await server.close()
        return accepted

    assert run(scenario) == [3, 0]
