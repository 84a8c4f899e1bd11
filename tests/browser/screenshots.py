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
        with MadeUp(upstreams=12, lively=True) as many:
            browser.size(1440, 960)
            many.say("only", 500)
            _some_of_many(many)
            browser.open_live(many.url)
            time.sleep(_A_WHILE)
            browser.screenshot(directory / "many.png")


def _few(browser: Browser, gateway: MadeUp) -> None:
    for name in ("web-0", "web-1", "web-2", "web-3", "web-4", "web-5"):
        gateway.say("alter", name, "", {"weight": 10, "effective_weight": 10.0,
                                        "standing": "serving", "reason": "passing"})  # fmt: skip
    gateway.say("alter", "web-3", "", {"weight": 5, "effective_weight": 5.0})
    browser.open_live(gateway.url)
    time.sleep(_A_WHILE - 15)
    gateway.say("alter", "web-4", "ejected",
                {"standing": "ejected", "effective_weight": 0.0, "open": 1, "since": time.time(),
                 "reason": "3 in a row not connected, back in 8 s"})  # fmt: skip
    gateway.say("join", 6, {"weight": 10, "effective_weight": 3.0, "standing": "warming",
                            "reason": "slow start, 30 % so far"})  # fmt: skip
    gateway.say("alter", "web-5", "altered",
                {"standing": "draining", "effective_weight": 0.0, "open": 14,
                 "since": time.time(), "reason": "maintenance: upgrading to v2.4"})  # fmt: skip
    time.sleep(15)


def _some_of_many(gateway: MadeUp) -> None:
    for number in range(500):
        fields = {"standing": "serving", "reason": "passing", "open": 0,
                  "weight": 1, "effective_weight": 1.0, "since": time.time() - 97 * number}  # fmt: skip
        if number % 97 == 3:
            fields |= {"standing": "ejected", "effective_weight": 0.0,
                       "reason": "3 in a row not connected, back in 8 s"}  # fmt: skip
        elif number % 53 == 7:
            fields |= {"standing": "draining", "effective_weight": 0.0, "open": 2,
                       "reason": "maintenance: upgrading to v2.4"}  # fmt: skip
        elif number % 71 == 9:
            fields |= {"standing": "warming", "effective_weight": 0.5,
                       "reason": "slow start, 50 % so far"}  # fmt: skip
        gateway.say("alter", f"web-{number}", "", fields)


def _away(gateway: MadeUp) -> None:
    now = time.time()
    gateway.say("watches", {
        "state": "backing off", "age": 130.0, "errors": 91, "failing_since": now - 124,
        "last_error": "no answer from Consul at http://10.0.0.1:8500: Connection refused",
    })  # fmt: skip


if __name__ == "__main__":
    main(
        Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "docs" / "screenshots"
    )
