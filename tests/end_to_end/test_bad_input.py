"""Whatever is wrong is said in one line, and nothing is left behind.

One of each kind: what is found among the options, in a file, and when sockets are
bound.  All that can be said wrongly is in `tests.test_tap` and `tests.config`.
"""

import socket
from pathlib import Path

import pytest

from tests.support.gateway import run_to_its_end
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE

#: What is given, and the line about it.  In braces: {port} is free, {taken} is not,
#: {next} comes behind that, {socket} is a UNIX socket that a program listens on, and
#: {file} is no TOML.
BAD = {
    "an option": (
        "--polciy p2c --map {port}:web",
        "unknown option '--polciy'; did you mean '--policy'?",
    ),
    "an option of twistd's": (
        "--pidfile=x --map {port}:web",
        "--pidfile is an option of twistd: it stands before lbconsul",
    ),
    "a file": (
        "--config {file}",
        "{file}: not TOML: Invalid value (at line 3, column 10)",
    ),
    "a port in use": (
        "--map {port}:web --map 127.0.0.1:{taken}:graphite",
        "cannot listen on 127.0.0.1:{taken} for --map 127.0.0.1:{taken}:graphite:"
        " Address already in use",
    ),
    "a port in use, of workers": (
        "--workers 2 --map {port}:web --map 127.0.0.1:{taken}:graphite",
        "cannot listen on 127.0.0.1:{taken} for --map 127.0.0.1:{taken}:graphite:"
        " Address already in use",
    ),
    "an address of another host": (
        "--map 203.0.113.1:{port}:web",
        "cannot listen on 203.0.113.1:{port} for --map 203.0.113.1:{port}:web:"
        " Cannot assign requested address",
    ),
    "a UNIX path in use": (
        "--map unix:{socket}:web",
        "cannot listen on unix:{socket} for --map unix:{socket}:web:"
        " Address already in use",
    ),
    "a socket of systemd's": (
        "--map systemd:front:web",
        "cannot listen on systemd:front for --map systemd:front:web: systemd passed no"
        " socket with that name; it passed: none",
    ),
    "the port of dev's catalog": (
        "--dev --consul 127.0.0.1:{taken} --map {port}:web",
        "cannot listen on 127.0.0.1:{taken} for the --dev catalog: Address already in"
        " use (is a Consul running here? then leave --dev out, or say --consul"
        " 127.0.0.1:{next})",
    ),
}


@pytest.mark.parametrize(("said", "why"), BAD.values(), ids=BAD)
def test_bad_input(said: str, why: str, tmp_path: Path) -> None:
    """One line tells what is wrong, the status is 1, and no socket was left bound."""
    home, file, unix = tmp_path / "home", tmp_path / "lb.toml", tmp_path / "taken.sock"
    home.mkdir()
    file.write_text('# mappings\nconsul = "consul:8500"\npolicy = random\n')
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        socket.socket(socket.AF_UNIX) as server,
    ):
        server.bind(str(unix))
        server.listen()
        words = {
            "port": free_ports(1)[0],
            "taken": taken.getsockname()[1],
            "next": taken.getsockname()[1] + 1,
            "socket": unix,
            "file": file,
        }
        # Before its own mappings, if it has any, it has a good one.
        good = f"--map unix:{home}/good.sock:web " if "--map" in said else ""
        process = run_to_its_end(home, *(good + said.format(**words)).split())
        try:
            output, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert errors == f"lbconsul: {why.format(**words)}\n"
    assert (process.returncode, output) == (1, "")
    assert list(home.iterdir()) == []
