"""The socket of the admin listener."""

import errno
import os
from pathlib import Path

import pytest

from lbconsul.admin.socket import open_socket
from lbconsul.config.model import TCPListen, UnixListen
from tests.support.ports import free_ports


def test_tcp() -> None:
    """It listens where it is told, for one process only."""
    (port,) = free_ports(1)
    listen = TCPListen("127.0.0.1", port)
    with open_socket(listen) as sock:
        assert sock.getsockname() == ("127.0.0.1", port)
        assert not sock.getblocking()
        with pytest.raises(OSError, match="in use") as caught:
            open_socket(listen)
        assert caught.value.errno == errno.EADDRINUSE


def test_tcp6() -> None:
    """An address of IPv6 is one; all of them leave those of IPv4 alone."""
    (port,) = free_ports(1)
    with open_socket(TCPListen("::1", port)) as sock:
        assert sock.getsockname()[:2] == ("::1", port)
    with open_socket(TCPListen("::", port)), open_socket(TCPListen("0.0.0.0", port)):
        pass


def test_unix(tmp_path: Path) -> None:
    """A UNIX socket is its owner's only; what a process that died left is replaced."""
    path = tmp_path / "admin"
    listen = UnixListen(str(path))
    for _ in range(2):
        with open_socket(listen):
            assert path.stat().st_mode & 0o777 == 0o600
            with pytest.raises(OSError, match="in use"):
                open_socket(listen)


def test_what_is_no_socket(tmp_path: Path) -> None:
    """A file that is no socket is left alone."""
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(OSError, match="in use"):
        open_socket(UnixListen(str(path)))
    assert path.read_text() == "data"
    with pytest.raises(FileNotFoundError):
        open_socket(UnixListen(str(tmp_path / "nowhere" / "admin")))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        open_socket(UnixListen(str(tmp_path / "nowhere" / "admin")))
    assert len(os.listdir("/proc/self/fd")) == before
