"""WebSocket (RFC 6455): a server that echoes, and clients that note what they hear."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.utilities import RemoteProtocolError

from tests.support.loopback import PATIENCE

_READ = 65536

#: What has the server begin something itself, and what it then says.
PING_ME, CLOSE_ME = "ping me", "close me"
PINGED, CLOSED = b"are you there?", (1012, "it restarts")


@contextmanager
def echo_server() -> Iterator[int]:
    """A server that says each message again; its port.

    Asked with `PING_ME` it pings, and with `CLOSE_ME` it closes.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    threading.Thread(target=_echo, args=[client], daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def _echo(client: socket.socket) -> None:
    """Serve one client; a message is said again in the parts in which it comes."""
    speaks = WSConnection(ConnectionType.SERVER)
    with client, suppress(OSError):
        while data := client.recv(_READ):
            try:
                speaks.receive_data(data)
                for event in speaks.events():
                    client.sendall(_answer(speaks, event))
            except RemoteProtocolError as error:
                if error.event_hint is not None:
                    client.sendall(speaks.send(error.event_hint))
                return


def _answer(speaks: WSConnection, event: Event) -> bytes:
    if isinstance(event, Request):
        return speaks.send(AcceptConnection())
    if isinstance(event, (TextMessage, BytesMessage)):
        if event.data == PING_ME:
            return speaks.send(Ping(PINGED))
        if event.data == CLOSE_ME:
            return speaks.send(CloseConnection(*CLOSED))
        return speaks.send(event)
    if isinstance(event, (Ping, CloseConnection)):
        return speaks.send(event.response())
    return b""


class WebSocket:
    """A client's connection, whose handshake is over."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._speaks = WSConnection(ConnectionType.CLIENT)
        self._events: list[Event] = []
        self.say(Request(host="ws.example", target="/chat?a=b"))
        accepted, *self._events = self._more()
        assert isinstance(accepted, AcceptConnection), accepted

    def say(self, *events: Event) -> None:
        """Send these in one piece."""
        self.sock.sendall(b"".join(self._speaks.send(each) for each in events))

    def say_bytes(self, data: bytes, each: int = 0) -> None:
        """Send bytes as they are, all at once or so many at a time."""
        size = each or len(data)
        for at in range(0, len(data), size):
            self.sock.sendall(data[at : at + size])

    def hear(self) -> tuple[str, object]:
        """The next whole message, ping, pong, or end, with what it says."""
        parts: list[str | bytes | bytearray] = []
        while True:
            if not self._events:
                self._events = self._more()
            event = self._events.pop(0)
            if isinstance(event, (TextMessage, BytesMessage)):
                parts.append(event.data)
                if event.message_finished:
                    empty: str | bytes = "" if isinstance(parts[0], str) else b""
                    return "message", empty.join(parts)  # type: ignore[arg-type]
            elif isinstance(event, (Ping, Pong)):
                kind = "ping" if isinstance(event, Ping) else "pong"
                return kind, bytes(event.payload)
            elif isinstance(event, CloseConnection):
                return "close", (event.code, event.reason)

    def _more(self) -> list[Event]:
        self._speaks.receive_data(self.sock.recv(_READ) or None)
        return list(self._speaks.events())

    def close(self) -> None:
        """Close the connection."""
        self.sock.close()


def frame(
    opcode: int, payload: bytes, *, last: bool = True, reserved: int = 0
) -> bytes:
    """A client's frame, right or wrong, whose mask changes nothing (RFC 6455, 5.2)."""
    first = (0x80 if last else 0) | reserved | opcode
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    return bytes([first]) + length + bytes(4) + payload
