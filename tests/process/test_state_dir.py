"""The state directory: only ours, only files, and no disk holds the reactor."""

import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lbconsul.errors import ConfigError
from lbconsul.process.state_dir import PATIENCE, Disk, StateDir, check_directory
from tests.support.running_proxy import ReactorThread

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")

#: Another user's id.
STRANGER = 12345


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory that is only ours."""
    made = tmp_path / "state"
    made.mkdir(0o700)
    return made


def test_a_place_for_it(place: Path) -> None:
    """A directory of this user is fine, and so is a missing one, and a link to it."""
    check_directory(str(place))
    check_directory(str(place / "new"))
    (place / "link").symlink_to(place)
    check_directory(str(place / "link"))
    place.chmod(0o755)
    check_directory(str(place))


def test_one_that_cannot_be_written_to(place: Path) -> None:
    """
    A directory that cannot be written does not prevent the start: it may hold
    snapshots.
    """
    place.chmod(0o500)
    check_directory(str(place))
    check_directory("/proc/1")


def test_no_place_for_it(place: Path) -> None:
    """Where there can be no directory, the start fails."""
    (place / "file").write_text("")
    (place / "dangling").symlink_to(place / "none")
    for bad in ("file", "file/sub", "no/such", "dangling"):
        with pytest.raises(ConfigError, match=r"--state-dir .*: .* is not a directory"):
            check_directory(str(place / bad))
    with pytest.raises(ConfigError, match=r"--state-dir .*: cannot be accessed: File"):
        check_directory(str(place / ("x" * 300)))


@pytest.mark.parametrize("is_read_only", [False, True])
def test_one_that_cannot_be_made(
    place: Path, is_read_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A directory that can never exist is an error at the start; a read-only disk is not.
    """
    flags = os.ST_RDONLY if is_read_only else 0
    monkeypatch.setattr(os, "access", lambda *_, effective_ids: False)
    monkeypatch.setattr(os, "supports_effective_ids", {os.access})
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=flags))
    check_directory(str(place))
    if is_read_only:
        check_directory(str(place / "new"))
    else:
        with pytest.raises(ConfigError, match=f": it cannot be made in {place}$"):
            check_directory(str(place / "new"))


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_one_that_others_may_write_to(place: Path, mode: int) -> None:
    """A directory that other users may write to is refused."""
    place.chmod(mode)
    line = rf"others may write to it \(mode {mode & 0o777:o}\): chmod go-w$"
    with pytest.raises(ConfigError, match=line):
        check_directory(str(place))
    state = StateDir(place)
    for use in (
        lambda: state.read("x", 9),
        lambda: state.replace("x", [b""]),
        lambda: state.rename("x", "y"),
    ):
        with pytest.raises(PermissionError, match="others may write to it"):
            use()
    assert list(place.iterdir()) == []


@ROOT
def test_another_user_s(place: Path) -> None:
    """One of another user is refused."""
    link = place.parent / "link"
    link.symlink_to(place)
    os.chown(link, STRANGER, -1, follow_symlinks=False)
    with pytest.raises(ConfigError, match=f"a symbolic link of user {STRANGER}$"):
        check_directory(str(link))
    os.chown(place, STRANGER, -1)
    with pytest.raises(ConfigError, match=f"belongs to user {STRANGER} instead of 0$"):
        check_directory(str(place))
    with pytest.raises(PermissionError, match="belongs to"):
        StateDir(place).read("x", 9)


def test_it_is_made(tmp_path: Path) -> None:
    """
    The directory is made when something is stored, for this user only; so are its
    files.
    """
    state = StateDir(tmp_path / "new")
    assert state.read("x", 9) is None
    state.replace("x", [b"a", b"b"])
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o700
    assert stat.S_IMODE((state.path / "x").stat().st_mode) == 0o600
    state.replace("x", iter([b"c"]))
    state.rename("x", "y")
    assert (state.read("x", 9), state.read("y", 9)) == (None, b"c")
    assert os.listdir(state.path) == ["y"]


