"""A web server's page, over a mapping with TLS."""

from pathlib import Path

from tests.browser.chromium import Browser
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
