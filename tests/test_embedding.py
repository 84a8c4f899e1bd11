"""The example of a program that has a gateway in it, run as its readers run it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pytest

import lbconsul
from tests.support.binaries import REPOSITORY
from tests.support.http_api import ask
from tests.support.loopback import PATIENCE
from tests.support.ports import free_ports
from tests.support.waiting import eventually

pytestmark = pytest.mark.process


def test_public_names() -> None:
    """A program finds each public name in the package itself, and no other."""
    for name in lbconsul.__all__:
        assert getattr(lbconsul, name).__name__ == name
    assert set(lbconsul.__all__) <= set(dir(lbconsul))
    with pytest.raises(AttributeError, match="has no attribute 'balancer'"):
        lbconsul.balancer  # noqa: B018


def test_documented_names() -> None:
    """The page for embedders describes each public name."""
    page = (REPOSITORY / "docs" / "embedding.md").read_text()
    for name in lbconsul.__all__:
        assert re.search(rf"`{name}\b", page), name


def test_documented_example() -> None:
    """The example of that page makes a gateway with both of its mappings."""
    page = (REPOSITORY / "docs" / "embedding.md").read_text()
    [code] = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{code}\nprint(*gateway.data_plane.mappings, sep='\\n')",
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ["8080:webserver", "127.0.0.1:5432:postgres"]


def test_import_is_light() -> None:
    """The package alone imports none of its rooms: workers need few of them."""
    said = subprocess.run(
        [sys.executable, "-c", "import lbconsul, sys; print(*sys.modules)"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not [each for each in said.stdout.split() if each.startswith("lbconsul.")]


@pytest.fixture
def catalog() -> Iterator[int]:
    """The port of a catalog that knows three web servers of the service webserver."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.dev_catalog", "webserver"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield int(process.stdout.readline())
    process.communicate("", timeout=PATIENCE)
    assert process.returncode == 0


def answers(port: int) -> set[str]:
    """Which web servers answer a dozen requests, none if they fail."""
    try:
        pages = [str(ask(port, "GET", "/")[2]) for _ in range(12)]
    except (OSError, HTTPException):
        return set()
    return {re.findall(r"webserver-\d", page)[0] for page in pages}


def test_example(catalog: int, tmp_path: Path) -> None:
    """
    Both ports are balanced over the three instances, the mapping's and the
    program's own, and the program ends when it is asked to.
    """
    ports = free_ports(2)
    arguments = [f"127.0.0.1:{catalog}", *map(str, ports)]
    log = tmp_path / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, str(REPOSITORY / "examples" / "embed.py"), *arguments],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=output,
            stderr=output,
        ) as program,
    ):
        try:
            three = {"webserver-1", "webserver-2", "webserver-3"}
            for port in ports:
                eventually(lambda port=port: answers(port) == three, f"all of {port}")  # type: ignore[misc]
            program.send_signal(signal.SIGTERM)
            status = program.wait(PATIENCE)
        finally:
            program.kill()
    said = log.read_text()
    # An unhandled signal is passed on by Twisted once all is stopped.
    assert status in (0, -signal.SIGTERM), said
    assert "Traceback" not in said, said
    assert re.search(
        r"stopped: \d+ connections accepted, \d+ closed at the end", said
    ), said
    assert f"{ports[0]}:webserver webserver-" in said
    assert " webserver webserver-" in said
