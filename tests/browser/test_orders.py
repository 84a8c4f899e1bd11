"""Orders from the page, and the token that they need."""

from selenium.webdriver.common.keys import Keys

from tests.browser.chromium import Browser
from tests.browser.conftest import Start


def test_draining_asks_for_the_token(browser: Browser, start: Start) -> None:
    """With it an upstream is drained, and undrained without being asked again."""
    gateway = start(upstreams=3)
    browser.open_live(gateway.url)
    browser.wait_text(".row[data-upstream]", "web-0")
    browser.click_in_row("web-0", ".order")
    browser.wait_text("#token", "Drain web-0: that needs the gateway's token.")
    browser.give_token("demo")
    browser.wait_text(".row[data-upstream]", "draining")
    browser.wait_text("#notice", "web-0: drain is ordered.")
    browser.wait("return !document.getElementById('token').open")
    browser.wait_text("#timeline", "drained")
    browser.click_in_row("web-0", ".order")
    browser.wait_text(".row[data-upstream]", "serving")
    browser.wait_text("#timeline", "undrained")


def test_a_wrong_token_is_refused(browser: Browser, start: Start) -> None:
    """With a clear message, where another one can be given."""
    gateway = start(upstreams=3)
    browser.open_live(gateway.url)
    browser.wait_text(".row[data-upstream]", "web-0")
    browser.click_in_row("web-0", ".order")
    browser.give_token("wrong")
    browser.wait_text("#token-problem", "The gateway refused this token.")
    assert "serving" in browser.row("web-0")
    assert browser.run("return sessionStorage.length") == 0
    browser.give_token("demo")
    browser.wait_text(".row[data-upstream]", "draining")


def test_nothing_happens_without_a_token(browser: Browser, start: Start) -> None:
    """Closing the dialog orders nothing, and the focus is where it was."""
    gateway = start(upstreams=3)
    browser.open_live(gateway.url)
    browser.wait_text(".row[data-upstream]", "web-0")
    browser.run(
        "document.querySelector('.row[data-upstream] .order').focus();"
        "document.activeElement.click()"
    )
    browser.wait("return document.getElementById('token').open")
    browser.press(Keys.ESCAPE)
    browser.wait("return !document.getElementById('token').open")
    assert browser.focused() == "Drain web-0"
    assert "serving" in browser.row("web-0")
    assert not [each for each in browser.requests() if each.endswith("/drain")]


def test_orders_are_off(browser: Browser, start: Start) -> None:
    """There is no button that cannot work, and it is said how there would be."""
    gateway = start(upstreams=3, token="")
    browser.open_live(gateway.url)
    browser.wait_text(".row[data-upstream]", "web-0")
    browser.click_in_row("web-0", ".name")
    browser.click("#about summary")
    buttons = "[...document.querySelectorAll('.order, #drain-gateway')]"
    browser.wait(f"return {buttons}.length > 2")
    assert (
        browser.run(f"return {buttons}.some((each) => each.checkVisibility())") is False
    )
    assert "--admin-token-file" in browser.text("#changes-off")
    assert browser.run(
        "return document.getElementById('changes-off').checkVisibility()"
    )


def test_ejecting(browser: Browser, start: Start) -> None:
    """From among what is known about one."""
    gateway = start(upstreams=3)
    browser.open_live(gateway.url)
    browser.wait_text(".row[data-upstream]", "web-0")
    browser.click_in_row("web-0", ".name")
    browser.click(".details .order")
    browser.give_token("demo")
    browser.wait_text(".row[data-upstream]", "ejected")


def test_draining_the_gateway(browser: Browser, start: Start) -> None:
    """Draining the gateway needs a confirmation."""
    gateway = start()
    browser.open_live(gateway.url)
    browser.click("#about summary")
    browser.click("#drain-gateway")
    browser.wait_text("#drain", "This cannot be undone")
    assert browser.focused() == "Cancel"
    browser.click("#drain-yes")
    browser.give_token("demo")
    browser.wait_text(".banner", "This gateway is draining")


def test_reading_needs_the_token(browser: Browser, start: Start) -> None:
    """
    Where other machines can connect, the page asks for the token; the tab remembers it,
    and no longer.
    """
    gateway = start(host="0.0.0.0")
    browser.open(gateway.url)
    browser.wait_text(".banner", "The gateway shows nothing without its token")
    browser.give_token("wrong")
    browser.wait_text("#token-problem", "The gateway refused this token.")
    browser.give_token("demo")
    browser.wait("return document.body.dataset.phase === 'live'")
    browser.wait_text("#lanes", "web-1")
    browser.open_live(gateway.url)
    assert browser.run("return Object.keys(sessionStorage)") == ["lbconsul-token"]
    assert browser.run("return Object.keys(localStorage)") == []


def test_a_token_that_only_reads(browser: Browser, start: Start) -> None:
    """
    With it the page shows everything; an order asks for the other one, and without that
    the page goes on as before.
    """
    gateway = start(host="0.0.0.0", reader="look", upstreams=3)
    browser.open(gateway.url)
    browser.give_token("look")
    browser.wait("return document.body.dataset.phase === 'live'")
    browser.wait_text(".row[data-upstream]", "web-0")
    for _ in range(2):
        browser.click_in_row("web-0", ".order")
        browser.wait_text("#token-problem", "The token given so far only reads.")
        browser.give_token("wrong")
        browser.wait_text("#token-problem", "The gateway refused this token.")
        browser.press(Keys.ESCAPE)
        browser.wait("return !document.getElementById('token').open")
    assert browser.run("return sessionStorage.getItem('lbconsul-token')") == "look"
    browser.click_in_row("web-0", ".order")
    browser.give_token("demo")
    browser.wait_text(".row[data-upstream]", "draining")


def test_reading_is_off(browser: Browser, start: Start) -> None:
    """What would turn it on stands there, and no token is asked for."""
    gateway = start(host="0.0.0.0", token="")
    browser.open(gateway.url)
    browser.wait_text(".banner", "--admin-open-read")
    assert not browser.run("return document.getElementById('token').open")
