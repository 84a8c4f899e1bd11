"""Signals in the first second: none is lost, and none but SIGTERM is the end."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.binaries import REPOSITORY
from tests.support.gateway import TWISTD
from tests.support.ports import free_ports
from tests.support.waiting import eventually

BLOCKED = "--block-signal=TERM,INT,HUP,USR1"

#: When after its beginning a signal comes, in seconds.
MOMENTS = (0.01, 0.1, 0.25, 0.5, 0.8)


@pytest.fixture
def image(tmp_path: Path) -> dict[str, str]:
    """The environment of the image's entry point, with its programs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    twistd = f"#!/bin/sh\nexec {sys.executable} -c '{TWISTD[2]}' \"$@\"\n"
    script = "import sys; from lbconsul.console.main import main; sys.exit(main())"
    lbconsul = f"#!/bin/sh\nexec {sys.executable} -P -c '{script}' \"$@\"\n"
    low_ports = (REPOSITORY / "docker/low-ports").read_text().partition("\n")[2]
    for name, content in (
        ("entrypoint", (REPOSITORY / "docker/entrypoint").read_text()),
        ("low-ports", f"#!{sys.executable} -IS\n{low_ports}"),
        ("twistd", twistd),
        ("lbconsul", lbconsul),
    ):
        (programs / name).write_text(content)
        (programs / name).chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    return {"PATH": path, "PYTHONPATH": str(REPOSITORY), "HOME": str(tmp_path)}


@contextmanager
def as_first_process(
    *command: str, env: dict[str, str], log: Path
) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Run it as process 1 of a container would be; its id out here."""
    outer = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*outer, *command], stdout=output, stderr=output, env=env
        ) as process,
    ):
        try:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            eventually(lambda: bool(children.read_text()), "it has begun")
            inner = int(children.read_text())
            name = Path(f"/proc/{inner}/comm")
            eventually(lambda: name.read_text().strip() != "unshare", "it runs")
            yield process, inner
        finally:
            process.kill()


def can_unshare() -> bool:
    """Whether we may make a process 1."""
    unshare = shutil.which("unshare")
    return unshare is not None and not subprocess.call(
        [unshare, "--pid", "--fork", "--mount-proc", "true"],
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.skipif(not can_unshare(), reason="no process 1 can be had here")
def test_the_image_s_first_process(image: dict[str, str], tmp_path: Path) -> None:
    """Whenever Docker stops a container, it ends, with status 0."""
    (port,) = free_ports(1)
    given = ["--admin", "off", "127.0.0.1:1", f"{port}:web"]
    for moment in MOMENTS:
        started = as_first_process(
            "env", BLOCKED, "sh", f"{tmp_path}/bin/entrypoint", *given,
            env=image, log=tmp_path / "log",
        )  # fmt: skip
        with started as (process, inner):
            time.sleep(moment)
            os.kill(inner, signal.SIGTERM)
            assert process.wait(60) == 0, f"SIGTERM after {moment} s"


def test_reloaded_too_early(tmp_path: Path) -> None:
    """A reload that was asked for at once is done once there is a gateway; SIGUSR1 does
    no harm.
    """
    (port,) = free_ports(1)
    log = tmp_path / "log"
    given = [
        "-n",
        "--pidfile=",
        "lbconsul",
        "--admin=off",
        "127.0.0.1:1",
        f"{port}:web",
    ]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            ["env", BLOCKED, *TWISTD, *given],
            stdout=output,
            stderr=output,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        ) as process,
    ):
        try:
            eventually(lambda: _awaits_hang_up(process.pid), "SIGHUP is blocked")
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGUSR1)
            eventually(lambda: "reloaded: 0 added" in log.read_text(), "it is reloaded")
            process.send_signal(signal.SIGUSR1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_ended_while_it_waits_for_another_one(tmp_path: Path) -> None:
    """A gateway that waits for the sockets of another one can be ended at once."""
    (port,) = free_ports(1)
    place = tmp_path / "lb.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place))
        other.listen()
        given = [
            "-n",
            "--pidfile=",
            "lbconsul",
            "--admin=off",
            "--takeover",
            str(place),
        ]
        with subprocess.Popen(
            [*TWISTD, *given, "127.0.0.1:1", f"{port}:web"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        ) as process:
            try:
                client, _ = other.accept()
                with client:
                    assert client.recv(100)
                    process.send_signal(signal.SIGTERM)
                    assert process.wait(60) == 0
            finally:
                process.kill()


def _awaits_hang_up(pid: int) -> bool:
    """Whether a process has SIGHUP blocked, or handles it (proc(5), status)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    masks = dict(line.split(":\t", 1) for line in lines if line.startswith("Sig"))
    return bool((int(masks["SigBlk"], 16) | int(masks["SigCgt"], 16)) & 1)
