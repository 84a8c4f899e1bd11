"""Consul's own variables mean to us what they mean to Consul's own program."""

import os
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.build import build
from lbconsul.config.sources import Source, from_command_line, from_environment
from lbconsul.consul.client import consul_client
from tests.support.certificates import Authority
from tests.support.in_reactor import run
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.process


@frozen
class Seen:
    """What Consul's side sees of a request."""

    #: Whether it is a TLS ClientHello, and its server name.
    tls: bool
    name: str = ""
    token: str = ""
    authorization: str = ""


class Listener:
    """Takes one connection after the other, and notes how each begins."""

    def __init__(self, sock: socket.socket) -> None:
        sock.listen()
        sock.settimeout(PATIENCE)
        self._sock = sock

    def next(self) -> Seen:
        """What the next client says first; it is hung up on then."""
        client, _ = self._sock.accept()
        with client:
            client.settimeout(PATIENCE)
            said = client.recv(65536)
            while said[:1] == b"G" and not said.endswith(b"\r\n\r\n"):
                said += client.recv(65536)
        return _seen(said)


def _seen(said: bytes) -> Seen:
    if not said.startswith(b"G"):
        assert said[0] == 0x16  # a handshake: RFC 8446, 5.1
        asked = re.search(rb"[a-z]+\.example", said)
        return Seen(True, asked[0].decode() if asked else "")

    def header(name: str) -> str:
        found = re.search(rf"(?i)\r\n{name}: (.*?)\r\n", said.decode())
        return found[1] if found else ""

    return Seen(False, "", header("X-Consul-Token"), header("Authorization"))


@pytest.fixture
def listener() -> Iterator[tuple[Listener, str]]:
    """One on a port of 127.0.0.1, and where it is."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield Listener(sock), f"127.0.0.1:{sock.getsockname()[1]}"


def by_consul(binary: str, environ: dict[str, str], listener: Listener) -> Seen:
    """What Consul's own program makes of these variables."""
    with subprocess.Popen(
        [binary, "catalog", "nodes"],
        env={"PATH": os.environ["PATH"], **environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            return listener.next()
        finally:
            process.kill()


def by_us(environ: dict[str, str], listener: Listener) -> Seen:
    """What we make of them."""
    said = from_command_line({}, [], ["80:web"])
    config = build(from_environment(environ), Source(), said)
    seen: list[Seen] = []
    thread = threading.Thread(target=lambda: seen.append(listener.next()))

    async def scenario(reactor: Any) -> None:
        client = consul_client(reactor, config.consul)
        asked = client.ask(ServiceQuery("web"), 0, 0)
        asked.addErrback(lambda _: None)
        await asked
        await client.close()

    thread.start()
    run(scenario)
    thread.join(PATIENCE)
    return seen[0]


CASES: list[dict[str, str]] = [
    {},
    {"CONSUL_HTTP_ADDR": "http://HERE"},
    {"CONSUL_HTTP_ADDR": "https://HERE"},
    {"CONSUL_HTTP_SSL": "true"},
    {"CONSUL_HTTP_SSL": "T"},
    {"CONSUL_HTTP_SSL": "t", "CONSUL_HTTP_ADDR": "http://HERE"},
    {"CONSUL_HTTP_SSL": "f", "CONSUL_HTTP_ADDR": "https://HERE"},
    {"CONSUL_HTTP_SSL": "F"},
    {"CONSUL_HTTP_SSL": ""},
    {"CONSUL_HTTP_SSL": "1", "CONSUL_TLS_SERVER_NAME": "other.example"},
    {
        "CONSUL_HTTP_SSL": "1",
        "CONSUL_HTTP_SSL_VERIFY": "False",
        "CONSUL_TLS_SERVER_NAME": "other.example:8501",
    },
    {"CONSUL_TLS_SERVER_NAME": "other.example"},
    {"CONSUL_HTTP_TOKEN": "one"},
    {"CONSUL_HTTP_TOKEN": "one", "CONSUL_HTTP_TOKEN_FILE": "FILE"},
    {"CONSUL_HTTP_TOKEN": "one", "CONSUL_HTTP_TOKEN_FILE": "EMPTY"},
    {"CONSUL_HTTP_TOKEN": "", "CONSUL_HTTP_TOKEN_FILE": "FILE"},
    {"CONSUL_HTTP_AUTH": "ada:pass:word"},
    {"CONSUL_HTTP_AUTH": "ada", "CONSUL_HTTP_TOKEN": "one"},
    {"CONSUL_HTTP_AUTH": ":"},
    {"CONSUL_HTTP_AUTH": ""},
    {"CONSUL_CAPATH": "FOLDER", "CONSUL_HTTP_SSL": "1"},
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: ",".join(case.values()))
def test_as_consul_s_own(
    case: dict[str, str],
    consul_binary: str,
    listener: tuple[Listener, str],
    tmp_path: Path,
) -> None:
    """
    Whether there is TLS and for what name, token and password: all as Consul's
    own program has it by the same variables.
    """
    ear, here = listener
    (tmp_path / "file").write_text("two\n")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "folder").mkdir()
    Authority(tmp_path / "folder")
    places = {
        "HERE": here,
        "FILE": str(tmp_path / "file"),
        "EMPTY": str(tmp_path / "empty"),
        "FOLDER": str(tmp_path / "folder"),
    }
    environ = {"CONSUL_HTTP_ADDR": here}
    for name, text in case.items():
        environ[name] = re.sub(
            "[A-Z]{4,}", lambda word: places.get(word[0], word[0]), text
        )
    assert by_us(environ, ear) == by_consul(consul_binary, environ, ear)


def test_a_unix_socket(consul_binary: str, tmp_path: Path) -> None:
    """
    A UNIX socket is one with the variables of a token too; and with those of TLS
    that is spoken over it.
    """
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "consul"))
        ear = Listener(sock)
        environ = {"CONSUL_HTTP_ADDR": f"unix://{tmp_path}/consul"}
        assert by_us(environ, ear) == by_consul(consul_binary, environ, ear)
        environ["CONSUL_HTTP_SSL"] = "1"
        assert by_us(environ, ear).tls
