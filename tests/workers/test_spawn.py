"""What a worker process is given."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lbconsul.errors import NoWorkers
from lbconsul.workers.code_digest import PACKAGE, code_digest
from lbconsul.workers.spawn import environment, worker_program
from tests.support.binaries import REPOSITORY
from tests.support.loopback import PATIENCE


@pytest.mark.parametrize(
    "name",
    [
        "CONSUL_HTTP_TOKEN", "CONSUL_HTTP_TOKEN_FILE", "CONSUL_HTTP_ADDR",
        "CONSUL_CLIENT_KEY", "VAULT_TOKEN", "AWS_SECRET_ACCESS_KEY", "API_KEY",
        "DB_PASSWORD", "db_passwd", "REGISTRY_AUTH", "LISTEN_FDS", "LISTEN_PID",
        "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC", "DATABASE_URL",
        "MY_PATH", "PATHS", "HOMEPAGE", "path",
    ],
)  # fmt: skip
def test_withheld(name: str) -> None:
    """Neither secrets nor systemd's variables are passed on, nor the rest."""
    assert environment({name: "x", "PATH": "/bin"}, []) == {
        "PATH": "/bin",
        "PYTHONPATH": "",
    }


def test_passed_on() -> None:
    """The variables that Python needs are passed on."""
    names = [
        "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH",
        "PYTHONHASHSEED", "VIRTUAL_ENV", "COVERAGE_PROCESS_CONFIG", "COV_CORE_SOURCE",
    ]  # fmt: skip
    assert environment(dict.fromkeys(names, "x"), ["/a"]) == {
        **dict.fromkeys(names, "x"),
        "PYTHONPATH": "/a",
    }


def test_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker finds the modules where its master does, wherever it stands."""
    monkeypatch.chdir(tmp_path)
    path = ["", "/a", "b", "/a"]
    set_by_us = environment({"PYTHONPATH": "/else"}, path)["PYTHONPATH"]
    assert set_by_us.split(os.pathsep) == ["/a", f"{tmp_path}/b"]


def test_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory is none of its modules, unless we ourselves lie there."""
    monkeypatch.chdir(PACKAGE.parent)
    assert environment({}, ["", "/a"])["PYTHONPATH"] == f"{PACKAGE.parent}:/a"


def test_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A worker runs the same Python, and gets the digest of the code that it should have.
    """
    monkeypatch.setenv("PATH", "/bin")
    program = worker_program()
    assert program.command[0] == sys.executable
    assert program.command[-1] == code_digest()
    assert program.environ["PATH"] == "/bin"


def test_no_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that does not know where it lies says so."""
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(NoWorkers, match=r"sys\.executable is empty"):
        worker_program()


NO_STREAMS = """
import os, sys
os.closerange(0, 3)
from twisted.internet import reactor
from twisted.internet.task import LoopingCall
from lbconsul.net.listening_sockets import ListeningSockets
from lbconsul.workers.data_plane import WorkerDataPlane
from tests.support.events import EventRecorder

data_plane = WorkerDataPlane(
    reactor, 2, lambda: 0.0, EventRecorder(), ListeningSockets(), False
)

def look():
    if data_plane.is_serving:
        data_plane.stopService().addCallback(lambda done: os._exit(7))

reactor.callWhenRunning(data_plane.startService)
LoopingCall(look).start(0.05, now=False)
reactor.run()
"""


@pytest.mark.process
def test_no_standard_streams() -> None:
    """Workers can be had where neither 0 nor 1 nor 2 is open."""
    status = subprocess.call(
        [sys.executable, "-c", NO_STREAMS],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        timeout=PATIENCE,
    )
    assert status == 7
