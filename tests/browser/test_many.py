"""A pool of many is readable, and costs little."""

import time

from tests.browser.chromium import Browser, wait_for
from tests.browser.conftest import Start

MANY = 500

#: From the answer of /status to the frame that shows all of it, in milliseconds.
_RENDERING = """
    const done = arguments[0];
    const look = () => {
        const [shown] = performance.getEntriesByName('shown');
        if (!shown) return requestAnimationFrame(look);
        const asked = performance.getEntriesByType('resource')
            .find((each) => each.name.endsWith('/status'));
        requestAnimationFrame(() => setTimeout(() =>
            done({ rendering: performance.now() - asked.responseEnd,
                   all: performance.now() })));
    };
    look();
"""

_ROWS = "return document.querySelectorAll('.row[data-upstream]').length"


def _names(browser: Browser) -> list[str]:
    return list(
        browser.run(
            "return [...document.querySelectorAll('.row[data-upstream] .name')]"
            ".map((each) => each.textContent)"
        )
    )


def test_many_render(browser: Browser, start: Start) -> None:
    """All of them, from the answer to the frame that shows it."""
    gateway = start()
    gateway.say("only", MANY)
    browser.open(gateway.url)
    took = browser.driver.execute_async_script(_RENDERING)
    print(f"{MANY} upstreams: {took['rendering']:.0f} ms, whole {took['all']:.0f} ms")
    assert browser.run(_ROWS) == MANY


def test_only_what_changed_is_touched(browser: Browser, start: Start) -> None:
    """A second in which one upstream changes leaves the rows of all others alone."""
    gateway = start()
    gateway.say("only", MANY)
    browser.open_live(gateway.url)
    browser.wait(_ROWS + f" === {MANY}")
    time.sleep(2.5)
    browser.run(
        "window.touched = new Set();"
        "new MutationObserver((all) => all.forEach(({target}) => {"
        "  const node = target.nodeType === 3 ? target.parentElement : target;"
        "  const row = node?.closest('.row[data-upstream]');"
        "  if (row) window.touched.add(row.querySelector('.name').textContent);"
        "})).observe(document.querySelector('.rows'),"
        "  {subtree: true, childList: true, characterData: true, attributes: true});"
    )
    gateway.say("alter", "web-400", "", {"total": 99_999_999, "reason": "other"})
    browser.wait("return window.touched.has('web-400')")
    touched = browser.run("return [...window.touched]")
    # The age of some changes: those that stand so for under a minute, or turn an hour.
    assert len(touched) < 20


def test_updates_cost_little(browser: Browser, start: Start) -> None:
    """A page that is looked at takes a small part of a processor."""
    gateway = start(upstreams=MANY, lively=True)
    browser.open_live(gateway.url)
    browser.driver.execute_cdp_cmd("Performance.enable", {})
    time.sleep(1)
    before, began = _busy(browser), time.monotonic()
    time.sleep(3)
    share = (_busy(browser) - before) / (time.monotonic() - began)
    print(f"{MANY} upstreams, each changing: {share:.1%} of a processor")
    assert share < 0.5


def _busy(browser: Browser) -> float:
    """The processor time of the page's thread, which no busy machine makes longer."""
    metrics = browser.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return float(
        next(each["value"] for each in metrics if each["name"] == "ThreadTime")
    )


def test_searching(browser: Browser, start: Start) -> None:
    """By any part of what stands there."""
    gateway = start()
    gateway.say("only", MANY)
    gateway.say("alter", "web-123", "", {"reason": "check 'disk' critical: full"})
    browser.open_live(gateway.url)
    browser.wait(_ROWS + f" === {MANY}")
    browser.run("document.querySelector('.tools input').focus()")
    browser.press("DISK")
    browser.wait(_ROWS + " === 1")
    assert _names(browser) == ["web-123"]
    assert browser.text(".tools output") == "1 of 500"


def test_hiding_a_standing(browser: Browser, start: Start) -> None:
    """A push of a button for each, with how many there are."""
    gateway = start()
    gateway.say("only", 100)
    for number in range(20):
        gateway.say("alter", f"web-{number}", "", {"standing": "serving"})
    gateway.say("alter", "web-50", "", {"standing": "ejected"})
    browser.open_live(gateway.url)
    browser.wait(_ROWS + " === 100")
    browser.wait_text(".chip[data-standing=ejected]", "1")
    browser.click(".chip[data-standing=serving]")
    browser.wait(_ROWS + " === 1")
    assert _names(browser) == ["web-50"]
    browser.click(".chip[data-standing=serving]")
    browser.wait(_ROWS + " === 100")
    assert _names(browser)[0] == "web-50"


def test_sorting(browser: Browser, start: Start) -> None:
    """By a figure, the most first; and by name as people count."""
    gateway = start()
    gateway.say("only", 100)
    gateway.say("alter", "web-70", "", {"open": 999})
    browser.open_live(gateway.url)
    browser.wait(_ROWS + " === 100")
    browser.click(".head .open button")
    wait_for(lambda: _names(browser)[0] == "web-70", "the most are first")
    assert (
        browser.run("return document.querySelector('.head .open').ariaSort")
        == "descending"
    )
    browser.click(".head .who button")
    first = [f"web-{number}" for number in range(12)]
    wait_for(lambda: _names(browser)[:12] == first, "in the order of names")
    assert (
        browser.run("return document.querySelector('.head .who').ariaSort")
        == "ascending"
    )


def test_a_bar_leads_to_its_row(browser: Browser, start: Start) -> None:
    """The skyline leads to the upstream that stands out."""
    gateway = start()
    gateway.say("only", 100)
    browser.open_live(gateway.url)
    browser.wait(_ROWS + " === 100")
    browser.run(
        "const canvas = document.querySelector('.skyline canvas');"
        "const {left, width, top} = canvas.getBoundingClientRect();"
        "canvas.dispatchEvent(new MouseEvent('click',"
        " {clientX: left + width * 0.999, clientY: top + 5, bubbles: true}))"
    )
    assert browser.focused() == _names(browser)[-1]


def test_few_become_many_and_few_again(browser: Browser, start: Start) -> None:
    """The form follows the number, while one looks on."""
    gateway = start(upstreams=3)
    browser.open_live(gateway.url)
    browser.wait(_ROWS + " > 2")
    dense = "return document.querySelector('[data-dense]') !== null"
    assert not browser.run(dense)
    for number in range(50, 80):
        gateway.say("join", number, {})
    browser.wait(dense)
    for number in range(50, 80):
        gateway.say("leave", f"web-{number}")
    browser.wait(f"return !(() => {{ {dense} }})()")
    assert browser.console() == []
