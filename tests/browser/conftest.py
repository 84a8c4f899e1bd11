"""What tests of the page may ask for: a real browser, and made-up gateways."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.browser.chromium import Browser, find_chromium
from tests.browser.made_up import MadeUp
from tests.support.binaries import REPOSITORY
from tests.support.needed import lacking

NO_CHROMIUM = (
    "no Chromium with its driver (Debian: chromium, chromium-driver; else set"
    " $CHROMIUM and $CHROMEDRIVER): the page has not been tested"
)
NO_AXE = (
    "no axe-core: set $AXE to axe.min.js, or have npm to fetch it; nobody has"
    " looked whether everybody can use the page"
)

#: Starts a made-up gateway, which ends with the test.
Start = Callable[..., MadeUp]


@pytest.fixture(scope="session")
def one_browser() -> Iterator[Browser]:
    """The browser of all tests; without one they skip, and fail in CI."""
    programs = find_chromium()
    with Browser(*(programs or lacking(NO_CHROMIUM))) as browser:
        yield browser


@pytest.fixture
def browser(one_browser: Browser) -> Browser:
    """The browser, as if it were new."""
    one_browser.reset()
    return one_browser


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts made-up gateways: ``start(upstreams=500)``."""
    with ExitStack() as running:

        def begin(**options: Any) -> MadeUp:
            return running.enter_context(MadeUp(**options))

        yield begin


@pytest.fixture(scope="session")
def axe() -> str:
    """The text of axe-core."""
    path = os.environ.get("AXE")
    if path is None:
        command = [
            str(REPOSITORY / "scripts" / "fetch-axe"),
            str(REPOSITORY / ".cache"),
        ]
        fetched = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=False
        )
        path = fetched.stdout.strip() if fetched.returncode == 0 else None
    with open(path or lacking(NO_AXE)) as file:
        return file.read()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this room is about a browser."""
    for each in items:
        if each.path.parent.name == "browser":
            each.add_marker(pytest.mark.browser)
