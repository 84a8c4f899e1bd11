"""Whatever is wrong is said in one line, and nothing is left behind."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.gateway import PATIENCE, run_to_its_end
from tests.support.ports import free_ports

#: What is given, and what the line about it names.  In braces: {port} is free,
#: {taken} is not, {socket} is a UNIX socket that somebody listens on, {files}
#: is a directory with the files of `FILES`.
BAD = {
    "unknown option": (
        "--polciy p2c --map {port}:web",
        ["'--polciy'; did you mean '--policy'?"],
    ),
    "an option of twistd's": (
        "--pidfile=x --map {port}:web",
        ["--pidfile is an option of twistd: it stands before lbconsul"],
    ),
    "a mistyped key of a mapping": (
        "--config {files}/servce.toml",
        ["servce.toml: map 1: unknown option 'servce'; did you mean 'service'?"],
    ),
    "unknown mapping option": (
        "--map {port}:web,polciy=p2c",
        ["{port}:web", "polciy", "did you mean 'policy'?"],
    ),
    "port out of range": ("--map 70000:web", ["--map 70000:web", "1 to 65535"]),
    "port twice": (
        "--map {port}:web --map 127.0.0.1:{port}:graphite",
        ["{port}:web", "127.0.0.1:{port}:graphite", "taken"],
    ),
    "no mapping": ("--consul 127.0.0.1:8500", ["nothing to balance", "--map"]),
    "Consul's port": (
        "--consul consul:http --map {port}:web",
        ["--consul consul:http", "1 to 65535"],
    ),
    "broken TOML": ("--config {files}/broken.toml", ["broken.toml", "line 3"]),
    "no token file": (
        "--token-file {files}/none --map {port}:web",
        ["--token-file {files}/none", "No such file"],
    ),
    "CA file without PEM": (
        "--ca-file {files}/broken.toml --map {port}:web",
        ["--ca-file {files}/broken.toml", "PEM"],
    ),
    "unknown policy": (
        "--policy fastest --map {port}:web",
        ["--policy fastest", "leastconn, p2c, random, roundrobin"],
    ),
    "duration without unit": (
        "--map {port}:web,idle-timeout=5",
        ["idle-timeout=5", "unit"],
    ),
    "no number of workers": (
        "--workers many --map {port}:web",
        ["--workers many", "1 to 256", "auto"],
    ),
    "no workers": ("--workers 0 --map {port}:web", ["--workers 0", "1 to 256"]),
    "too many workers": ("--workers 257 --map {port}:web", ["--workers 257", "256"]),
    "port in use of workers": (
        "--workers 2 --map {port}:web --map 127.0.0.1:{taken}:graphite",
        ["127.0.0.1:{taken}", "--map 127.0.0.1:{taken}:graphite", "in use"],
    ),
    "port in use": (
        "--map {port}:web --map 127.0.0.1:{taken}:graphite",
        ["127.0.0.1:{taken}", "--map 127.0.0.1:{taken}:graphite", "in use"],
    ),
    "address of another host": (
        "--map 203.0.113.1:{port}:web",
        ["203.0.113.1:{port}", "assign requested address"],
    ),
    "UNIX path in use": ("--map unix:{socket}:web", ["unix:{socket}:web", "in use"]),
    "failback-after": (
        "--failback-after soon --map {port}:web",
        ["--failback-after soon", "such as 500ms, 5s, 2m or 1h"],
    ),
    "datacenters": ("--map {port}:web,dc=dc1|", ["{port}:web,dc=dc1|", "dc1|dc2"]),
    "shrink-guard": (
        "--shrink-guard 100% --map {port}:web",
        ["--shrink-guard 100%", "from 1% to 99%"],
    ),
    "shrink-hold": (
        "--shrink-hold off --map {port}:web",
        ["--shrink-hold off", "such as 500ms"],
    ),
    "when-empty": (
        "--map {port}:web,when-empty=wait",
        ["when-empty=wait", "close, wait=5s, fallback=SERVICE or fallback=HOST:PORT"],
    ),
    "own fallback": (
        "--map {port}:web,when-empty=fallback=127.0.0.1:{port}",
        ["when-empty=fallback=127.0.0.1:{port}", "back to this very mapping"],
    ),
    "slow-start": (
        "--slow-start on --map {port}:web",
        ["--slow-start on", "such as 500ms", "or off"],
    ),
    "max-connections-per-upstream": (
        "--map {port}:web,max-connections-per-upstream=few",
        ["max-connections-per-upstream=few", "whole number from 0"],
    ),
    "queue-length": (
        "--queue-length 2000000 --map {port}:web",
        ["--queue-length 2000000", "0 to 1000000"],
    ),
    "queue-timeout": (
        "--queue-timeout 5 --map {port}:web",
        ["--queue-timeout 5", "unit"],
    ),
    "drain-timeout": (
        "--drain-timeout 0s --map {port}:web",
        ["--drain-timeout 0s", "longer than 0"],
    ),
    "close-on-critical": (
        "--close-on-critical maybe --map {port}:web",
        ["--close-on-critical maybe", "on or off"],
    ),
    "max-age": ("--max-age 1d --map {port}:web", ["--max-age 1d", "1h, or off"]),
    "rebalance": (
        "--rebalance 5% --map {port}:web",
        ["--rebalance 5%", "off, or a part from 1%/min to 99%/min"],
    ),
    "max-connections-per-client": (
        "--max-connections-per-client -1 --map {port}:web",
        ["--max-connections-per-client -1", "whole number from 0"],
    ),
    "allow": (
        "--map {port}:web,allow=10.0.0.1/8",
        ["allow=10.0.0.1/8", "must be a network, such as 10.0.0.0/8"],
    ),
    "deny": (
        "--deny localhost --map {port}:web",
        ["--deny localhost", "must be a network, such as 10.0.0.0/8"],
    ),
    "nobody left to serve": (
        "--map {port}:web,allow=10.0.0.0/8,deny=0.0.0.0/0",
        ["{port}:web,allow=10.0.0.0/8,deny=0.0.0.0/0", "deny wins over allow"],
    ),
    "addresses of a UNIX socket": (
        "--map unix:{files}/none:web,allow=::1",
        ["unix:{files}/none:web", "allow=::1", "no address"],
    ),
    "shutdown-grace": (
        "--shutdown-grace long --map {port}:web",
        ["--shutdown-grace long", "1h, or off"],
    ),
    "takeover": (
        "--takeover lb.sock --map {port}:web",
        ["--takeover lb.sock", "begins with /"],
    ),
    "mistyped mapping": ("80;web", ["80;web: taken for Consul's address", "--map"]),
    "systemd passed nothing": (
        "--map systemd:front:web",
        ["systemd:front:web", "systemd passed no socket", "none"],
    ),
    "dev on a public address": (
        "--dev --consul 192.0.2.1:8500 --map {port}:web",
        ["192.0.2.1:8500", "127.0.0.1"],
    ),
    "dev catalog's port in use": (
        "--dev --consul 127.0.0.1:{taken} --map {port}:web",
        ["127.0.0.1:{taken}", "--dev", "in use"],
    ),
}

FILES = {
    "broken.toml": '# mappings\nconsul = "consul:8500"\npolicy = random\n',
    "servce.toml": "[[map]]\nlisten = '80'\nservce = 'web'\n",
}

#: How many gateways may start at a time, on a machine with few cores.
SIDE_BY_SIDE = 4

Said = tuple[int, str, str]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """What stands in the braces."""
    with ExitStack() as stack:
        taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        files = tmp_path_factory.mktemp("files")
        unix.bind(str(files / "taken.sock"))
        unix.listen()
        for name, text in FILES.items():
            (files / name).write_text(text)
        ports = {"port": free_ports(1)[0], "taken": taken.getsockname()[1]}
        yield {**ports, "socket": files / "taken.sock", "files": files}


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A directory for each case."""
    return {case: tmp_path_factory.mktemp("bad") for case in BAD}


@pytest.fixture(scope="module")
def said(words: dict[str, object], homes: dict[str, Path]) -> dict[str, Said]:
    """Exit status, standard output and standard error of each, some side by side.

    Before its own mappings, if it has any, each has a good one of a UNIX socket.
    """

    def run(case: str) -> Said:
        given = BAD[case][0]
        good = f"--map unix:{homes[case]}/good.sock:web " if "--map" in given else ""
        arguments = (good + given.format(**words)).split()
        process = run_to_its_end(homes[case], *arguments)
        try:
            output, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
        return process.returncode, output, errors

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return dict(zip(BAD, pool.map(run, BAD), strict=True))


@pytest.mark.parametrize("case", BAD)
def test_bad_input(
    case: str,
    words: dict[str, object],
    homes: dict[str, Path],
    said: dict[str, Said],
) -> None:
    """One line tells what is wrong, the status is 1, and no socket was left bound."""
    status, output, errors = said[case]
    assert errors.startswith("lbconsul: ")
    assert errors.endswith("\n")
    assert errors.count("\n") == 1, errors
    for named in BAD[case][1]:
        assert named.format(**words) in errors
    assert status == 1
    assert output == ""
    assert list(homes[case].iterdir()) == []
