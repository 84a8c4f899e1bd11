"""What the page shows of a mapping in HTTP mode."""

from tests.browser.chromium import Browser
from tests.browser.conftest import Start


def test_figures_of_requests(browser: Browser, start: Start) -> None:
    """Requests by class, those under way, kept connections, retries and times."""
    gateway = start()
    gateway.say("speak_http")
    browser.open_live(gateway.url)
    browser.wait_text(".lane .requests", "Requests: 1,000 2xx · 7 4xx · 2 5xx")
    line = browser.text(".lane .requests")
    for words in (
        "3 active", "12 idle connections kept", "4 retries", "p50 3.1 ms, p99 42 ms",
    ):  # fmt: skip
        assert words in line
    assert "requests a second" in browser.text(".lane .figures")
    browser.click_in_row("web-1", ".name")
    browser.wait_text(".details", "100 2xx · 2 5xx")
    assert browser.console() == []


def test_requests_a_second(browser: Browser, start: Start) -> None:
    """New requests show in the figures and in the row of who answered them."""
    gateway = start()
    gateway.say("speak_http")
    browser.open_live(gateway.url)
    browser.wait_text(".lane .asked", "requests a second")
    before = browser.text(".lane .requests")
    gateway.say("ask", 5000)
    browser.wait(
        "const asked = document.querySelector('.lane .asked dd').textContent;"
        "return Number(asked.replace(',', '')) > 1000"
    )
    assert browser.text(".lane .requests") != before
    assert "Requests a second" in browser.text("#figures")
    browser.wait_text(".lane .requests", "6,000 2xx")


def test_last_unhappy_requests(browser: Browser, start: Start) -> None:
    """Requests that go wrong show up, with those that went wrong before."""
    gateway = start()
    gateway.say("speak_http")
    browser.open_live(gateway.url)
    browser.wait_text(".unhappy summary", "Last unhappy requests: 2")
    assert "/basket" not in browser.text(".unhappy")
    browser.click(".unhappy summary")
    browser.wait_text(".unhappy", "GET www.example.com/basket")
    gateway.say("fail", ["/<b>markup</b>", *(f"/{number}" for number in range(3))])
    browser.wait_text(".unhappy summary", "Last unhappy requests: 6")
    browser.wait_text(".unhappy tbody tr", "/2")
    table = browser.text(".unhappy")
    cause = "the upstream closed the connection before it answered (SH)"
    for words in ("/<b>markup</b>", "/0", "/basket", "/cart", "no answer", cause):
        assert words in table
    assert browser.console() == []


def test_other_mappings(browser: Browser, start: Start) -> None:
    """A mapping that is not in HTTP mode shows nothing of requests."""
    browser.size(1800, 900)
    gateway = start()
    browser.open_live(gateway.url)
    browser.wait_text(".lane", "new a second")
    for selector in (".lane .requests", ".lane .asked", ".unhappy"):
        assert browser.text(selector) == ""
    assert "New" in browser.text(".row.head")
    gateway.say("speak_http")
    browser.wait_text(".lane .requests", "Requests: 1,000 2xx")
    assert "Requests" in browser.text(".row.head")
