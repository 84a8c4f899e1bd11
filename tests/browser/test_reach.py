"""The page is usable with any eyesight, device or keyboard."""

from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.chromium import Browser
from tests.browser.conftest import Start


def _findings(browser: Browser, axe: str) -> list[str]:
    """What axe-core finds that is serious or critical."""
    # A page's policy lets no script in but its own: the driver's are not the page's.
    browser.run(axe)
    result: dict[str, Any] = browser.driver.execute_async_script(
        "const done = arguments[0]; axe.run().then(done)"
    )
    return [
        f"{each['impact']}: {each['id']}: {node['html'][:200]} {node['failureSummary']}"
        for each in result["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("state", "upstreams"), [("ok", 12), ("ok", 200), ("consul-away", 12), ("empty", 0)]
)
def test_axe_finds_nothing(
    browser: Browser, start: Start, axe: str, theme: str, state: str, upstreams: int
) -> None:
    """No serious finding, in both themes."""
    gateway = start(upstreams=upstreams, state=state)
    browser.prefer(theme)
    browser.open_live(gateway.url)
    browser.wait("return document.querySelector('.lane') !== null")
    browser.click("#about summary")
    if upstreams:
        browser.click(".row[data-upstream] .name")
    assert _findings(browser, axe) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_about_requests(
    browser: Browser, start: Start, axe: str, theme: str
) -> None:
    """No serious finding in what a mapping in HTTP mode shows."""
    gateway = start(upstreams=40)
    gateway.say("speak_http")
    browser.prefer(theme)
    browser.size(1800, 900)
    browser.open_live(gateway.url)
    browser.wait_text(".unhappy summary", "Last unhappy requests")
    browser.click(".unhappy summary")
    browser.wait_text(".unhappy", "/basket")
    browser.click(".row[data-upstream] .name")
    assert _findings(browser, axe) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_dialogs(
    browser: Browser, start: Start, axe: str, theme: str
) -> None:
    """
    axe finds nothing in the message after a failure, nor when the gateway is gone.
    """
    gateway = start(upstreams=3)
    browser.prefer(theme)
    browser.open_live(gateway.url)
    browser.wait_text(".row[data-upstream]", "web-0")
    browser.click_in_row("web-0", ".order")
    browser.give_token("wrong")
    browser.wait_text("#token-problem", "refused")
    assert _findings(browser, axe) == []
    browser.give_token("demo")
    browser.wait_text("#notice", "ordered")
    gateway.stop()
    browser.wait_text(".banner", "No connection")
    assert _findings(browser, axe) == []


@pytest.mark.parametrize("width", [375, 320, 768, 1024, 1920])
@pytest.mark.parametrize("upstreams", [3, 100])
def test_nothing_is_wider_than_the_screen(
    browser: Browser, start: Start, width: int, upstreams: int
) -> None:
    """One scrolls a phone in one direction only, and reads all that stands there."""
    gateway = start(upstreams=upstreams)
    long = {"service_id": "web-" + "x" * 90, "reason": "y" * 200, "id": "dc1/n/long"}
    gateway.say("join", 99, long)
    browser.size(width, 800, mobile=width < 700)
    browser.open_live(gateway.url)
    browser.wait("return document.querySelector('.row[data-upstream]') !== null")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    assert _cut(browser) == []


@pytest.mark.parametrize("width", [320, 768, 1024, 1920])
@pytest.mark.parametrize("upstreams", [3, 100])
def test_no_request_is_wider_than_the_screen(
    browser: Browser, start: Start, width: int, upstreams: int
) -> None:
    """Requests with long paths, and their figures, fit on any screen."""
    gateway = start(upstreams=upstreams)
    gateway.say("speak_http")
    gateway.say("fail", ["/" + "x" * 199])
    browser.size(width, 800, mobile=width < 700)
    browser.open_live(gateway.url)
    browser.wait_text(".unhappy summary", "Last unhappy requests: 3")
    browser.click(".unhappy summary")
    browser.wait_text(".unhappy", "/xxx")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    assert _cut(browser) == []


def _cut(browser: Browser) -> list[str]:
    """Figures and buttons that stick out of their row, or do not fit in their place."""
    return list(browser.run(_CUT))


def test_from_the_keyboard(browser: Browser, start: Start) -> None:
    """All that can be done can be reached, seen where it is, and is named."""
    gateway = start(upstreams=3)
    browser.open_live(gateway.url)
    browser.wait_text(".row[data-upstream]", "web-0")
    walked: list[str] = []
    for _ in range(40):
        browser.press(Keys.TAB)
        if browser.focused() in walked[:1] or browser.run(
            "return document.activeElement === document.body"
        ):
            break
        walked.append(browser.focused())
        outline = "return getComputedStyle(document.activeElement).outlineStyle"
        assert browser.run(outline) != "none", walked[-1]
    assert walked[0] == "Skip to the mappings"
    for name in (
        "Theme: auto",
        "web-0",
        "Drain web-0",
        "api-0",
        "Drain api-0",
        "This gateway",
    ):
        assert name in walked
    assert len(walked) == len(set(walked)) or walked.count("api-0") == 2


def test_a_drain_from_the_keyboard(browser: Browser, start: Start) -> None:
    """From the button through the dialog and back, without a mouse."""
    gateway = start(upstreams=3)
    browser.open_live(gateway.url)
    browser.wait_text(".row[data-upstream]", "web-0")
    for _ in range(40):
        browser.press(Keys.TAB)
        if browser.focused() == "Drain web-0":
            break
    browser.press(Keys.ENTER)
    browser.wait("return document.getElementById('token').open")
    assert browser.run("return document.activeElement.id") == "token-field"
    inside = "return document.getElementById('token').contains(document.activeElement)"
    for _ in range(6):
        browser.press(Keys.TAB)
        assert browser.run(inside + "|| document.activeElement === document.body")
    browser.run("document.getElementById('token-field').focus()")
    browser.press("demo", Keys.ENTER)
    browser.wait_text(".row[data-upstream]", "draining")
    browser.wait("return document.activeElement.textContent.includes('web-0')")
    assert browser.focused() == "Undrain web-0"


def test_the_focus_stays_while_figures_change(browser: Browser, start: Start) -> None:
    """An update does not move a button that is about to be pressed."""
    gateway = start(upstreams=3)
    browser.open_live(gateway.url)
    browser.wait_text(".row[data-upstream]", "web-0")
    browser.run("document.querySelector('.row[data-upstream] .order').focus()")
    gateway.say("join", 5, {"standing": "ejected"})
    browser.wait_text("#lanes", "web-5")
    assert browser.focused() == "Drain web-0"


def test_less_motion(browser: Browser, start: Start) -> None:
    """Nothing moves by itself."""
    gateway = start(lively=True)
    browser.open_live(gateway.url)
    gateway.say("alter", "web-1", "changed", {"standing": "ejected"})
    browser.wait("return document.querySelector('.changed') !== null")
    assert browser.run("return document.getAnimations().length") == 0


_CUT = """
    const shown = (each) => each.checkVisibility({contentVisibilityAuto: true});
    const sticksOut = (each) => each.getBoundingClientRect().right
        > each.closest('.row').getBoundingClientRect().right + 1;
    const isCut = (each) => each.clientWidth > 0
        && each.scrollWidth > each.clientWidth + 1;
    return [...document.querySelectorAll('.row :is(.figure, .order, .word)')]
        .filter((each) => shown(each) && (sticksOut(each) || isCut(each)))
        .map((each) => each.outerHTML);
"""
