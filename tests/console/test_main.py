"""``python -m lbconsul status`` and ``why``, against a real admin listener."""

import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbconsul import __main__ as program
from lbconsul.__main__ import main
from lbconsul.admin.client import Admin
from tests.support.binaries import REPOSITORY
from tests.support.ports import free_ports

Capture = pytest.CaptureFixture[str]


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
    assert shown.err == f"lbconsul: --token-file {nowhere}: No such file or directory\n"
    (tmp_path / "binary").write_bytes(b"\xff")
    assert main(["status", "--token-file", str(tmp_path / "binary")]) == 2
    assert "is not text" in capsys.readouterr().err


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


def test_a_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    """The token of the file is sent."""
    (tmp_path / "token").write_text("s3cret\n")
    seen: list[Admin] = []

    def show(admin: Admin) -> int:
        seen.append(admin)
        return 0

    monkeypatch.setattr(program, "show", show)
    main(["status", "--token-file", str(tmp_path / "token")])
    assert seen == [Admin("127.0.0.1:9200", "s3cret")]
    assert "s3cret" not in capsys.readouterr().out


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
def test_watching(server: StatusServer, capsys: Capture) -> None:
    """--watch shows the status until it is interrupted."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    assert main(["status", "--watch", "--admin", str(server.port)], sleep) == 0
    assert slept == [2.0] * 3
    assert capsys.readouterr().out.count("lbconsul 0.1.0") == 3


@pytest.mark.process
@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)]
)
def test_a_terminal(
    server: StatusServer, environment: dict[str, str], coloured: bool
) -> None:
    """On a terminal it has colours, unless NO_COLOR is set."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "lbconsul", "status", "--admin", str(server.port)]
    clean = {key: text for key, text in os.environ.items() if key != "NO_COLOR"}
    process = subprocess.Popen(words, stdout=theirs, env=clean | environment)
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
    command = f"{sys.executable} -m lbconsul status --admin {server.port} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert done.stderr == b""


@pytest.mark.parametrize("words", [[], ["nonsense"], ["status", "--nonsense"]])
def test_an_unknown_answer(words: list[str], capsys: Capture) -> None:
    """An unknown answer is one line of error."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage: python -m lbconsul" in capsys.readouterr().err
