"""What is not as it should be is said: what it is, since when, and what to do."""

import time

from tests.browser.chromium import Browser
from tests.browser.conftest import Start

AWAY = {"state": "backing off", "age": 130.0, "last_error": "Connection refused"}


def test_consul_is_away(browser: Browser, start: Start) -> None:
    """Loudly; since when; and what is served meanwhile."""
    gateway = start()
    browser.open_live(gateway.url)
    gateway.say("watches", {**AWAY, "failing_since": time.time() - 120})
    browser.wait_text(".banner", "Consul has been away since")
    said = browser.text(".banner")
    assert "(2 min" in said
    assert "instances of web, api and graphite stay in use" in said
    assert "The last error: Connection refused." in said
    assert browser.run("return document.title") == "✕ lbconsul · Consul away"
    assert "fails since" in browser.text(".watch")
    fine = {"state": "watching", "age": 0.5, "last_error": "", "failing_since": None}
    gateway.say("watches", fine)
    browser.wait("return document.querySelector('.banner') === null")


def test_skipped_instances(browser: Browser, start: Start) -> None:
    """An instance that is not connected to is named with the reason, in words."""
    gateway = start()
    browser.open_live(gateway.url)
    skipped = [
        {"instance": f"<b>web-{each}</b>@a 10.0.0.1:0", "reason": "its port is 0"}
        for each in range(2)
    ]
    gateway.say("watches", {"skipped": 7, "skipped_instances": skipped})
    browser.wait_text(
        ".watch .skipped",
        "Skipped: <b>web-0</b>@a 10.0.0.1:0 (its port is 0), and 6 more",
    )
    gateway.say("watches", {"skipped": 0, "skipped_instances": []})
    browser.wait("return document.querySelector('.watch .skipped').textContent === ''")


def test_the_banner_is_above_all_else(browser: Browser, start: Start) -> None:
    """The banner is visible without scrolling, on a phone as well."""
    gateway = start(state="consul-away")
    browser.size(375, 667, mobile=True)
    browser.open_live(gateway.url)
    browser.wait_text(".banner", "Consul has been away since")
    top = browser.run(
        "return document.querySelector('.banner').getBoundingClientRect().top"
    )
    assert top < 300


def test_an_answer_is_old(browser: Browser, start: Start) -> None:
    """Each pool shows the age of the answer in use."""
    gateway = start()
    browser.open_live(gateway.url)
    gateway.say("watches", {"age": 245.0})
    browser.wait_text(".watch", "confirmed 4 min 5 s ago")
    browser.wait_text("#figures", "4 min 5 s ago")


def test_a_snapshot(browser: Browser, start: Start) -> None:
    """The answer from a snapshot is not shown as Consul's."""
    gateway = start()
    gateway.say("watches", {"state": "snapshot", "age": 3600.0})
    browser.open_live(gateway.url)
    browser.wait_text(".banner", "A snapshot is in use")
    assert "1 h ago" in browser.text(".banner")


def test_a_draining_gateway(browser: Browser, start: Start) -> None:
    """A draining gateway says that it ends when its connections have."""
    gateway = start()
    gateway.say("gateway", {"state": "draining", "ready": False, "open": 3,
                            "not_ready": ["the gateway is draining"]})  # fmt: skip
    browser.open_live(gateway.url)
    browser.wait_text(".banner", "This gateway is draining")
    assert "its 3 open connections" in browser.text(".banner")


def test_the_progress_of_a_drain(browser: Browser, start: Start) -> None:
    """How many connections were open, how many are left, since when and until when."""
    gateway = start()
    since = time.time() - 72
    drain = {"since": since, "until": since + 300, "began_with": 12}
    gateway.say("drain", {"state": "draining", "ready": False, "open": 3}, drain)
    fields = {
        "standing": "draining", "reason": "drained by hand", "since": since,
        "open": 3, "drain_began_with": 12,
    }  # fmt: skip
    gateway.say("alter", "web-1", "", fields)
    browser.open_live(gateway.url)
    browser.wait_text(".banner", "3 of 12 connections left")
    assert "(1 min 1" in browser.text(".banner")
    browser.wait_text(".row[data-standing=draining]", "3 of 12 left, for 1 min")
    browser.click_in_row("web-1", ".name")
    browser.wait_text(".details", "3 of 12 left, of the connections that were open")


