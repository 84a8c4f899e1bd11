"""What was before the page was opened is there, and where it goes wrong is found."""

import json
import time
from urllib.request import urlopen

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.browser.chromium import Browser, wait_for
from tests.browser.conftest import Start
from tests.browser.test_reach import _findings
from tests.support.loopback import PATIENCE

#: The share of a chart's columns, from left to right, in which its lines are drawn.
_DRAWN = """
    const canvas = document.querySelector('.chart canvas');
    const {width, height} = canvas;
    const pixels = canvas.getContext('2d').getImageData(0, 0, width, height).data;
    const is = (x, y) => {
        const [r, g, b, a] = pixels.slice(4 * (y * width + x), 4 * (y * width + x) + 4);
        return a > 200 && b > r + 60;
    };
    let drawn = 0;
    for (let x = 0; x < width; x += 4)
        for (let y = 0; y < height; y += 1) if (is(x, y)) { drawn += 1; break; }
    return drawn / (width / 4);
"""

_LISTED = (
    "return [...document.querySelectorAll('#list li[data-mapping]')]"
    ".map((each) => each.dataset.mapping)"
)


def _type(browser: Browser, keys: str) -> None:
    """Press keys as a keyboard does, wherever the focus is at that moment."""
    ActionChains(browser.driver).send_keys(keys).perform()


def test_the_chart_is_full_at_once(browser: Browser, start: Start) -> None:
    """A page that is opened after the alarm shows the hour before it."""
    gateway = start()
    gateway.say("remember", 30)
    browser.open_live(gateway.url)
    label = "return document.querySelector('.chart').getAttribute('aria-label')"
    browser.wait(f"return (() => {{ {label} }})().endsWith('in the last 1 h')")
    browser.wait(f"return (() => {{ {_DRAWN} }})() > 0.8")
    browser.wait_text(".lane .failed", "failed, last minute")
    browser.wait_text("#problems", "failed in the last minute")
    browser.press("1")
    browser.wait(f"return (() => {{ {label} }})().endsWith('in the last 5 min')")
    browser.wait(f"return (() => {{ {_DRAWN} }})() > 0.8")


def test_a_gateway_without_a_past(browser: Browser, start: Start) -> None:
    """An older gateway, as during a takeover back to it, is shown without a past."""
    gateway = start()
    gateway.say("be_old")

    def is_old() -> bool:
        with urlopen(f"{gateway.url}status", timeout=PATIENCE) as answer:
            return "failed" not in json.load(answer)["mappings"][0]

    wait_for(is_old, "its status is that of an older gateway")
    browser.open_live(gateway.url)
    browser.wait_text(".row[data-upstream]", "web-")
    browser.wait_text(".lane", "new a second")
    gateway.say("alter", "web-1", "ejected", {"standing": "ejected", "reason": "why"})
    browser.wait_text("#problems", "web-1 ejected: why")
    browser.click_in_row("web-1", ".name")
    browser.wait_text(".details", "Last error")
    assert browser.text(".failing:not([hidden])") == ""
    assert browser.console() == []


def test_problems_lead_to_their_places(browser: Browser, start: Start) -> None:
    """The worst first; a click leads to the mapping, or to the upstream, itself."""
    gateway = start()
    gateway.say("alter", "web-1", "", {"standing": "ejected", "reason": "3 failures"})
    browser.open_live(gateway.url)
    browser.wait_text("#problems", "web-1 ejected: 3 failures")
    listening = {"listening": False, "empty": "Consul has no service api"}
    gateway.say("map", "8080:api,dc=dc1|dc2", listening)
    browser.wait_text("#problems li", "accepts no clients now")
    assert "problem" in browser.text("#problems h2")
    browser.run(
        "[...document.querySelectorAll('#problems a')]"
        ".find((each) => each.textContent.includes('web-1')).click()"
    )
    browser.wait("return document.activeElement.textContent === 'web-1'")
    browser.wait_text(".details", "Last error")
    browser.click("#problems a")
    browser.wait("return document.activeElement.textContent.includes('8080')")
    gateway.say("map", "8080:api,dc=dc1|dc2", {"listening": True, "empty": ""})
    gateway.say("alter", "web-1", "", {"standing": "serving", "reason": "passing"})
    browser.wait(
        "return !document.querySelector('#problems').innerText.includes('web-1')"
    )


