"""What the page shows of a gateway."""

from urllib.parse import urlsplit

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.chromium import Browser
from tests.browser.conftest import Start


def test_it_loads_quietly(browser: Browser, start: Start) -> None:
    """The console has no errors, and no host but the gateway gets a request."""
    gateway = start(lively=True)
    browser.open_live(gateway.url)
    browser.wait_text(".lane", "new a second")
    asked = [each for each in browser.requests() if not each.startswith("data:")]
    assert {urlsplit(each).netloc for each in asked} == {f"127.0.0.1:{gateway.port}"}
    assert {urlsplit(each).path for each in asked} >= {"/", "/status", "/events"}
    assert browser.console() == []


def test_a_lane_from_a_listener_to_its_upstreams(
    browser: Browser, start: Start
) -> None:
    """
    The page shows each mapping's address, service and policy, and a mark per upstream.
    """
    gateway = start()
    browser.open_live(gateway.url)
    assert "0.0.0.0:80" in browser.text(".lane h2")
    assert "web" in browser.text(".lane h2")
    assert "least connections" in browser.text(".lane .rule")
    fields = {"standing": "serving", "reason": "passing", "open": 37}
    weight = {"weight": 5, "effective_weight": 5.0}
    gateway.say("alter", "web-1", "", {**fields, **weight})
    browser.wait(_IN_ROW + "return cell('web-1', '.open') === '37'")
    row = browser.row("web-1")
    for words in ("serving", "10.0.0.1:8080", "node-01", "passing", "Drain"):
        assert words in row
    assert browser.run(_IN_ROW + "return cell('web-1', '.weight')") == "5"


def test_open_connections_against_the_others(browser: Browser, start: Start) -> None:
    """Bars have one measure, and each a mark at its fair share by weight."""
    gateway = start()
    browser.open_live(gateway.url)
    for number in range(8):
        nothing = {"standing": "serving", "open": 0, "effective_weight": 0.0}
        gateway.say("alter", f"web-{number}", "", nothing)
    gateway.say("alter", "web-0", "", {"open": 30, "effective_weight": 3.0})
    gateway.say("alter", "web-1", "", {"open": 10, "effective_weight": 1.0})
    browser.wait(_BAR + "return bar('web-0').value > 0 && bar('web-7').value === 0")
    large, small = (browser.run(_BAR + f"return bar('web-{each}')") for each in (0, 1))
    assert large["value"] == pytest.approx(3 * small["value"], rel=0.02)
    assert large["value"] == pytest.approx(large["fair"], rel=0.02)
    assert small["value"] == pytest.approx(small["fair"], rel=0.02)


@pytest.mark.parametrize(
    "standing", ["serving", "warming", "draining", "ejected", "suspect"]
)
def test_standing_by_word_and_shape(
    browser: Browser, start: Start, standing: str
) -> None:
    """Colour is not all that tells one standing from another."""
    gateway = start()
    browser.open_live(gateway.url)
    fields = {"standing": standing, "reason": f"as {standing} as it can be"}
    gateway.say("alter", "web-3", "changed", fields)
    browser.wait(
        _IN_ROW + "return cell('web-3', '.reason') === arguments[0]", fields["reason"]
    )
    assert browser.run(_IN_ROW + "return cell('web-3', '.word')") == standing
    shapes = browser.run(
        "return [...document.querySelectorAll('#legend path')]"
        ".map((each) => each.getAttribute('d'))"
    )
    assert len(set(shapes)) == 5
    shown = browser.run(
        _IN_ROW + "return node('web-3', '.standing path').getAttribute('d')"
    )
    assert shown in shapes


def test_all_that_is_known_about_one(browser: Browser, start: Start) -> None:
    """Details stand behind an upstream's name, and only while they are open."""
    gateway = start()
    browser.open_live(gateway.url)
    browser.wait(_IN_ROW + "return node('web-2', '.name') !== null")
    browser.click_in_row("web-2", ".name")
    browser.wait_text(".details", "Failed connects")
    assert "node-02 in dc1" in browser.text(".details")
    browser.click_in_row("web-2", ".name")
    assert browser.text(".details") == ""


