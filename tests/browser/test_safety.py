"""Registrations in Consul cannot write markup into the page."""

from pathlib import Path

import pytest

import lbconsul.admin
from tests.browser.chromium import Browser, wait_for
from tests.browser.conftest import Start

PAGE = Path(lbconsul.admin.__file__).with_name("page")

MARKUP = "<img src=x onerror=\"document.title='owned'\">"
SCRIPT = "</span><script>document.title='owned'</script>"


@pytest.mark.parametrize("evil", [MARKUP, SCRIPT, "\"'><b>bold", "‮evil\u0000"])
def test_texts_stay_texts(browser: Browser, start: Start, evil: str) -> None:
    """Ids, tags, nodes, reasons, events and errors are shown as they are."""
    gateway = start()
    fields = {
        "service_id": evil, "node": evil, "id": f"dc1/x/{len(evil)}",
        "tags": [evil], "reason": evil, "address": evil,
    }  # fmt: skip
    gateway.say("join", 99, fields)
    gateway.say(
        "watches", {"last_error": evil, "failing_since": 1.0, "state": "backing off"}
    )
    gateway.say("gateway", {"ready": False, "not_ready": [evil]})
    browser.open_live(gateway.url)
    wait_for(lambda: browser.row(evil), "it is shown")
    browser.click_in_row(evil, ".name")
    browser.wait("return document.querySelector('.details') !== null")
    assert browser.run("return document.title") == "✕ lbconsul · Consul away"
    found = (
        "return document.querySelectorAll('#content :is(img, script, .name b)').length"
    )
    assert browser.run(found) == 0
    assert browser.console() == []


def test_an_order_is_about_the_right_one(browser: Browser, start: Start) -> None:
    """Whatever stands in its id."""
    gateway = start(upstreams=3)
    gateway.say("join", 99, {"service_id": "../a b?#", "id": "dc1/n/..%2Fa%20b%3F%23"})
    browser.open_live(gateway.url)
    browser.wait_text("#lanes", "../a b?#")
    browser.click_in_row("../a b?#", ".order")
    browser.give_token("demo")
    browser.wait_text("#timeline", "dc1/n/..%2Fa%20b%3F%23: drained by hand")


def test_no_source_parses_markup() -> None:
    """There is no way in for it but these, and none is used."""
    ways = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
            "DOMParser", "createContextualFragment", "setHTML")  # fmt: skip
    ours = [each for each in PAGE.glob("*.js") if each.name != "uplot.js"]
    assert len(ours) > 10
    found = [
        (each.name, way) for each in ours for way in ways if way in each.read_text()
    ]
    assert found == []
