"""contrib/keepalived.conf, with keepalived and two gateways in network namespaces."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest

from tests.support.binaries import REPOSITORY
from tests.support.gateway import Gateway
from tests.support.needed import lacking, needed
from tests.support.waiting import PATIENCE, eventually

CONFIG = REPOSITORY / "contrib" / "keepalived.conf"

#: The address that goes to the gateway that is ready.
SHARED = "10.0.0.100"


def run(*command: str, check: bool = True) -> str:
    """What a program prints."""
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert not check or ran.returncode == 0, f"{command}: {ran.stderr}"
    return ran.stdout


class Host:
    """A network namespace with an address on a switch that all share."""

    def __init__(self, switch: str, name: str, address: str) -> None:
        self.name = f"{switch}-{name}"
        run("ip", "netns", "add", self.name)
        try:
            self._plug_in(switch, address)
        except BaseException:
            self.remove()
            raise

    def _plug_in(self, switch: str, address: str) -> None:
        ends = ["eth0", "netns", self.name, "type", "veth", "peer", self.name]
        run("ip", "link", "add", *ends, "netns", switch)
        run("ip", "-n", switch, "link", "set", self.name, "master", "switch", "up")
        run("ip", "-n", self.name, "addr", "add", f"{address}/24", "dev", "eth0")
        for each in ("lo", "eth0"):
            run("ip", "-n", self.name, "link", "set", each, "up")

    @property
    def inside(self) -> list[str]:
        """What runs a command there."""
        return ["ip", "netns", "exec", self.name]

    def has_address(self) -> bool:
        """Whether the shared address is here."""
        return f"inet {SHARED}/" in run("ip", "-n", self.name, "addr")

    def ask(self, url: str) -> str:
        """The status that a request from here is answered with."""
        told = ["--silent", "--max-time", "5", "--output", "/dev/null"]
        return run(
            *self.inside, "curl", *told, "--write-out", "%{http_code}", url, check=False
        )

    def remove(self) -> None:
        """End it."""
        run("ip", "netns", "del", self.name)


class Pair(Host):
    """A host with a gateway and keepalived."""

    def start(self, held: ExitStack, home: Path, config: str) -> Self:
        """Start both."""
        home.mkdir()
        self.gateway = Gateway(
            home,
            *("--dev", "--map", "80:web", "--admin", "127.0.0.1:9200"),
            *("--shutdown-grace", "15s", "--drain-timeout", "1s"),
            prefix=self.inside,
        )
        held.enter_context(self.gateway)
        (home / "keepalived.conf").write_text(config)
        log = held.enter_context((home / "keepalived.log").open("wb"))
        process = subprocess.Popen(
            [
                *self.inside,
                *(needed("keepalived"), "--dont-fork", "--log-console", "--vrrp"),
                *("--use-file", home / "keepalived.conf"),
                *("--pid", home / "pid", "--vrrp_pid", home / "vrrp.pid"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        held.callback(process.wait, PATIENCE)
        held.callback(process.terminate)
        return self


@pytest.fixture
def hosts() -> Iterator[tuple[Pair, Pair, Host]]:
    """Two hosts for gateways and a client's, on one network."""
    if os.geteuid():
        lacking("network namespaces need root")
    needed("ip", "iproute2")
    needed("curl")
    needed("keepalived")
    switch = f"lb{os.getpid()}"
    with ExitStack() as held:
        run("ip", "netns", "add", switch)
        held.callback(run, "ip", "netns", "del", switch)
        run("ip", "-n", switch, "link", "add", "switch", "type", "bridge")
        run("ip", "-n", switch, "link", "set", "switch", "up")
        one, two = Pair(switch, "a", "10.0.0.1"), Pair(switch, "b", "10.0.0.2")
        client = Host(switch, "c", "10.0.0.3")
        for each in (one, two, client):
            held.callback(each.remove)
        yield one, two, client


def test_the_address_moves(hosts: tuple[Pair, Pair, Host], tmp_path: Path) -> None:
    """The shared address leaves a gateway that is about to end, while that still takes
    clients, and one that is killed; it stays where it came to.
    """
    one, two, client = hosts
    config = CONFIG.read_text()
    second = config.replace("priority 100", "priority 90")
    assert second != config
    url = f"http://{SHARED}/"
    with ExitStack() as held:
        one.start(held, tmp_path / "a", config)
        eventually(one.has_address, "the first one has the address")
        two.start(held, tmp_path / "b", second)
        eventually(lambda: client.ask(url) == "200", "a client is served")
        assert not two.has_address()
        one.gateway.terminate()
        eventually(two.has_address, "the second one has the address")
        eventually(lambda: not one.has_address(), "the first one has given it up")
        assert one.ask("http://127.0.0.1:80/") == "200"
        assert client.ask(url) == "200"
        one.gateway.wait_until_gone()
        one.gateway.start()
        one.gateway.wait_until_ready()
        eventually(
            lambda: one.ask("http://127.0.0.1:9200/readyz") == "200", "it is ready"
        )
        assert client.ask(url) == "200"
        assert two.has_address()
        two.gateway.kill()
        eventually(one.has_address, "the first one has the address again")
        eventually(lambda: client.ask(url) == "200", "a client is served again")
