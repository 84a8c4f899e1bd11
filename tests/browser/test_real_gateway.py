"""The page of a real gateway, with the real Consul behind it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.browser.chromium import Browser
from tests.end_to_end.conftest import start_servers
from tests.end_to_end.registrar import TOLD, Registrar
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway
from tests.support.load import Visitor
from tests.support.ports import free_ports
from tests.support.web_server import WebServer

pytestmark = pytest.mark.consul


@pytest.fixture(scope="module")
def servers() -> Iterator[list[WebServer]]:
    """Two web servers."""
    with ExitStack() as stack:
        yield start_servers(stack, "anna", "bert")


@pytest.fixture
def registrar(consul: ConsulAgent) -> Iterator[Registrar]:
    """Registers in the shared Consul for as long as one test runs."""
    registrar = Registrar(consul)
    yield registrar
    registrar.clean_up()


def test_the_link_to_consul(
    browser: Browser,
    consul: ConsulAgent,
    registrar: Registrar,
    servers: list[WebServer],
    tmp_path: Path,
) -> None:
    """The link of an instance leads to the page of the real Consul about it."""
    port, admin = free_ports(2)
    registrar.add("linked", servers[0])
    options = ("--consul", consul.url, "--map", f"{port}:linked", "--admin", str(admin))
    with Gateway(tmp_path, *options):
        browser.open_live(f"http://127.0.0.1:{admin}/")
        browser.wait_text(".row[data-upstream]", "anna")
        browser.click_in_row("linked-anna", ".name")
        browser.wait_text(".details a", "See it in Consul")
        browser.open(browser.run("return document.querySelector('.details a').href"))
        browser.wait_text("body", "linked-anna")
        browser.wait_text("body", "Node Name")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_happens_is_seen(
    browser: Browser,
    consul: ConsulAgent,
    registrar: Registrar,
    servers: list[WebServer],
    tmp_path: Path,
    workers: str,
) -> None:
    """
    A registered instance appears by itself, with its check's output; the token allows
    draining it, and clients are shown.
    """
    port, admin = free_ports(2)
    service = f"looked-at-{workers}"
    registrar.add(service, servers[0])
    token = tmp_path / "token"
    token.write_text("open sesame")
    token.chmod(0o600)
    gateway = Gateway(
        tmp_path,
        *("--consul", consul.url, "--map", f"{port}:{service}", "--workers", workers),
        *("--admin", str(admin), "--admin-token-file", str(token)),
    )
    with gateway:
        browser.open_live(f"http://127.0.0.1:{admin}/")
        browser.wait_text(".row[data-upstream]", "anna")
        bert = registrar.add(service, servers[1], Check=TOLD)
        script = "return document.body.innerText.includes(arguments[0])"
        browser.wait(script, f"{service}-bert")
        registrar.check(bert, "fail")
        browser.wait(script, "as told")
        registrar.check(bert, "pass")
        with Visitor(port) as visitor:
            visitor.ask()
            browser.wait_text("body", "1")
        browser.click_in_row(f"{service}-anna", ".order")
        browser.give_token("wrong")
        browser.wait_text("#token-problem", "The gateway refused this token.")
        browser.give_token("open sesame")
        browser.wait(script, "drained by hand")
        with Visitor(port) as visitor:
            assert visitor.ask().startswith("bert")
        # That a token was refused is the one thing that the browser complains of.
        assert all("(Unauthorized)" in each for each in browser.console())
        assert all(f"127.0.0.1:{admin}" in each for each in browser.requests())
    assert "open sesame" not in gateway.log()
