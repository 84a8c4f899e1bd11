"""The command ``lbconsul``, with made-up gateways."""

import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbconsul.admin.client import Admin
from lbconsul.console.main import main
from tests.support.binaries import REPOSITORY
from tests.support.console import COMMAND, console
from tests.support.ports import free_ports

Capture = pytest.CaptureFixture[str]

pytestmark = pytest.mark.usefixtures("without_environment")


class StatusServer:
    """A made-up gateway, in a process of its own."""

    def __init__(self, state: str) -> None:
        self.port = free_ports(1)[0]
        words = ["--port", str(self.port), "--state", state, "--still"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fake_source", *words],
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
        )
        assert self.process.stdout is not None
        assert b"http://" in self.process.stdout.readline()

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def server() -> Iterator[StatusServer]:
    server = StatusServer("ok")
    yield server
    server.end()


@pytest.mark.process
def test_a_ready_gateway(server: StatusServer, capsys: Capture) -> None:
    """A gateway that is ready is shown, without colours where there is no terminal."""
    assert main(["status", "--admin", str(server.port)]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("lbconsul 0.1.0 serving for 1 d 2 h")
    assert "web-0@node-00" in shown.out
    assert "\x1b" not in shown.out
    assert shown.err == ""


@pytest.mark.process
def test_not_ready(capsys: Capture) -> None:
    """A gateway that is not ready is shown, too; the exit status says so."""
    server = StatusServer("starting")
    try:
        assert main(["status", f"--admin=127.0.0.1:{server.port}"]) == 1
    finally:
        server.end()
    assert "not ready: 80:web: Consul has not answered yet" in capsys.readouterr().out


def test_nobody_there(capsys: Capture, tmp_path: Path) -> None:
    """A gateway that cannot be reached is one line of error."""
    (port,) = free_ports(1)
    assert main(["status", "--admin", str(port)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"lbconsul: no answer at {port}: Connection refused\n"
    nowhere = str(tmp_path / "nowhere")
    assert main(["status", "--token-file", nowhere]) == 2
    shown = capsys.readouterr()
    assert shown.err == (
        f"lbconsul: --admin-token-file {nowhere}: cannot be read: No such file or"
        " directory\n"
    )


def test_another_program(capsys: Capture) -> None:
    """So is an answer that looks like a status at first."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]

        def reply() -> None:
            client, _ = sock.accept()
            with client:
                client.recv(65536)
                client.sendall(b'HTTP/1.1 200 OK\r\n\r\n{"format": 2, "gateway": []}')

        threading.Thread(target=reply, daemon=True).start()
        assert main(["status", "--admin", str(port)]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == (
        "",
        f"lbconsul: {port}: the answer is not a status of lbconsul\n",
    )


@pytest.mark.process
def test_why(server: StatusServer, capsys: Capture) -> None:
    """The route of a request is printed, and a URL that is none is one line."""
    admin = f"--admin={server.port}"
    assert main(["why", "http://example.com/", "-X", "POST", admin]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("POST http://example.com/\n\n80:- on 0.0.0.0:80")
    assert main(["why", "example.com", admin]) == 2
    assert capsys.readouterr().err == (
        f"lbconsul: {server.port}: url: 'example.com' must be http://...\n"
    )


@pytest.mark.parametrize(
    ("mapping", "status"),
    [
        ({"winner": {}, "reason": ""}, 1),
        ({"winner": {"name": "a"}, "reason": ""}, 0),
        ({"winner": {"name": "a"}, "reason": "no instance"}, 1),
        ({"winner": None, "reason": "no route takes it"}, 1),
        ([], 2),
    ],
)
def test_status_of_why(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, mapping: object, status: int
) -> None:
    """The exit status says whether the request is served; what is odd does no harm."""
    told = {"text": "a\x1b[2J\n", "mappings": [mapping]}
    monkeypatch.setattr(Admin, "why", lambda *_: told)
    assert main(["why", "http://x/"]) == status
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.process
@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_a_terminal(
    server: StatusServer, environment: dict[str, str], coloured: bool
) -> None:
    """On a terminal it has colours, unless NO_COLOR is set, or it is dumb."""
    ours, theirs = pty.openpty()
    words = [str(COMMAND), "status", "--admin", str(server.port)]
    clean = {key: text for key, text in os.environ.items() if key != "NO_COLOR"}
    process = subprocess.Popen(
        words, stdout=theirs, env=clean | {"TERM": "xterm"} | environment
    )
    os.close(theirs)
    data: list[bytes] = []
    reader = threading.Thread(target=_read, args=(ours, data))
    reader.start()
    assert process.wait(timeout=30) == 0
    reader.join()
    os.close(ours)
    assert b"web-0@node-00" in b"".join(data)
    assert (b"\x1b[32m" in b"".join(data)) == coloured


def _read(descriptor: int, data: list[bytes]) -> None:
    try:
        while chunk := os.read(descriptor, 4096):
            data.append(chunk)
    except OSError:  # the other end is closed
        return


@pytest.mark.process
def test_a_closed_pipe(server: StatusServer) -> None:
    """A reader that closes the pipe, as ``head`` may, causes no traceback."""
    command = f"{COMMAND} status --admin {server.port} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("words", "status", "error"),
    [
        (["statsu"], 2, "unknown command 'statsu'; did you mean 'status'?"),
        (
            ["status", "--nonsense"],
            2,
            "unknown option '--nonsense'; known are --admin,",
        ),
        (["status", "x"], 2, "status: takes no 'x'"),
        (["why"], 2, "why: URL must be given"),
        (["why", "http://a/", "b"], 2, "why: takes no 'b', but one word"),
        (["drain"], 2, "drain: INSTANCE must be given"),
        (["drain", "--gateway", "a@b"], 2, "drain: takes no 'a@b'"),
        (["completion"], 2, "completion: SHELL must be given"),
        (["completion", "fsh"], 2, "unknown shell 'fsh'; did you mean 'fish'?"),
        (["man", "stat"], 2, "unknown command 'stat'; did you mean 'status'?"),
        (["help", "stat"], 2, "unknown command 'stat'; did you mean 'status'?"),
        (
            ["c:8500", "80:a"],
            2,
            "'c:8500' is no command; to serve: lbconsul run c:8500",
        ),
        (["80:a"], 2, "'80:a' is no command; to serve: lbconsul run 80:a"),
        (
            ["run", "--polcy=p2c"],
            1,
            "unknown option '--polcy'; did you mean '--policy'",
        ),
        (["check", "--uid"], 1, "--uid: needs a value"),
    ],
)
def test_mistakes(words: list[str], status: int, error: str, capsys: Capture) -> None:
    """A mistake on the command line is one line of error."""
    if words[0] == "run":  # it would handle the signals of the tests
        words = ["check", *words[1:]]
    assert main(words) == status
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"lbconsul: {error}")
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_overview(words: list[str], capsys: Capture) -> None:
    """Without a command it lists the commands."""
    assert main(words) == 0
    assert "\nCommands:\n  run         serve" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["status", "-h"], ["help", "status"]])
def test_help(words: list[str], capsys: Capture) -> None:
    """The help of a command has its options."""
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Usage: lbconsul status [OPTION...]\n")
    assert "--admin-token-file FILE" in shown


def test_texts(capsys: Capture) -> None:
    """Completions and manual pages are printed."""
    assert main(["completion", "bash"]) == 0
    assert "complete -F _lbconsul lbconsul" in capsys.readouterr().out
    assert main(["man"]) == main(["man", "run"]) == 0
    assert 'TH "LBCONSUL\\-RUN" "1"' in capsys.readouterr().out
    assert main(["--version"]) == main(["version"]) == 0
    one, other = capsys.readouterr().out.splitlines()
    assert one == other
    assert one.startswith("lbconsul 0.1.0 (CPython 3.")


#: Modules that the program imports, and would take from the working directory.
SHADOWED = (
    "argparse", "attrs", "bisect", "json", "lbconsul", "re", "shutil", "twisted",
    "typing",
)  # fmt: skip


@pytest.fixture
def shadows(tmp_path: Path) -> Path:
    """A folder with modules that end every program that imports them."""
    for each in SHADOWED:
        (tmp_path / f"{each}.py").write_text(f"raise SystemExit('imports {each}')")
    plugins = tmp_path / "twisted" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "odd.py").write_text("raise SystemExit('imports a plugin')")
    return tmp_path


@pytest.mark.process
@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["version"], 0),
        (["check", "80:web"], 0),
        (["status", "--admin", "unix:/nowhere"], 2),
        (["run", "--help"], 0),
    ],
)
def test_working_directory(shadows: Path, words: list[str], status: int) -> None:
    """Nothing is imported from the working directory."""
    code, said, errors = console(*words, cwd=shadows)
    assert code == status
    assert "imports" not in said + errors


@pytest.mark.process
def test_no_twisted(server: StatusServer) -> None:
    """A command that asks is quick: it imports neither Twisted nor OpenSSL."""
    script = (
        "import sys; from lbconsul.console.main import main;"
        f"main(['status', '--admin', '{server.port}']); print(*sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    imported = set(ran.stdout.splitlines()[-1].split())
    assert "lbconsul.admin.terminal" in imported
    assert not {"twisted", "OpenSSL", "treq", "prometheus_client"} & imported


@pytest.mark.parametrize(("name", "status"), [("events", 0), ("drain", 130)])
def test_interrupted(
    name: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """What shows ends well by Ctrl-C; an order that is interrupted is not done."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Admin, "events", interrupted)
    monkeypatch.setattr(Admin, "order", interrupted)
    words = ["dc1/n/a"] if name == "drain" else []
    assert main([name, *words]) == status
    assert capsys.readouterr() == ("\n", "")