def test_its_title_tells_how_it_is(browser: Browser, start: Start) -> None:
    """One looks at the tab, and knows."""
    gateway = start(upstreams=3)
    browser.open_live(gateway.url)
    for service in ("web", "api", "graphite"):
        assert service in browser.text("#lanes")
    browser.wait("return document.title === '● lbconsul'")
    assert browser.text("#state") == "all well"
    gateway.say("join", 7, {"standing": "draining", "reason": "maintenance"})
    browser.wait("return document.title === '▲ lbconsul · 1 not serving'")
    gateway.say("alter", "web-0", "ejected", {"standing": "ejected"})
    browser.wait("return document.title === '✕ lbconsul · no upstream serves web'")
    browser.wait_text(".empty", "No upstream of web,dc=dc1 serves")


def test_theme(browser: Browser, start: Start) -> None:
    """As the system has it, unless its user chooses; the choice is kept."""
    browser.prefer("dark")
    gateway = start()
    browser.open_live(gateway.url)
    dark = browser.run(_PAPER)
    browser.click("#theme")
    light = browser.run(_PAPER)
    assert dark != light
    browser.open_live(gateway.url)
    assert browser.run(_PAPER) == light
    assert browser.text("#theme") == "Theme: light"
    browser.click("#theme")
    assert browser.run(_PAPER) == dark
    browser.prefer("light")
    assert browser.run(_PAPER) == dark
    browser.click("#theme")
    assert browser.run(_PAPER) == light


def test_the_gateway_itself(browser: Browser, start: Start) -> None:
    """Its options in force, tokens hidden, and its workers."""
    gateway = start()
    browser.open_live(gateway.url)
    assert browser.text("#options") == ""
    browser.click("#about summary")
    assert "state-dir" in browser.text("#options")
    assert "(hidden)" in browser.text("#options")
    assert "Worker 2" in browser.text("#workers")


def test_below_a_path(browser: Browser, start: Start) -> None:
    """No address of the page begins at the root, so a reverse proxy may move it."""
    gateway = start()
    browser.open_live(gateway.url)
    addresses = browser.run(
        "return [...document.querySelectorAll('[href], [src]')]"
        ".map((each) => each.getAttribute('href') ?? each.getAttribute('src'))"
    )
    assert [each for each in addresses if each.startswith(("/", "http"))] == []


def test_the_chart_can_be_read(browser: Browser, start: Start) -> None:
    """New connections and bytes are drawn, and stand beside it as text."""
    gateway = start(lively=True)
    browser.open_live(gateway.url)
    browser.wait(
        "return parseFloat(document.querySelector('.lane .fresh dd').textContent) > 0"
    )
    browser.wait(
        "const canvas = document.querySelector('.chart canvas');"
        "const {width, height} = canvas;"
        "const {data} = canvas.getContext('2d').getImageData(0, 0, width, height);"
        "return data.some((each) => each > 0)"
    )
    assert browser.run(
        "return document.querySelector('.chart').getAttribute('aria-label')"
    )
    browser.press(Keys.TAB)


_IN_ROW = """
    const rows = () => [...document.querySelectorAll('.row[data-upstream]')];
    const node = (name, selector) => rows()
        .find((each) => each.querySelector('.name').textContent === name)
        ?.querySelector(selector) ?? null;
    const cell = (name, selector) => node(name, selector)?.innerText.trim() ?? null;
"""

_BAR = (
    _IN_ROW
    + """
    const bar = (name) => {
        const { style } = node(name, '.meter').closest('.row');
        const value = (each) => parseFloat(style.getPropertyValue(each) || '0');
        return { value: value('--part'), fair: value('--fair') };
    };
"""
)

_PAPER = "return getComputedStyle(document.body).backgroundColor"
