"""What systemd passes to a gateway."""

import os
import socket

import pytest
from twisted.python.systemd import ListenFDs

from lbconsul.process.socket_activation import passed_sockets


@pytest.mark.parametrize("name", ["front", None])
def test_passed(monkeypatch: pytest.MonkeyPatch, name: str | None) -> None:
    """A socket is found by its number, and by its name if it has one."""
    with socket.create_server(("127.0.0.1", 0)) as passed:
        monkeypatch.setattr(ListenFDs, "_START", passed.fileno())
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", "1")
        if name:
            monkeypatch.setenv("LISTEN_FDNAMES", name)
        number = passed.fileno()
        assert passed_sockets() == {"0": number, name or "unknown": number}


def test_without_systemd() -> None:
    """Without systemd there are no such sockets."""
    assert passed_sockets() == {}
