"""A real browser, and what a person would do with the page in it."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys

from tests.support.waiting import PATIENCE

#: Chromium is to talk to the page's gateway only.
_QUIET = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def find_chromium() -> tuple[str, str] | None:
    """Chromium and its driver: $CHROMIUM and $CHROMEDRIVER, or those in the path."""
    names = {
        "CHROMIUM": ("chromium", "chromium-browser", "google-chrome"),
        "CHROMEDRIVER": ("chromedriver",),
    }
    found = []
    for variable, programs in names.items():
        path = os.environ.get(variable) or next(
            filter(None, map(shutil.which, programs)), None
        )
        if path is None:
            return None
        found.append(path)
    return found[0], found[1]


class Browser:
    """A window of Chromium, with a profile that is thrown away."""

    def __init__(self, chromium: str, driver: str) -> None:
        self._programs = (chromium, driver)

    def __enter__(self) -> Self:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        options = ChromeOptions()
        options.binary_location = self._programs[0]
        for each in (*_QUIET, f"--user-data-dir={self._profile.name}"):
            options.add_argument(each)
        logs = {"browser": "ALL", "performance": "ALL"}
        options.set_capability("goog:loggingPrefs", logs)
        self.driver = Chrome(options=options, service=Service(self._programs[1]))
        self.driver.set_script_timeout(PATIENCE)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.driver.quit()
        self._profile.cleanup()

    def reset(self) -> None:
        """As a new one: its former page is gone, and its logs are empty."""
        self.driver.get("about:blank")
        self.size(1280, 900)
        self.prefer("light")
        self.console()
        self.requests()

    def size(self, width: int, height: int, *, mobile: bool = False) -> None:
        """The page has so many pixels of CSS."""
        metrics = {"width": width, "height": height, "mobile": mobile}
        self._cdp("Emulation.setDeviceMetricsOverride", deviceScaleFactor=1, **metrics)

    def prefer(self, scheme: str) -> None:
        """Its user prefers ``light`` or ``dark``."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._cdp("Emulation.setEmulatedMedia", features=[feature])

    @contextmanager
    def trusting_all(self) -> Iterator[None]:
        """It does not verify servers' certificates."""
        self._cdp("Security.setIgnoreCertificateErrors", ignore=True)
        yield
        self._cdp("Security.setIgnoreCertificateErrors", ignore=False)

    def open(self, url: str) -> None:
        """Open a page, and wait until it is there."""
        self.driver.get(url)

    def open_live(self, url: str) -> None:
        """Open the page of a gateway, and wait until it is live."""
        self.open(url)
        self.wait("return document.body.dataset.phase === 'live'")

    def run(self, script: str, *arguments: Any) -> Any:
        """The value of a script."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str, *arguments: Any, patience: float = PATIENCE) -> float:
        """Wait until a script's value is true; how long that took, in seconds."""
        return wait_for(lambda: self.run(script, *arguments), script, patience)

    def text(self, selector: str) -> str:
        """What stands in the first of these elements that can be seen; "" if none."""
        return str(
            self.run(_SEEN + "return find(arguments[0])?.innerText ?? ''", selector)
        )

    def wait_text(self, selector: str, words: str, patience: float = PATIENCE) -> float:
        """Wait until these words can be read there."""
        script = (
            _SEEN
            + "return (find(arguments[0])?.innerText ?? '').includes(arguments[1])"
        )
        try:
            return self.wait(script, selector, words, patience=patience)
        except AssertionError as error:
            there = self.text(selector)
            raise AssertionError(
                f"{words!r} is not in {selector}: {there!r}"
            ) from error

    def row(self, service_id: str) -> str:
        """What is to be read about an upstream; "" if it is not there."""
        found = self.run(_ROW + "return row(arguments[0])?.innerText ?? ''", service_id)
        return str(found)

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def focused(self) -> str:
        """The focused element, in the words of a screen reader."""
        return str(
            self.run(
                "const e = document.activeElement;"
                "return (e.getAttribute('aria-label') ?? e.textContent)"
                ".replace(/\\s+/g, ' ').trim()"
            )
        )

    def click(self, selector: str) -> None:
        """Click the first of these elements that can be seen."""
        self.run(_SEEN + "find(arguments[0]).click()", selector)

    def click_in_row(self, service_id: str, selector: str) -> None:
        """Click something about an upstream."""
        script = _ROW + "row(arguments[0]).querySelector(arguments[1]).click()"
        self.run(script, service_id, selector)

    def give_token(self, token: str) -> None:
        """Fill in the dialog that asks for it."""
        self.wait("return document.getElementById('token').open")
        self.press(token, Keys.ENTER)

    def console(self) -> list[str]:
        """What was written to the console since this was asked last."""
        return [each["message"] for each in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """The addresses that were asked since this was asked last."""
        entries = self.driver.get_log("performance")
        messages = [json.loads(each["message"])["message"] for each in entries]
        return [
            each["params"]["request"]["url"]
            for each in messages
            if each["method"] == "Network.requestWillBeSent"
        ]

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Keep what can be seen, or the page from top to end."""
        if whole:
            width, height = self.run(
                "return [innerWidth, document.documentElement.scrollHeight]"
            )
            self.size(width, height)
            time.sleep(0.5)
        self.driver.save_screenshot(str(path))

    def _cdp(self, command: str, **arguments: Any) -> None:
        self.driver.execute_cdp_cmd(command, arguments)


_SEEN = """
    const find = (selector) => [...document.querySelectorAll(selector)]
        .find((each) => each.getClientRects().length > 0);
"""

_ROW = """
    const row = (name) => [...document.querySelectorAll('.row[data-upstream]')]
        .find((each) => each.querySelector('.name').textContent === name);
"""


def wait_for(
    happened: Callable[[], Any], what: str, patience: float = PATIENCE
) -> float:
    """Wait until it has happened; how long that took, in seconds."""
    began = time.monotonic()
    while not happened():
        waited = time.monotonic() - began
        assert waited < patience, f"not within {patience} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - began