def test_a_link_to_consul(browser: Browser, start: Start) -> None:
    """Each instance has a link to Consul's page about it, unless that has none."""
    gateway = start()
    gateway.say("gateway", {"consul_ui": "https://consul.example.com/ui/~team"})
    browser.open_live(gateway.url)
    browser.wait_text(".row[data-upstream]", "web-")
    browser.click_in_row("web-1", ".name")
    browser.wait_text(".details a", "See it in Consul")
    assert browser.run("return document.querySelector('.details a').href") == (
        "https://consul.example.com/ui/~team/dc1/services/web/instances/node-01/web-1"
    )
    gateway.say("watches", {"state": "fixed"})
    browser.wait("return document.querySelector('.details a').hidden")


def test_a_gateway_that_is_not_ready(browser: Browser, start: Start) -> None:
    """With each reason."""
    gateway = start()
    gateway.say("gateway", {"ready": False, "not_ready": ["80:web: port 80 is taken"]})
    browser.open_live(gateway.url)
    browser.wait_text(".banner", "This gateway is not ready")
    assert "80:web: port 80 is taken." in browser.text(".banner")


def test_a_gateway_that_starts(browser: Browser, start: Start) -> None:
    """While Consul has not answered, the page does not call the pool empty."""
    gateway = start(state="starting")
    browser.open_live(gateway.url)
    browser.wait_text(".banner", "This gateway is starting")
    browser.wait_text(".empty", "Consul has not answered yet for web,dc=dc1")
    assert "accepts no clients now" in browser.text(".rule")


def test_no_instances(browser: Browser, start: Start) -> None:
    """An empty pool says what to do."""
    gateway = start(state="empty")
    browser.open_live(gateway.url)
    browser.wait_text(".empty", "Consul knows no instance of web,dc=dc1 that may serve")
    sample = "document.querySelector('.empty pre')"
    # The text that is seen: what is not shown has none.
    seen = browser.run(f"return {sample}.checkVisibility() && {sample}.innerText")
    assert "consul services register -name=web" in seen
    assert "Consul has no service web. One that" in browser.text(".empty p")
    assert (
        browser.run("return document.title")
        == "✕ lbconsul · 3 mappings have no upstream"
    )


def test_no_upstream_serves(browser: Browser, start: Start) -> None:
    """Where all are out it is said so, though no pool is in use then."""
    gateway = start(upstreams=3)
    browser.open_live(gateway.url)
    browser.wait_text(".row[data-upstream]", "web-0")
    for name in ("web-0", "web-1", "web-2"):
        if name in browser.text("#lanes"):
            gateway.say("alter", name, "", {"standing": "draining", "reason": "ill"})
    gateway.say("use", False)
    browser.open_live(gateway.url)
    browser.wait_text(".empty", "No upstream of web,dc=dc1 serves")


def test_no_mapping(browser: Browser, start: Start) -> None:
    """Without mappings the page says what to do."""
    gateway = start()
    gateway.say("unmap")
    browser.open_live(gateway.url)
    browser.wait_text("#nothing", "This gateway listens nowhere")
    assert "--map 80:webserver" in browser.text("#nothing pre")


def test_routes(browser: Browser, start: Start) -> None:
    """A route is shown as a mapping; one that has only routes lacks nothing."""
    gateway = start(upstreams=3)
    gateway.say("route", "*.example.com")
    browser.open_live(gateway.url)
    browser.wait_text("#lanes", "*.example.com")
    lanes = "[...document.querySelectorAll('.lane h2')].map((each) => each.innerText)"
    own, route = browser.run(f"return {lanes}")
    assert own.split() == ["0.0.0.0:80", "→", "its", "routes", "only"]
    assert route.split() == ["0.0.0.0:80", "*.example.com", "→", "web"]
    assert "no upstream" not in browser.run("return document.title")


def test_nothing_has_changed(browser: Browser, start: Start) -> None:
    """An empty timeline says what would stand there."""
    gateway = start()
    browser.open(gateway.url)
    assert "Nothing has changed yet" in browser.run(
        "return document.querySelector('.nothing').textContent"
    )


