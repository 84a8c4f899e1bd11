"""Pages over TLS: a web server's by a mapping, and the gateway's own."""

from pathlib import Path

from tests.browser.chromium import Browser
from tests.browser.conftest import Start
from tests.support.certificates import Authority, together
from tests.support.dev_catalog import DevCatalogProcess
from tests.support.gateway import Gateway
from tests.support.ports import free_ports
from tests.support.web_server import WebServer


def test_page(browser: Browser, tmp_path: Path) -> None:
    """
    A browser refuses an authority that it does not know; told to ignore that, it shows
    the page.
    """
    issued = Authority(tmp_path).issue("localhost")
    pem = together(tmp_path / "web.pem", issued.cert, issued.key)
    [port] = free_ports(1)
    url = f"https://localhost:{port}/?question"
    with DevCatalogProcess() as catalog, WebServer("anna") as server:
        body = {"Name": "web", "Address": server.host, "Port": server.port}
        assert catalog.api("PUT", "/v1/agent/service/register", body)[0] == 200
        consul = f"127.0.0.1:{catalog.port}"
        with Gateway(
            tmp_path,
            "--consul",
            consul,
            "--map",
            f"{port}:web,tls={pem},drain-timeout=1s",
        ) as gateway:
            browser.open(url)
            assert "anna" not in browser.text("body")
            gateway.wait_for(r' PT sni=localhost error=".*certificate unknown"$')
            with browser.trusting_all():
                browser.open(url)
                assert browser.text("body").strip() == "anna question"
                script = "return performance.getEntriesByType('navigation')[0]"
                assert browser.run(script)["nextHopProtocol"] == "http/1.1"
                assert browser.run("return isSecureContext")


def test_own_page(browser: Browser, start: Start, tmp_path: Path) -> None:
    """The gateway's page is live over TLS, and its orders are done."""
    issued = Authority(tmp_path).issue("localhost")
    pem = together(tmp_path / "admin.pem", issued.cert, issued.key)
    gateway = start(tls=pem, upstreams=300, lively=True)
    with browser.trusting_all():
        browser.open_live(gateway.url)
        browser.wait_text("#lanes", "web-1")
        browser.run("return fetch('status').then((it) => it.json())")
        assert browser.run("return isSecureContext")
        browser.click("#about summary")
        browser.click("#drain-gateway")
        browser.click("#drain-yes")
        browser.give_token("demo")
        browser.wait_text(".banner", "This gateway is draining")
        own = {each.partition("/")[0] for each in browser.requests()}
        assert own <= {"https:", "data:"}
