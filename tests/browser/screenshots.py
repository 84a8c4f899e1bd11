"""Pictures of the page, for the README.

usage: python -m tests.browser.screenshots [DIRECTORY]
"""

import sys
import time
from pathlib import Path

from tests.browser.chromium import Browser, find_chromium
from tests.browser.made_up import MadeUp
from tests.support.binaries import REPOSITORY

#: Long enough for the curves to have a form, in seconds.
_A_WHILE = 75


def main(directory: Path) -> None:
    """Take them all."""
    programs = find_chromium()
    if programs is None:
        sys.exit("no Chromium with its driver: see tests/browser/conftest.py")
    directory.mkdir(parents=True, exist_ok=True)
    with Browser(*programs) as browser:
        browser.reset()
        with MadeUp(upstreams=9, lively=True) as few:
            browser.size(1440, 960)
            _few(browser, few)
            browser.screenshot(directory / "light.png")
            browser.prefer("dark")
            time.sleep(1.5)
            browser.screenshot(directory / "dark.png")
            browser.prefer("light")
            _away(few)
            browser.wait_text(".banner", "Consul has been away")
            time.sleep(2.5)
            browser.screenshot(directory / "consul-away.png")
            browser.size(375, 812, mobile=True)
            time.sleep(1.5)
            browser.screenshot(directory / "phone.png")
        with MadeUp(upstreams=9, lively=True) as few:
            browser.size(1440, 1000)
            _alarm(few)
            browser.open_live(few.url)
            time.sleep(40)
            browser.click(".unhappy:not([hidden]) summary")
            time.sleep(1.5)
            browser.screenshot(directory / "alarm.png")
            few.say("fill", 40)
            few.say("remember", 40)
            few.say("map", "9007:svc-7", {"listening": False})
            browser.size(1440, 900)
            browser.open_live(few.url)
            time.sleep(20)
            browser.screenshot(directory / "list.png")
        with MadeUp(upstreams=12, lively=True) as many:
            browser.size(1440, 960)
            many.say("only", 500)
            _some_of_many(many)
            browser.open_live(many.url)
            time.sleep(_A_WHILE)
            browser.screenshot(directory / "many.png")


def _few(browser: Browser, gateway: MadeUp) -> None:
    serving = _standing("serving", "passing", 10.0)
    for number in range(6):
        gateway.say("alter", f"web-{number}", "", {**serving, "weight": 10})
    gateway.say("alter", "web-3", "", {"weight": 5, "effective_weight": 5.0})
    gateway.say("remember")
    browser.open_live(gateway.url)
    time.sleep(_A_WHILE - 15)
    failed = _standing("ejected", "3 consecutive connect failures, back in 8 s")
    gateway.say(
        "alter", "web-4", "ejected", {**failed, "since": time.time(), "open": 1}
    )
    warming = _standing("warming", "slow start, 30 % so far", 3.0)
    gateway.say("join", 6, {**warming, "weight": 10})
    upgrading = _standing("draining", "maintenance: upgrading to v2.4")
    gateway.say("alter", "web-5", "changed", {**upgrading, "since": time.time()})
    time.sleep(15)


def _alarm(gateway: MadeUp) -> None:
    """For some minutes one upstream refuses, and another one is failing."""
    gateway.say("remember", 40)
    for number in range(6):
        fields = _standing("serving", "passing", 10.0) | {"weight": 10}
        gateway.say("alter", f"web-{number}", "", fields)
    now = time.time()
    failing = {"last_error": "Connection refused", "last_error_at": now - 2}
    failed = _standing("ejected", "9 consecutive connect failures, back in 40 s")
    failed |= {"since": now - 312, "failures_per_minute": 38.0, "open": 0}
    gateway.say("alter", "web-1", "ejected", failed | failing)
    slow = {"failures_per_minute": 9.0, "first_byte_p50": 0.21, "first_byte_p99": 2.4}
    gateway.say("alter", "web-2", "", slow | failing | {"last_error": "timed out"})
    drained = _standing("draining", "drained by hand")
    drained |= {"since": now - 95, "drain_began_with": 12, "open": 3}
    gateway.say("alter", "web-5", "drained", drained)
    gateway.say("break_down")


def _some_of_many(gateway: MadeUp) -> None:
    for number in range(500):
        fields = _standing("serving", "passing", 1.0)
        if number % 97 == 3:
            fields = _standing("ejected", "3 consecutive connect failures, back in 8 s")
        elif number % 53 == 7:
            fields = _standing("draining", "maintenance: upgrading to v2.4")
        elif number % 71 == 9:
            fields = _standing("warming", "slow start, 50 % so far", 0.5)
        fields |= {"weight": 1, "open": 0, "since": time.time() - 97 * number}
        gateway.say("alter", f"web-{number}", "", fields)


def _standing(standing: str, reason: str, weight: float = 0.0) -> dict[str, object]:
    return {"standing": standing, "reason": reason, "effective_weight": weight}


def _away(gateway: MadeUp) -> None:
    why = "no answer from Consul at http://10.0.0.1:8500: Connection refused"
    fields = {"state": "backing off", "age": 130.0, "errors": 91, "last_error": why}
    gateway.say("watches", {**fields, "failing_since": time.time() - 124})


if __name__ == "__main__":
    main(
        Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "docs" / "screenshots"
    )
