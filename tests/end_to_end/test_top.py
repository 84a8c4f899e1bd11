"""``lbconsul top`` with a real gateway: what is on its screen, in words."""

import asyncio
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from fcntl import ioctl
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from lbconsul.admin.client import Admin
from tests.end_to_end.stage import Stage
from tests.end_to_end.visits import held, visits
from tests.support.console import COMMAND, console
from tests.support.gateway import Gateway, environment
from tests.support.ports import free_ports
from tests.support.top_screen import TopScreen, top_screen
from tests.support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.consul

TOKEN = "open sesame"

_numbers = count()


@pytest.fixture
def service() -> str:
    """A short name, of which a terminal of 80 columns shows all."""
    return f"top{next(_numbers)}"


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """The file with the gateway's token."""
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    return file


def run(play: Callable[[], Awaitable[None]]) -> None:
    """Play a test with a screen to its end."""

    async def whole() -> None:
        await play()

    asyncio.run(whole())


@pytest.mark.parametrize(
    ("place", "columns", "lines"), [("tcp", 80, 24), ("unix", 200, 60)]
)
def test_screen(
    stage: Stage, tmp_path: Path, token: Path, place: str, columns: int, lines: int
) -> None:
    """
    State, rates and problems are above the instances; with the token an instance is
    ejected, drained and undrained, after a question; rows are sorted, filtered and
    folded, and a row and the events have screens of their own.
    """
    port, empty, number = free_ports(3)
    name = stage.service
    for server in stage.servers[:3]:
        stage.add(server)
    admin = f"127.0.0.1:{number}" if place == "tcp" else f"unix:{tmp_path / 'a.sock'}"
    stage.gateway(
        f"--map={port}:{name}", f"--map={empty}:{name}-none,allow-empty=on",
        f"--admin={admin}", f"--admin-token-file={token}",
    )  # fmt: skip

    async def play() -> None:
        async with top_screen(Admin(admin, TOKEN), columns, lines) as screen:
            await _looks(screen)
            await _orders(screen)
            await _arranges(screen)
            await _reads(screen)

    async def _looks(screen: TopScreen) -> None:
        visits(port, 30)
        await screen.until("conn/s", f"{name}-anna@test-node")
        visits(port, 30)
        await screen.until("60 accepted")
        await screen.until("serving for", f"! {empty}:{name}-none: no upstreams")
        # What is wrong comes first.
        text = screen.text
        assert text.index("0/0 up") < text.index("3/3 up")
        assert re.search(rf"{name}-bert@test-node +serving", text)
        assert ("ADDRESS" in text) == (columns > 100)
        for column in ("OPEN", "CONN/S", "FAIL/S", "CONNECT", "REASON"):
            assert column in text

    async def _orders(screen: TopScreen) -> None:
        anna = f"{name}-anna@test-node"
        await screen.choose(anna)
        await screen.press("e")
        await screen.until(f"eject {anna}?", "y eject")
        await screen.press("n")
        await screen.until("by problems", without="y eject")
        assert "ejected" not in screen.text
        await screen.press("e", "y")
        await screen.until(
            f"ejected dc1/test-node/{name}-anna", f"! {port}:{name}: {anna} ejected "
        )
        assert "2/3 up" in screen.text
        bert = f"{name}-bert@test-node"
        await screen.choose(bert)
        await screen.press("d", "y")
        await screen.until(f"drained dc1/test-node/{name}-bert, until", "1/3 up")
        assert re.search(rf"> - +{bert} +draining", screen.text)
        await screen.press("u", "y")
        await screen.until(f"undrained dc1/test-node/{name}-bert", "2/3 up")
        # What cannot be done is told.
        await screen.choose(anna)
        await screen.press("e", "y")
        await screen.until("it is already ejected")
        await screen.choose(f"{port}:{name}")
        await screen.press("d")
        await screen.until("drain: choose an instance first")

    async def _arranges(screen: TopScreen) -> None:
        await screen.press("s")
        await screen.press("slash")
        await screen.write("carl")
        await screen.until("by name, only 'carl'", without=f"{name}-bert")
        await screen.press("escape")
        await screen.until(f"{name}-bert", without="only")
        await screen.choose(f"{port}:{name}")
        await screen.press("space")
        await screen.until("by name", without=f"{name}-bert@")
        await screen.press("space")
        await screen.until(f"{name}-bert@")

    async def _reads(screen: TopScreen) -> None:
        await screen.choose(f"{name}-carl@test-node")
        await screen.press("enter")
        await screen.until(f"dc1/test-node/{name}-carl", "address", "standing")
        await screen.press("escape")
        await screen.choose(f"{port}:{name}")
        await screen.press("enter")
        await screen.until("listens on", "terminations", "Latencies")
        await screen.press("escape", "l")
        await screen.until("Events", f"{name}-anna@test-node")
        stage.add(stage.servers[3])
        await screen.until(f"{name}-dora@test-node")
        await screen.press("q", "question_mark")
        await screen.until("drain the instance: no new connections")
        await screen.press("escape")
        await screen.until("OPEN")

    run(play)