def test_what_fails_in_the_middle(place: Path) -> None:
    """After a failed write the old content stays."""
    state = StateDir(place)
    state.replace("x", [b"whole"])

    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        state.replace("x", pieces())
    assert state.read("x", 9) == b"whole"


def test_two_that_write(place: Path) -> None:
    """In a takeover two gateways keep the same: what is there is always whole."""
    one, other = StateDir(place), StateDir(place)

    def meanwhile() -> Iterator[bytes]:
        yield b"one"
        other.replace("x", [b"other"])
        yield b", written last"

    one.replace("x", meanwhile())
    assert one.read("x", 99) == b"other"

    def at_the_same_time() -> Iterator[bytes]:
        yield b"one"
        (place / "x.new").unlink()
        (place / "x.new").write_bytes(b"half of the oth")

    one.replace("x", at_the_same_time())
    assert one.read("x", 99) == b"other"


def _fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


def _link(path: Path) -> None:
    (path.parent / "target").write_bytes(b"told")
    path.symlink_to(path.parent / "target")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def _others(path: Path) -> None:
    path.write_bytes(b"told")
    path.chmod(0o602)


def _long(path: Path) -> None:
    path.write_bytes(bytes(100))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_fifo, "not a regular file"),
        (Path.mkdir, "not a regular file"),
        (_link, "it is a symbolic link"),
        (_socket, "No such device or address"),
        (_others, "others may write to it"),
        (_long, "longer than 99 bytes"),
    ],
)
def test_what_is_no_file_of_ours(place: Path, make: object, why: str) -> None:
    """Anything else than a file of ours is not read, nor waited for; but replaced."""
    assert callable(make)
    make(place / "x")
    state = StateDir(place)
    with pytest.raises(OSError, match=why):
        state.read("x", 99)
    if make is not Path.mkdir:
        state.replace("x", [b"ours"])
        assert state.read("x", 99) == b"ours"
        assert not (place / "target").exists() or (
            (place / "target").read_bytes() == b"told"
        )


@ROOT
def test_a_file_of_another_user(place: Path) -> None:
    """A file of another user is not read."""
    (place / "x").write_bytes(b"told")
    os.chown(place / "x", STRANGER, -1)
    with pytest.raises(PermissionError, match=f"belongs to user {STRANGER}"):
        StateDir(place).read("x", 99)


def test_before_the_reactor_runs() -> None:
    """There is nothing to be held up: it is done at once, and there is no thread."""
    disk = Disk(Clock())
    done: list[object] = []
    disk.run(lambda: 7).addCallback(done.append)
    disk.run(lambda: 1 // 0).addErrback(lambda why: done.append(why.type))
    disk.idle().addCallback(done.append)
    assert done == [7, ZeroDivisionError, None]


def test_in_a_thread() -> None:
    """One thing is done after the other, none of them in the reactor's threads."""
    with ReactorThread() as running:
        disk = Disk(running.reactor)
        done: list[object] = []

        def begin() -> Deferred[None]:
            for number in range(3):
                disk.run(lambda n=number: (n, threading.current_thread().name))  # type: ignore[misc]
            disk.run(lambda: threading.current_thread().name).addCallback(done.append)
            disk.run(lambda: 1 // 0).addErrback(lambda why: done.append(why.type))
            return disk.idle()

        for _ in range(2):  # and it can begin again
            running.outcome(begin)
        assert done == ["disk", ZeroDivisionError] * 2


def test_a_disk_that_hangs() -> None:
    """
    A hanging disk is waited for a little at the end, and the reactor goes on all the
    time.
    """
    hangs = threading.Event()
    with ReactorThread() as running:
        disk = Disk(running.reactor)
        done: list[object] = []

        def begin() -> Deferred[None]:
            disk.run(hangs.wait).addCallback(done.append)
            disk.run(lambda: 7).addCallback(done.append)
            return disk.idle()

        began = running.reactor.seconds()
        running.outcome(begin)
        assert running.reactor.seconds() - began >= PATIENCE
        assert done == []
        hangs.set()
        running.outcome(lambda: disk.run(lambda: None))
        running.outcome(disk.idle)
