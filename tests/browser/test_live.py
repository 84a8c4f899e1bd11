"""The page lives: what changes shows up by itself, and what is lost is said."""

from tests.browser.chromium import Browser, wait_for
from tests.browser.conftest import Start


def test_who_joins_appears(browser: Browser, start: Start) -> None:
    """With an entry in the timeline."""
    gateway = start()
    browser.open_live(gateway.url)
    assert browser.row("web-77") == ""
    gateway.say("join", 77, {})
    browser.wait(_HAS_ROW, "web-77")
    browser.wait_text("#timeline", "web-77@node-37 joined")


def test_who_leaves_is_gone(browser: Browser, start: Start) -> None:
    """The timeline names it, too."""
    gateway = start()
    browser.open_live(gateway.url)
    browser.wait(_HAS_ROW, "web-2")
    gateway.say("leave", "web-2")
    wait_for(lambda: browser.row("web-2") == "", "web-2 is gone")
    browser.wait_text("#timeline", "web-2 left")


def test_a_standing_changes(browser: Browser, start: Start) -> None:
    """And so does its reason, without a click."""
    gateway = start()
    browser.open_live(gateway.url)
    reason = "check 'tcp' critical: connection refused"
    fields = {"standing": "draining", "reason": reason}
    gateway.say("alter", "web-1", "changed", fields)
    browser.wait(_STANDS, "web-1", "draining")
    assert reason in browser.row("web-1")
    gateway.say(
        "alter", "web-1", "changed", {"standing": "serving", "reason": "passing"}
    )
    browser.wait(_STANDS, "web-1", "serving")


def test_figures_change_without_an_event(browser: Browser, start: Start) -> None:
    """Figures change about once a second."""
    gateway = start()
    browser.open_live(gateway.url)
    gateway.say("gateway", {"open": 12_345})
    browser.wait_text("#figures", "12,345")


def test_changes_are_told_to_who_hears_the_page(browser: Browser, start: Start) -> None:
    """Politely; many changes at once are one announcement."""
    gateway = start()
    browser.open_live(gateway.url)
    browser.wait("return document.getElementById('announcer').textContent !== ''")
    assert (
        browser.run("return document.getElementById('announcer').ariaLive") == "polite"
    )
    for number in range(100, 110):
        gateway.say("join", number, {})
    browser.wait(
        "return document.getElementById('announcer').textContent"
        ".includes('and 9 more changes')"
    )


def test_a_gateway_that_is_gone(browser: Browser, start: Start) -> None:
    """
    A lost gateway is announced loudly, with its last figures; the page reconnects.
    """
    gateway = start()
    browser.open_live(gateway.url)
    browser.wait(_HAS_ROW, "web-1")
    gateway.stop()
    browser.wait_text(".banner", "No connection to the gateway since")
    assert browser.run("return document.title") == "○ lbconsul · connection lost"
    assert "web-1" in browser.row("web-1")
    filtered = "return getComputedStyle(document.getElementById('content')).filter"
    assert browser.run(filtered) == "grayscale(1)"
    start(port=gateway.port)
    browser.click(".banner button")
    browser.wait("return document.body.dataset.phase === 'live'")
    browser.wait("return document.querySelector('.banner') === null")


def test_without_a_stream_it_asks(browser: Browser, start: Start) -> None:
    """As behind a proxy that does not let it through."""
    gateway = start()
    browser.open("about:blank")
    browser.driver.execute_cdp_cmd("Network.enable", {})
    browser.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/events"]})
    try:
        browser.open(gateway.url)
        browser.wait("return document.body.dataset.phase === 'polling'")
        gateway.say("join", 78, {})
        browser.wait(_HAS_ROW, "web-78")
        assert "every 2 s" in browser.text("#phase")
    finally:
        browser.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})


_HAS_ROW = """
    return [...document.querySelectorAll('.row[data-upstream] .name')]
        .some((each) => each.textContent === arguments[0]);
"""

_STANDS = """
    const found = [...document.querySelectorAll('.row[data-upstream]')]
        .find((each) => each.querySelector('.name').textContent === arguments[0]);
    return found?.querySelector('.word').textContent === arguments[1];
"""
