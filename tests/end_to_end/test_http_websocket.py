"""WebSocket through a gateway in HTTP mode.

What a client hears through the gateway is compared with what it hears directly, in
cases that are like Autobahn's 1 to 7.  Autobahn's own need Python 2: `make autobahn`.
"""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from tests.end_to_end.registrar import Place, Registrar
from tests.end_to_end.stage import Stage
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway
from tests.support.http_stage import Peer
from tests.support.loopback import accept, connect, listening
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.websocket import (
    CLOSE_ME,
    CLOSED,
    PING_ME,
    PINGED,
    WebSocket,
    echo_server,
    frame,
)
from tests.support.workers import all_serve

pytestmark = pytest.mark.consul

_TEXT, _BYTES, _MORE, _CLOSE, _PING = 1, 2, 0, 8, 9

#: A request for another protocol, and the response to it.
UPGRADE = b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"

#: What a client says, in bytes, and how many at a time; 0: all at once.
CASES: dict[str, tuple[bytes, int]] = {
    "no bytes": (frame(_TEXT, b""), 0),
    "text": (frame(_TEXT, "\N{GREEK SMALL LETTER KAPPA}\N{FIRE}".encode()), 0),
    "bytes": (frame(_BYTES, bytes(range(256))), 0),
    "125 bytes": (frame(_BYTES, b"x" * 125), 0),
    "126 bytes": (frame(_BYTES, b"x" * 126), 0),
    "65,535 bytes": (frame(_BYTES, b"x" * 65535), 0),
    "65,536 bytes": (frame(_BYTES, b"x" * 65536), 997),
    "4 MiB": (frame(_BYTES, b"x" * (4 << 20)), 0),
    "8 MiB in fragments": (
        frame(_BYTES, b"x" * (1 << 20), last=False)
        + frame(_MORE, b"y" * (1 << 20), last=False) * 6
        + frame(_MORE, b"z" * (1 << 20)),
        0,
    ),
    "many fragments": (
        frame(_TEXT, b"", last=False)
        + frame(_MORE, b"x" * 100, last=False) * 1000
        + frame(_MORE, b""),
        100,
    ),
    "byte by byte": (frame(_TEXT, b"hello, world" * 10), 1),
    "a ping": (frame(_PING, b"are you there?"), 0),
    "pings": (frame(_PING, b"again") * 20, 7),
    "fragments": (
        frame(_TEXT, b"one ", last=False) + frame(_MORE, b"two") + frame(_PING, b"x"),
        0,
    ),
    "a ping among fragments": (
        frame(_TEXT, b"a", last=False) + frame(_PING, b"x") + frame(_MORE, b"b"),
        0,
    ),
    "a reserved bit": (frame(_TEXT, b"x", reserved=0x40), 0),
    "a reserved opcode": (frame(3, b"x"), 0),
    "a long ping": (frame(_PING, b"x" * 126), 0),
    "a ping in fragments": (frame(_PING, b"x", last=False), 0),
    "a continuation of nothing": (frame(_MORE, b"x"), 0),
    "no UTF-8": (frame(_TEXT, b"\xce\xba\xff"), 0),
    "a close of one byte": (frame(_CLOSE, b"x"), 0),
    "a close with a bad code": (frame(_CLOSE, b"\x03\xec"), 0),
    "a close with a reason": (frame(_CLOSE, b"\x03\xe8bye"), 0),
    **{
        f"a close with {code}": (frame(_CLOSE, code.to_bytes(2, "big") + b"bye"), 0)
        for code in (999, 1001, 1005, 1006, 1011, 1014, 1016, 3000, 4999, 5000)
    },
    "a ping that is asked for": (frame(_TEXT, PING_ME.encode()), 0),
    "text after a close": (frame(_CLOSE, b"\x03\xe8") + frame(_TEXT, b"x"), 0),
}


@pytest.fixture(scope="module")
def ports(
    consul: ConsulAgent, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, int]]:
    """Where the server is reached directly, and through a gateway with two workers."""
    registrar, (port,) = Registrar(consul), free_ports(1)
    with echo_server() as direct:
        registrar.add("websocket", Place("echo", direct))
        told = ["--consul", f"127.0.0.1:{consul.port}", "--workers", "2"]
        home = tmp_path_factory.mktemp("websocket")
        with Gateway(home, *told, "--map", f"{port}:websocket,mode=http") as gateway:
            all_serve(gateway, 2)
            yield direct, port
        registrar.clean_up()


def heard(port: int, data: bytes, each: int) -> list[tuple[str, object]]:
    """All that a client hears that says this, and then that it closes."""
    heard: list[tuple[str, object]] = []
    with closing(WebSocket(port)) as client:
        said = data + frame(_CLOSE, b"\x03\xe8over")
        # Both at once: the server waits for a client that does not read.
        saying = threading.Thread(target=client.say_bytes, args=(said, each))
        saying.start()
        while not heard or heard[-1][0] != "close":
            heard.append(client.hear())
        saying.join()
    return heard