def test_requests(stage: Stage) -> None:
    """In HTTP mode there are requests a second by class of status, and latencies."""
    port, empty, admin = free_ports(3)
    stage.add(stage.servers[0])
    stage.gateway(
        f"--map={port}:{stage.service},mode=http",
        f"--map={empty}:{stage.service}-none,mode=http,allow-empty=on",
        f"--admin={admin}",
    )  # fmt: skip

    async def play() -> None:
        async with top_screen(Admin(str(admin)), 80, 24) as screen:
            await screen.until("0 req/s")
            with held(port, 1) as clients:
                for _ in range(100):
                    clients[0][1].ask()
            await screen.until("REQ/S", "5XX/S", "P99", without="2xx 0")
            assert re.search(r" [1-9][\d.]* req/s| ^[1-9]", " " + screen.line("req/s"))
            await screen.choose(f"{port}:{stage.service}")
            await screen.press("enter")
            await screen.until("Requests", "by class", "101 2xx")
            await screen.press("escape", "d")
            await screen.until("drain: choose an instance first")
            await screen.press("j", "d")
            await screen.until("drain: the gateway takes no orders")

    run(play)


def test_size_and_mouse(stage: Stage) -> None:
    """It follows the size of the terminal, scrolls, and a click chooses a row."""
    port, admin = free_ports(2)
    for server in stage.servers:
        stage.add(server)
    stage.gateway(f"--map={port}:{stage.service}", f"--admin={admin}")

    async def play() -> None:
        async with top_screen(Admin(str(admin)), 80, 24) as screen:
            await screen.click(f"{stage.service}-carl")
            await screen.until(f"> +   {stage.service}-carl")
            await screen.resize(200, 60)
            await screen.until("ADDRESS")
            await screen.resize(40, 9)
            await screen.press("end")
            await screen.until(f"> +   {stage.service}-dora")
            await screen.press("home")
            await screen.until(f">   {port}:{stage.service}")
            await screen.press("down", "up", "pagedown", "pageup")
            assert screen.app.view.cursor == 0
            await screen.press("enter", "pagedown", "G", "g", "j", "k", "pageup")
            await screen.until("Esc back")
            await screen.press("escape")
            await screen.resize(80, 24)

    run(play)


def test_no_token(stage: Stage, token: Path) -> None:
    """Without the token orders are not asked for, and with a wrong one refused."""
    port, admin = free_ports(2)
    stage.add(stage.servers[0])
    stage.gateway(
        f"--map={port}:{stage.service}", f"--admin={admin}",
        f"--admin-token-file={token}",
    )  # fmt: skip

    async def play() -> None:
        async with top_screen(Admin(str(admin)), 80, 24) as screen:
            await screen.press("j", "d")
            await screen.until("drain: needs the gateway's token")
        async with top_screen(Admin(str(admin), "wrong"), 80, 24) as screen:
            await screen.press("j", "d", "y")
            await screen.until(f"{admin}: not the token")

    run(play)


@pytest.mark.parametrize("next_one", ["takes over", "is started"])
def test_another_gateway(stage: Stage, tmp_path: Path, next_one: str) -> None:
    """
    While the gateway is away the screen says for how long, and how old the figures are;
    when another one answers it says so, and goes on.
    """
    port, admin = free_ports(2)
    stage.add(stage.servers[0])
    arguments = [f"--admin={admin}", f"--map={port}:{stage.service}"]
    if next_one == "takes over":
        arguments.append(f"--takeover={tmp_path / 'lb.sock'}")
    gateway = stage.gateway(*arguments)

    async def play() -> None:
        nonlocal gateway
        async with top_screen(Admin(str(admin)), 80, 24) as screen:
            await screen.until(f"{stage.service}-anna")
            if next_one == "is started":
                gateway.stop()
                await screen.until("no connection for", "Connection refused")
                assert re.search(r"what follows is \d[\d.]* m?s old", screen.text)
                assert f"{stage.service}-anna" in screen.text
            loop = asyncio.get_running_loop()
            gateway = await loop.run_in_executor(None, _start)
            await screen.until(
                f"another gateway answers now, process {gateway.pid}",
                without="no connection",
            )
            stage.add(stage.servers[1])
            await screen.until(f"{stage.service}-bert")
            await screen.press("l")
            await screen.until("connected again after", "the gateway was restarted")

    def _start() -> Gateway:
        return stage.gateway(*arguments)

    run(play)


