"""Autobahn's test suite, which needs Python 2.7 or PyPy 2.7."""

import glob
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.binaries import REPOSITORY
from tests.support.waiting import eventually

#: The last one that there is.
SUITE = "autobahntestsuite==0.8.2"

FOLDER = REPOSITORY / ".cache" / "autobahn"

#: Where it is looked for; $PYTHON2 comes first.
PYTHONS = ("python2.7", "pypy", "pypy2", "python2")

_IS_2_7 = "import sys; sys.exit(sys.version_info[:2] != (2, 7))"

#: Packages of a namespace need the folder to be one of the site's.
_RUN = (
    "import site, sys; site.addsitedir(sys.argv.pop(1));"
    " from autobahntestsuite.wstest import run; run()"
)


class Missing(Exception):
    """What Autobahn needs is not on this machine; the text tells what."""


class Failed(Exception):
    """Autobahn did not come to its end; the text tells why."""


def find_python(environment: Mapping[str, str] = os.environ) -> str:
    """A Python 2.7 that runs.

    :raises Missing: there is none.
    """
    named = environment.get("PYTHON2")
    of_pyenv = sorted(glob.glob(f"{Path.home()}/.pyenv/versions/*2.7*/bin/python"))
    for each in [named] if named else [*PYTHONS, *of_pyenv]:
        if (found := shutil.which(each)) and _runs(found):
            return found
    what = f"$PYTHON2 ({named}) is none" if named else "set PYTHON2 to one"
    raise Missing(f"no Python 2.7 and no PyPy 2.7, which Autobahn needs: {what}")


def _runs(python: str) -> bool:
    # A shim of pyenv may be there for a version that is not chosen.
    run = subprocess.run([python, "-c", _IS_2_7], stderr=subprocess.DEVNULL)
    return run.returncode == 0


class WsTest:
    """The suite, installed in a folder of its own."""

    def __init__(self, python: str, folder: Path = FOLDER) -> None:
        self._python, self._folder = python, folder

    def install(self) -> None:
        """Fetch it, unless it is there.

        :raises Missing: it cannot be had.
        """
        done = self._folder / ".installed"
        if done.exists() and done.read_text() == SUITE:
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        pip = [self._python, "-m", "pip", "install", "--quiet"]
        told = ["--disable-pip-version-check", "--target", str(self._folder), SUITE]
        if subprocess.run([*pip, *told]).returncode:
            raise Missing(f"{' '.join(pip[:3])} could not install {SUITE}")
        done.write_text(SUITE)

    @contextmanager
    def echo_server(self, port: int, log: Path) -> Iterator[None]:
        """A server that says each message again, which passes all cases itself."""
        url = f"ws://127.0.0.1:{port}"
        with log.open("wb") as output, self._start(
            output.fileno(), "-m", "echoserver", "-w", url, "-u", "0"
        ) as server:  # fmt: skip
            try:
                eventually(lambda: _listens(port), "the echo server listens")
                yield
            finally:
                server.send_signal(signal.SIGTERM)

    def play(self, spec: Path, log: Path) -> None:
        """Play the cases of a specification.

        :raises Failed: they were not played to the end.
        """
        with log.open("wb") as output, self._start(
            output.fileno(), "-m", "fuzzingclient", "-s", str(spec)
        ) as client:  # fmt: skip
            status = client.wait()
        if status:
            said = log.read_text()[-2000:]
            raise Failed(f"wstest ended with status {status}; it said:\n{said}")

    def _start(self, output: int, *arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [self._python, "-W", "ignore", "-c", _RUN, str(self._folder), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
