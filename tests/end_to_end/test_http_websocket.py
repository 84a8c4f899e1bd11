"""WebSocket through a gateway in HTTP mode.

Autobahn's suite of cases needs Python 2; these are the like of its cases 1 to 7, and
what a client hears through the gateway is compared with what it hears directly.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from tests.end_to_end.registrar import Place, Registrar
from tests.end_to_end.stage import Stage
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.websocket import WebSocket, echo_server, frame
from tests.support.workers import all_serve

pytestmark = pytest.mark.consul

_TEXT, _BYTES, _MORE, _CLOSE, _PING = 1, 2, 0, 8, 9

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
        client.say_bytes(data + frame(_CLOSE, b"\x03\xe8over"), each)
        while not heard or heard[-1][0] != "close":
            heard.append(client.hear())
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