def test_stuck_gateway(stage: Stage) -> None:
    """A gateway that does not get on leaves figures that tell their age."""
    port, admin = free_ports(2)
    stage.add(stage.servers[0])
    gateway = stage.gateway(f"--admin={admin}", f"--map={port}:{stage.service}")

    async def play() -> None:
        async with top_screen(Admin(str(admin)), 80, 24) as screen:
            await screen.until("conn/s")
            gateway.signal(signal.SIGSTOP)
            try:
                await screen.until("what follows is")
                await screen.press("j")
                assert screen.app.view.cursor == 1
            finally:
                gateway.signal(signal.SIGCONT)
            await screen.until("conn/s", without="what follows is")

    run(play)


class Terminal:
    """The installed command on a terminal of its own."""

    def __init__(self, columns: int, lines: int, *words: str, **env: str) -> None:
        self._ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self.process = subprocess.Popen(
            [COMMAND, *words], stdin=theirs, stdout=theirs, stderr=theirs,
            env=environment({"TERM": "xterm-256color", **env}), start_new_session=True,
        )  # fmt: skip
        self._theirs = theirs
        self.output = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # the other end is closed
            while data := os.read(self._ours, 65536):
                self.output += data

    def shows(self, words: str) -> None:
        """Wait until these words are shown."""
        wanted = words.encode()
        eventually(lambda: wanted in self.output, f"{words} on {self.output!r}")

    def press(self, key: bytes) -> None:
        """Press a key."""
        os.write(self._ours, key)

    def end(self) -> int:
        """The exit status, when it has ended."""
        return self.process.wait(timeout=PATIENCE)

    def after(self) -> list[Any]:
        """How the terminal is now."""
        return termios.tcgetattr(self._theirs)

    def close(self) -> None:
        """End it, and the terminal."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._theirs)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    """Terminals that end with the test."""
    some: list[Terminal] = []
    yield some
    for each in some:
        each.close()


@pytest.fixture
def running(stage: Stage) -> str:
    """The address of a gateway with an instance, anna."""
    port, admin = free_ports(2)
    stage.add(stage.servers[0])
    stage.gateway(f"--map={port}:{stage.service}", f"--admin={admin}")
    return str(admin)


COLOUR = re.compile(
    rb"\x1b\[[\d;]*?\b(?:3[0-7]|38;[25]|4[0-7]|48;[25]|9[0-7])\b[\d;]*m"
)


@pytest.mark.parametrize(("key", "no_colour"), [(b"q", ""), (b"\x03", "1")])
def test_terminal(
    running: str, terminals: list[Terminal], key: bytes, no_colour: str
) -> None:
    """On a terminal it is coloured unless NO_COLOR is set, and leaves it as it was."""
    env = {"NO_COLOR": no_colour} if no_colour else {}
    terminal = Terminal(80, 24, "top", "--admin", running, **env)
    terminals.append(terminal)
    terminal.shows("-anna@test-node")
    assert (COLOUR.search(terminal.output) is None) == bool(no_colour)
    terminal.press(key)
    assert terminal.end() == 0
    terminal.shows("\x1b[?1049l")
    assert terminal.after() == terminal.before
    assert b"Traceback" not in terminal.output


def test_dumb_terminal(running: str, terminals: list[Terminal]) -> None:
    """A terminal without a cursor gets what ``status --watch`` prints, and no codes."""
    terminal = Terminal(80, 24, "top", "--admin", running, TERM="dumb")
    terminals.append(terminal)
    terminal.shows("lbconsul: top: TERM=dumb has no cursor: status --watch")
    eventually(lambda: terminal.output.count(b"-anna@test-node") > 1, "a second look")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 0
    assert b"\x1b" not in terminal.output


def test_no_terminal(running: str) -> None:
    """Where there is no terminal it is one line."""
    assert console("top", "--admin", running) == (
        2, "", "lbconsul: top: needs a terminal; status prints the same as text\n",
    )  # fmt: skip


def test_nobody_there(terminals: list[Terminal]) -> None:
    """A gateway that does not answer at first is one line."""
    (port,) = free_ports(1)
    terminal = Terminal(80, 24, "top", "--admin", str(port))
    terminals.append(terminal)
    terminal.shows(f"lbconsul: no answer at {port}: Connection refused")
    assert terminal.end() == 2
    assert b"\x1b" not in terminal.output
