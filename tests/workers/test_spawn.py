"""What a worker process is given."""

import os
import sys

import pytest

from lbconsul.workers.spawn import environment


@pytest.mark.parametrize(
    "name",
    [
        "CONSUL_HTTP_TOKEN", "CONSUL_HTTP_TOKEN_FILE", "CONSUL_HTTP_ADDR",
        "CONSUL_CLIENT_KEY", "VAULT_TOKEN", "AWS_SECRET_ACCESS_KEY", "API_KEY",
        "DB_PASSWORD", "db_passwd", "REGISTRY_AUTH", "LISTEN_FDS", "LISTEN_PID",
        "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC",
    ],
)  # fmt: skip
def test_withheld(name: str) -> None:
    """Neither secrets nor what systemd tells the master are passed on."""
    assert environment({name: "x", "PATH": "/bin"}, []) == {
        "PATH": "/bin",
        "PYTHONPATH": "",
    }


def test_passed_on() -> None:
    """What concerns language, time or memory is."""
    ours = {"LANG": "C", "TZ": "UTC", "MALLOC_ARENA_MAX": "2", "LISTEN": "1"}
    assert environment(ours, []).items() >= ours.items()


def test_modules() -> None:
    """A worker finds the modules where its master does, wherever it stands."""
    path = environment({"PYTHONPATH": "/else"}, ["", "/a", "b", "/a"])["PYTHONPATH"]
    assert path.split(os.pathsep) == [os.getcwd(), "/a", f"{os.getcwd()}/b"]
    assert set(environment(os.environ, sys.path)["PYTHONPATH"].split(os.pathsep))
