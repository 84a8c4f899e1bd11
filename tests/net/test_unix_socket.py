"""UNIX sockets, and the files by which they are found."""

import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from lbconsul.net.unix_socket import (
    bind_unix,
    file_identity,
    is_socket,
    remove_file,
    remove_leftover,
)

needs_setfacl = pytest.mark.skipif(
    subprocess.call(["sh", "-c", "command -v setfacl >/dev/null"]) != 0,
    reason="no setfacl (Debian's package acl has it)",
)


class Watched(socket.socket):
    """A UNIX socket that notes the mode of its file as soon as there is one."""

    mode = -1

    def bind(self, path: object) -> None:
        super().bind(path)  # type: ignore[arg-type]
        self.mode = stat.S_IMODE(os.stat(str(path)).st_mode)


class Elsewhere(Watched):
    """One on a system where a socket has no mode before it has a file."""

    def fileno(self) -> int:
        return -1


def _modes(kind: type[Watched], path: Path, mode: int) -> tuple[int, int]:
    """The mode of the file at the first moment, and at last."""
    sock = kind(socket.AF_UNIX)
    bind_unix(sock, str(path), mode)
    last = stat.S_IMODE(path.stat().st_mode)
    os.close(sock.detach())
    path.unlink()
    return sock.mode, last


@pytest.mark.parametrize("kind", [Watched, Elsewhere])
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_mode(tmp_path: Path, kind: type[Watched], umask: int, mode: int) -> None:
    """From its first moment a file has its mode, whatever the umask, which stays."""
    before = os.umask(umask)
    try:
        assert _modes(kind, tmp_path / "s", mode) == (mode, mode)
        assert os.umask(umask) == umask
    finally:
        os.umask(before)


@pytest.mark.process
@needs_setfacl
def test_default_acl(tmp_path: Path) -> None:
    """The mode holds even where a directory has a default ACL."""
    given = subprocess.run(["setfacl", "-d", "-m", "o::rwx,g::rwx", str(tmp_path)])
    if given.returncode:
        pytest.skip("no ACLs on this file system")
    first, last = _modes(Watched, tmp_path / "s", 0o600)
    assert (first & 0o077, last) == (0, 0o600)


def test_a_failed_bind_keeps_the_umask(tmp_path: Path) -> None:
    """A failed bind leaves the umask as it was."""
    before = os.umask(0o027)
    try:
        with socket.socket(socket.AF_UNIX) as sock, pytest.raises(FileNotFoundError):
            bind_unix(sock, str(tmp_path / "none" / "s"), 0o600)
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_leftovers(tmp_path: Path) -> None:
    """A socket without a listening process is removed, and nothing else."""
    path = tmp_path / "s"
    remove_leftover(str(path))
    path.write_text("precious")
    remove_leftover(str(path))
    assert path.read_text() == "precious"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        remove_leftover(str(path))
        assert is_socket(str(path))
    remove_leftover(str(path))
    assert not is_socket(str(path))


def test_removing(tmp_path: Path) -> None:
    """A file is removed only if it is still the one that was bound."""
    path = tmp_path / "s"
    assert file_identity(str(path)) is None
    path.touch()
    mine = file_identity(str(path))
    (tmp_path / "other").touch()
    os.rename(tmp_path / "other", path)
    remove_file(str(path), mine)
    remove_file(str(path), None)
    assert path.exists()
    remove_file(str(path), file_identity(str(path)))
    assert not path.exists()
    remove_file(str(path), mine)