def test_without_javascript(browser: Browser, start: Start) -> None:
    """There is another way to the same."""
    gateway = start()
    browser.driver.execute_cdp_cmd(
        "Emulation.setScriptExecutionDisabled", {"value": True}
    )
    try:
        browser.open(gateway.url)
        source = browser.driver.page_source
    finally:
        browser.driver.execute_cdp_cmd(
            "Emulation.setScriptExecutionDisabled", {"value": False}
        )
    assert "This page needs JavaScript" in source


def test_certificates(browser: Browser, start: Start) -> None:
    """A mapping with TLS has a line about it; what ends soon is a banner."""
    gateway = start()
    browser.open_live(gateway.url)
    assert browser.text(".lane .certificates") == ""
    gateway.say("certify", [{}, {"source": "/b.pem"}], "")
    browser.wait_text(
        ".lane .certificates",
        "TLS with 2 certificates: that of www.example.com expires in 80 days",
    )
    assert browser.run("return document.querySelector('.banner') === null")
    soon = {"names": ["<b>shop</b>"], "state": "expiring", "days_left": 3}
    gateway.say("certify", [soon], "")
    browser.wait_text(".banner", "The certificate of <b>shop</b> expires in 3 days")
    assert browser.run("return document.title") == "▲ lbconsul · certificates"
    gateway.say("certify", [{**soon, "state": "expired", "days_left": -2}], "no key")
    browser.wait_text(".banner", "The certificate of <b>shop</b> expired 1 day ago")
    assert "no key." in browser.text(".banner")
    gateway.say("certify", [{}], "")
    browser.wait("return document.querySelector('.banner') === null")


def test_connections_that_went_wrong(browser: Browser, start: Start) -> None:
    """Each with its client, what was tried and the cause in words, the newest first."""
    gateway = start()
    browser.open_live(gateway.url)
    gateway.say("fail_connections", [{"client": "192.0.2.9:5", "retries": 2}])
    browser.wait_text(".unhappy summary", "Last unhappy connections: 1")
    browser.click(".unhappy:not([hidden]) summary")
    browser.wait_text(".unhappy", "no upstream accepted the connection")
    cause = "no upstream accepted the connection: Connection refused (SC)"
    table = browser.text(".unhappy:not([hidden])")
    for words in (cause, "192.0.2.9:5", "web-1@node-01", "2"):
        assert words in table
    more = [{"client": f"192.0.2.{number}:5"} for number in range(3)]
    gateway.say("fail_connections", [*more, {"error": "<b>x</b>", "count": 12}])
    browser.wait_text(".unhappy summary", "Last unhappy connections: 5")
    browser.wait_text(".unhappy:not([hidden]) tbody tr", "<b>x</b>")
    first = browser.text(".unhappy:not([hidden]) tbody tr")
    assert "\N{MULTIPLICATION SIGN}12" in first
    assert browser.console() == []


def test_an_upstream_that_fails(browser: Browser, start: Start) -> None:
    """Its failures a minute and the last error stand beside it, its times in a row."""
    gateway = start()
    fields = {
        "failures_per_minute": 12.0, "last_error": "Connection refused",
        "last_error_at": time.time(), "connect_p50": 0.0004, "connect_p99": 0.012,
        "first_byte_p50": 0.002, "first_byte_p99": 0.05,
    }  # fmt: skip
    gateway.say("alter", "web-1", "", fields)
    browser.open_live(gateway.url)
    browser.wait_text(".failing:not([hidden])", "12 failures a minute")
    row = browser.row("web-1")
    for words in ("12 failures a minute: Connection refused", "2.0 ms", "50 ms"):
        assert words in row
    browser.click_in_row("web-1", ".name")
    browser.wait_text(".details", "Connection refused (")
    details = browser.text(".details")
    for words in ("p50 0.4 ms, p99 12 ms", "p50 2.0 ms, p99 50 ms"):
        assert words in details
    gateway.say("alter", "web-1", "", {"failures_per_minute": 0.0})
    browser.wait("return document.querySelector('.failing:not([hidden])') === null")