@pytest.mark.parametrize(("data", "each"), CASES.values(), ids=CASES.keys())
def test_like_directly(ports: tuple[int, int], data: bytes, each: int) -> None:
    """A client hears through the gateway exactly what it hears directly."""
    direct, through = ports
    assert heard(through, data, each) == heard(direct, data, each)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_reload(stage: Stage, tmp_path: Path, workers: str) -> None:
    """A connection outlives the route that it came by, and is logged twice."""
    (port,) = free_ports(1)
    file = tmp_path / "lb.toml"
    mapping, route = (
        f"{port}:{stage.service},mode=http",
        f"{port}:/chat={stage.service}",
    )
    with echo_server() as server:
        stage.add(Place("echo", server))
        file.write_text(f"map = ['{mapping}']\nroute = ['{route}']\n")
        gateway = stage.gateway("--workers", workers, "--config", str(file))
        if workers != "1":
            all_serve(gateway, int(workers))
        with closing(WebSocket(port)) as client:
            client.say(TextMessage("before"))
            assert client.hear() == ("message", "before")
            gateway.wait_for(r'"GET /chat\?a=b HTTP/1.1" 101 .*upgrade=begun.*')
            file.write_text(f"map = ['{mapping},policy=roundrobin']\n")
            gateway.reload()
            gateway.wait_for(r" info reloaded: ")
            client.say(TextMessage("after"), Ping(b"p"))
            assert client.hear() == ("message", "after")
            assert client.hear() == ("pong", b"p")
            client.say(BytesMessage(b"\x00\xff"))
            assert client.hear() == ("message", b"\x00\xff")
            with closing(WebSocket(port)) as newer:
                newer.say(TextMessage("newer"))
                assert newer.hear() == ("message", "newer")
                newer.say(CloseConnection(1001, "enough"))
                assert newer.hear() == ("close", (1001, "enough"))
            client.say(CloseConnection(1000))
            assert client.hear()[0] == "close"
        eventually(
            lambda: len(gateway.find(" 101 .*upgrade=ended")) == 2, "both are logged"
        )
        assert len(gateway.find(" 101 .*upgrade=begun")) == 2
        assert f" {port}:/chat={stage.service} " in gateway.log()


def test_a_server_that_begins(ports: tuple[int, int]) -> None:
    """A ping and a close of the server arrive as it says them."""
    with closing(WebSocket(ports[1])) as client:
        client.say(TextMessage(PING_ME))
        assert client.hear() == ("ping", PINGED)
        client.say(Pong(PINGED), TextMessage(CLOSE_ME))
        assert client.hear() == ("close", CLOSED)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_reload_during_the_handshake(
    stage: Stage, tmp_path: Path, workers: str
) -> None:
    """A client whose route is removed before the server agrees is upgraded, too."""
    (port,) = free_ports(1)
    file = tmp_path / "lb.toml"
    mapping = f"{port}:{stage.service},mode=http"
    route = f"{port}:/chat={stage.service}"
    with listening() as server:
        stage.add(Place("slow", server.getsockname()[1]))
        file.write_text(f"map = ['{mapping}']\nroute = ['{route}']\n")
        gateway = stage.gateway("--workers", workers, "--config", str(file))
        if workers != "1":
            all_serve(gateway, int(workers))
        with connect(("127.0.0.1", port)) as sock:
            client = Peer(sock)
            client.say(UPGRADE + b"early")
            with accept(server) as accepted:
                upstream = Peer(accepted)
                upstream.hear()
                file.write_text(f"map = ['{mapping},drain-timeout=1h']\n")
                gateway.reload()
                gateway.wait_for(r" info reloaded: ")
                upstream.say(SWITCHING + b"hello")
                assert client.hear().startswith(b"HTTP/1.1 101 ")
                assert client.hear_bytes(5) == b"hello"
                assert upstream.hear_bytes(5) == b"early"
                client.end()
                assert upstream.hears_end() == b""
                upstream.say(b"and the last")
            assert client.hears_end() == b"and the last"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_gateway_that_ends(stage: Stage, workers: str) -> None:
    """A connection may go on while the gateway ends, and ends in order."""
    (port,) = free_ports(1)
    with echo_server() as server:
        stage.add(Place("echo", server))
        mapping = f"{port}:{stage.service},mode=http,drain-timeout=1h"
        gateway = stage.gateway("--workers", workers, "--map", mapping)
        if workers != "1":
            all_serve(gateway, int(workers))
        with closing(WebSocket(port)) as client:
            gateway.terminate()
            gateway.wait_for(" draining: ")
            client.say(TextMessage("after"))
            assert client.hear() == ("message", "after")
            with pytest.raises(ConnectionRefusedError):
                WebSocket(port)
            client.say(CloseConnection(1001))
            assert client.hear()[0] == "close"
        assert gateway.wait_until_gone().closed == 0