def test_many_mappings_are_a_list(browser: Browser, start: Start) -> None:
    """One line each, those with problems first; a line opens into all there is."""
    gateway = start()
    gateway.say("fill", 40)
    gateway.say("remember")
    gateway.say("map", "9033:svc-33", {"listening": False})
    browser.open_live(gateway.url)
    browser.wait(f"return (() => {{ {_LISTED} }})().length === 43")
    browser.wait(f"return (() => {{ {_LISTED} }})().indexOf('9033:svc-33') < 4")
    assert browser.text(".lane") == ""
    assert "2 of 2" in browser.text("li[data-mapping='9000:svc-0']")
    browser.click("li[data-mapping='9000:svc-0'] > button")
    browser.wait_text("li[data-mapping='9000:svc-0'] .lane", "svc-0-1")
    browser.click("li[data-mapping='9000:svc-0'] > button")
    assert browser.text(".lane") == ""
    gateway.say("split", "9001:svc-1", "tag=canary")
    gateway.say("split", "9002:svc-2", "")
    browser.wait_text("li[data-mapping='9001:svc-1']", "svc-1 (tag=canary)")
    browser.wait_text("li[data-mapping='9002:svc-2']", "svc-2 (the rest)")
    gateway.say("map", "9033:svc-33", {"listening": True})
    gateway.say("fail_checks")
    browser.wait_text("#state", "own checks fail")
    browser.wait_text(
        "#problems", "80:web: the own checks of all 8 instances fail (404)"
    )
    gateway.say(
        "alter", "web-0", "", {"standing": "draining", "reason": "own check: 4"}
    )
    browser.wait_text("#problems", "web-0 own check: 4")
    why = "closed, requests get 503: weight=x must be a number"
    closed = {"route": "/bad", "service": "", "empty": why, "pools": ()}
    gateway.say("map", "9033:svc-33", closed)
    browser.wait_text("#state", "a route is closed")
    browser.wait_text("#problems li[data-level=bad]", f"9033:svc-33: {why}")
    browser.wait_text("li[data-mapping='9033:svc-33']", "→ closed")
    assert browser.console() == []


def test_finding_one_of_many(browser: Browser, start: Start) -> None:
    """By the keyboard: / to find, j and k to walk, Enter to open, ? for all keys."""
    gateway = start()
    gateway.say("fill", 40)
    browser.open_live(gateway.url)
    browser.wait(f"return (() => {{ {_LISTED} }})().length === 43")
    _type(browser, "/")
    _type(browser, "SVC-3")
    browser.wait_text("#view output", "11 of 43 mappings")
    browser.run("document.activeElement.blur()")
    _type(browser, "j")
    _type(browser, "j")
    _type(browser, "k")
    browser.wait("return document.activeElement.innerText.includes('svc-3')")
    browser.run("document.activeElement.click()")
    browser.wait_text(".lane h2", "svc-3")
    browser.run("document.getElementById('filter').focus()")
    _type(browser, Keys.ESCAPE)
    browser.wait(f"return (() => {{ {_LISTED} }})().length === 43")
    browser.run("document.activeElement.blur()")
    _type(browser, "?")
    browser.wait_text("#keys", "go to the next problem")
    browser.click("#keys input")
    browser.click("#keys button")
    _type(browser, "?")  # the keys are off
    time.sleep(0.2)
    assert browser.text("#keys") == ""


def test_a_place_has_an_address(browser: Browser, start: Start) -> None:
    """An address with a mapping and an upstream leads there, in a list as well."""
    gateway = start()
    gateway.say("fill", 40)
    place = "mapping=9031%3Asvc-31&upstream=dc1%2Fnode-01%2Fsvc-31-1"
    browser.open(f"{gateway.url}#{place}")
    browser.wait("return document.activeElement.textContent === 'svc-31-1'")
    browser.wait_text(".details", "Last error")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_a_list(
    browser: Browser, start: Start, axe: str, theme: str
) -> None:
    """No serious finding in the list, the problems, and the dialog of keys."""
    gateway = start()
    gateway.say("fill", 12)
    gateway.say("remember", 30)
    gateway.say("fail_connections", [{"client": "192.0.2.9:5"}])
    gateway.say("alter", "web-1", "", {"standing": "ejected", "reason": "3 failures"})
    browser.prefer(theme)
    browser.open_live(gateway.url)
    browser.wait_text("#problems", "web-1 ejected")
    browser.click("li[data-mapping='80:web'] > button")
    browser.wait_text(".unhappy summary", "Last unhappy connections")
    browser.click(".unhappy:not([hidden]) summary")
    assert _findings(browser, axe) == []
    browser.press("?")
    browser.wait_text("#keys", "go to the next problem")
    assert _findings(browser, axe) == []


@pytest.mark.parametrize("width", [320, 1024])
def test_the_list_is_not_wider_than_the_screen(
    browser: Browser, start: Start, width: int
) -> None:
    """Long names and problems fit on any screen."""
    gateway = start()
    gateway.say("fill", 12)
    gateway.say("alter", "web-1", "", {"standing": "ejected", "reason": "y" * 200})
    gateway.say("map", "9000:svc-0", {"service": "x" * 120})
    browser.size(width, 800, mobile=width < 700)
    browser.open_live(gateway.url)
    browser.wait_text("#problems", "web-1 ejected")
    assert browser.run("return document.documentElement.scrollWidth") <= width
