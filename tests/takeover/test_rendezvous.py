"""Where gateways meet."""

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from lbconsul.errors import CannotTakeOver
from lbconsul.net.unix_socket import bind_unix, file_identity
from lbconsul.takeover import rendezvous
from lbconsul.takeover.rendezvous import (
    check_place,
    is_somebody_at,
    listen_at,
    peer,
    trusted_users,
)
from tests.support.loopback import connect


def told(path: object) -> str:
    """What is wrong with a path."""
    with pytest.raises(CannotTakeOver) as raised:
        check_place(str(path))
    assert str(raised.value).startswith(f"--takeover {path}: ")
    return str(raised.value).partition(": ")[2]


def test_fit(tmp_path: Path) -> None:
    """A path is usable if nothing is there, or a socket, even a dead one."""
    path = str(tmp_path / "lb.sock")
    check_place(path)
    with listen_at(path):
        check_place(path)
    check_place(path)


def test_unfit(tmp_path: Path) -> None:
    """The error about an unusable path is one line."""
    assert told(tmp_path / "none" / "lb.sock") == (
        f"there is no directory {tmp_path}/none"
    )
    (tmp_path / "file").write_text("precious")
    assert told(tmp_path / "file") == "exists and is not a socket"
    (tmp_path / "link").symlink_to("file")
    assert told(tmp_path / "link") == "exists and is not a socket"
    assert told(tmp_path) == "exists and is not a socket"
    assert told(f"{tmp_path}/file/lb.sock") == (
        f"there is no directory {tmp_path}/file"
    )
    assert told(tmp_path / ("x" * 101)) == "the path is too long for a UNIX socket"
    assert (tmp_path / "file").read_text() == "precious"


def test_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is a directory in which no socket can be created."""
    monkeypatch.setattr(os, "access", lambda folder, mode, **_: False)
    path = tmp_path / "lb.sock"
    assert told(path) == f"the directory {tmp_path} is not writable"


def test_not_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that this user may not look at is unusable, too."""

    def look(path: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(rendezvous.os, "lstat", look)  # type: ignore[attr-defined]
    assert told(tmp_path / "lb.sock") == "Permission denied"


def test_system_without_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the peer's user cannot be known no socket is handed over."""
    monkeypatch.delattr(socket, "SO_PEERCRED")
    assert "needs SO_PEERCRED" in told(tmp_path / "lb.sock")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_owner_only(tmp_path: Path, umask: int) -> None:
    """Only its user may use it, whatever the umask says, and nothing else is left."""
    before = os.umask(umask)
    try:
        sock = listen_at(str(tmp_path / "lb.sock"))
    finally:
        os.umask(before)
    with sock:
        assert stat.S_IMODE(os.stat(tmp_path / "lb.sock").st_mode) == 0o600
        assert os.listdir(tmp_path) == ["lb.sock"]
        assert not sock.getblocking()


def test_owner_only_from_the_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others never could use it; the path comes last of all."""
    path = str(tmp_path / "lb.sock")
    moments: list[str] = []
    rename = os.rename

    def watched_bind(sock: socket.socket, temporary: str, mode: int) -> None:
        bind_unix(sock, temporary, mode)
        moments.append(f"{mode:o} {is_somebody_at(temporary)}")

    def watched_rename(temporary: str, to: str) -> None:
        assert os.listdir(tmp_path) == [os.path.basename(temporary)]
        moments.append(f"rename {is_somebody_at(temporary)}")
        rename(temporary, to)

    monkeypatch.setattr(rendezvous, "bind_unix", watched_bind)
    monkeypatch.setattr(os, "rename", watched_rename)
    with listen_at(path):
        assert moments == ["600 False", "rename True"]


def test_in_place_of_another(tmp_path: Path) -> None:
    """A client always finds a listening gateway, the old one or the new one."""
    path = str(tmp_path / "lb.sock")
    with listen_at(path) as old:
        before = file_identity(path)
        with listen_at(path) as new, connect(path):
            new.accept()[0].close()
            assert file_identity(path) != before
            with pytest.raises(BlockingIOError):
                old.accept()


def test_failure_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it cannot be had all is as it was."""
    path = str(tmp_path / "lb.sock")
    with listen_at(path):

        def rename(*names: str) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "rename", rename)
        with pytest.raises(PermissionError):
            listen_at(path)
        assert os.listdir(tmp_path) == ["lb.sock"]
        assert is_somebody_at(path)
    with pytest.raises(FileNotFoundError):
        listen_at(str(tmp_path / "none" / "lb.sock"))


def test_somebody(tmp_path: Path) -> None:
    """A listening process is detected even if it is busy."""
    path = str(tmp_path / "lb.sock")
    assert not is_somebody_at(path)
    assert file_identity(path) is None
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        assert not is_somebody_at(path)
        sock.listen(0)
        assert is_somebody_at(path)
        assert is_somebody_at(path)
    assert not is_somebody_at(path)


def test_peer(tmp_path: Path) -> None:
    """Each end knows which process and user the other one is; some are trusted."""
    path = str(tmp_path / "lb.sock")
    with listen_at(path) as sock, connect(path) as client, sock.accept()[0] as served:
        assert peer(client) == peer(served) == (os.getpid(), os.geteuid())
    assert trusted_users() == {0, os.geteuid()}
    assert trusted_users([4711]) == {0, os.geteuid(), 4711}
