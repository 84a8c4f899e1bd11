"""A log file: rotated by size, reopened after logrotate, shared by two gateways."""

import errno
import fcntl
import os
import stat
import threading
from collections import deque
from pathlib import Path

import pytest
from twisted.logger import capturedLogs, formatEvent

from lbconsul.logs import log_file as module
from lbconsul.logs.log_file import LogFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a log file is to be."""
    return tmp_path / "log"


def log(file: LogFile, *lines: str) -> None:
    """Have these lines written, each by itself."""
    for line in lines:
        waiting = deque([f"{line}\n".encode()])
        file.write(waiting)
        assert not waiting


def numbered(path: Path, number: int) -> Path:
    """A rotated file."""
    return path.with_name(f"{path.name}.{number}")


def mode(path: Path) -> int:
    """Its permissions."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file(path: Path) -> None:
    """A new file is for its owner and the group, whatever the umask."""
    before = os.umask(0o077)
    try:
        log(LogFile(str(path), 0, 5), "one", "two")
    finally:
        os.umask(before)
    assert path.read_text() == "one\ntwo\n"
    assert mode(path) == 0o640


def test_a_file_that_is_there(path: Path) -> None:
    """A file that is there is appended to, and keeps its permissions."""
    path.write_text("before\n")
    path.chmod(0o600)
    log(LogFile(str(path), 0, 5), "one")
    assert path.read_text() == "before\none\n"
    assert mode(path) == 0o600


def test_an_owner(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A new file belongs to the gateway's later user; an existing one keeps its owner.
    """
    owners: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda fd, *owner: owners.append(owner))
    LogFile(str(path), 0, 5, (1234, 5678))
    LogFile(str(path), 0, 5, (1234, 5678))
    assert owners == [(1234, 5678)]


def test_rotation(path: Path) -> None:
    """Before it becomes too large it is renamed, and of the older ones some are kept;
    files with higher numbers are not ours.
    """
    numbered(path, 4).write_text("someone else's")
    file = LogFile(str(path), 20, 3)
    for number in range(10):
        log(file, f"{number:09}")
    assert path.read_text() == "000000008\n000000009\n"
    for number, first in ((1, 6), (2, 4), (3, 2)):
        text = numbered(path, number).read_text()
        assert text == f"{first:09}\n{first + 1:09}\n"
        assert mode(numbered(path, number)) == 0o640
    assert numbered(path, 4).read_text() == "someone else's"
    assert len(list(path.parent.iterdir())) == 5


def test_one_line_that_is_too_long(path: Path) -> None:
    """A line is never cut: one longer than the limit has a file of its own."""
    file = LogFile(str(path), 20, 3)
    log(file, "x" * 50, "y")
    assert numbered(path, 1).read_text() == "x" * 50 + "\n"
    assert path.read_text() == "y\n"


def test_no_rotation(path: Path) -> None:
    """Where the size is off it grows, and is rotated by others."""
    log(LogFile(str(path), 0, 3), *("x" * 100 for _ in range(100)))
    assert path.stat().st_size == 10_100
    assert list(path.parent.iterdir()) == [path]


def test_ten_thousand_old_files(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many files are beside it, rotation looks at no more than are kept."""

    def refuse(*_: object) -> None:
        raise AssertionError("the directory was read")

    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, refuse)
    renamed: list[str] = []
    real = os.rename

    def noted(old: str, new: str) -> None:
        renamed.append(old)
        real(old, new)

    monkeypatch.setattr(os, "rename", noted)
    file = LogFile(str(path), 20, 4)
    log(file, "x" * 19, "y")
    assert [each.rpartition("/")[2] for each in renamed] == [
        "log.3", "log.2", "log.1", "log",
    ]  # fmt: skip


def test_renamed(path: Path) -> None:
    """After logrotate has renamed it the next line is in a new file, like it."""
    file = LogFile(str(path), 0, 5)
    log(file, "one")
    path.chmod(0o600)
    path.rename(numbered(path, 1))
    log(file, "two")
    assert numbered(path, 1).read_text() == "one\n"
    assert path.read_text() == "two\n"
    assert mode(path) == 0o600


def test_renamed_and_made_anew(path: Path) -> None:
    """
    The same holds if logrotate has created the new file, which keeps its owner and
    mode.
    """
    file = LogFile(str(path), 0, 5)
    log(file, "one")
    path.rename(numbered(path, 1))
    path.touch(0o644)
    path.chmod(0o644)
    log(file, "two")
    assert path.read_text() == "two\n"
    assert mode(path) == 0o644


def test_a_removed_file_is_created_again(path: Path) -> None:
    """A removed file is created again."""
    file = LogFile(str(path), 0, 5)
    path.unlink()
    log(file, "one")
    assert path.read_text() == "one\n"


def test_asked_to_reopen(path: Path) -> None:
    """SIGUSR1 has it reopened at once, without a line to be written."""
    file = LogFile(str(path), 0, 5)
    path.rename(numbered(path, 1))
    file.write(deque())
    assert not path.exists()
    file.reopen()
    file.write(deque())
    assert path.exists()


@pytest.mark.parametrize("rotates", [True, False])
def test_asked_without_a_reason(path: Path, rotates: bool) -> None:
    """If nothing was renamed SIGUSR1 rotates a log file of twistd's, as twistd does,
    and leaves one of ours as it is.
    """
    file = LogFile(str(path), 0, 5, None, rotates)
    log(file, "one")
    file.reopen()
    log(file, "two", "three")
    assert path.read_text() == ("two\nthree\n" if rotates else "one\ntwo\nthree\n")
    assert numbered(path, 1).exists() == rotates


def test_truncated(path: Path) -> None:
    """After logrotate's copytruncate the file is written from its beginning."""
    file = LogFile(str(path), 0, 5)
    log(file, "one")
    os.truncate(path, 0)
    log(file, "two")
    assert path.read_text() == "two\n"


def test_the_folder_is_gone(path: Path, tmp_path: Path) -> None:
    """While there is nowhere to write to, lines are kept."""
    folder = tmp_path / "logs"
    folder.mkdir()
    file = LogFile(str(folder / "log"), 0, 5)
    (folder / "log").unlink()
    folder.rmdir()
    lines = deque([b"one\n"])
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            file.write(lines)
    folder.mkdir()
    file.write(lines)
    assert (folder / "log").read_text() == "one\n"


def test_it_cannot_be_reopened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where a renamed file cannot be opened again, lines go on into the previous one; that
    is logged once, and the new one is tried again.
    """
    file = LogFile(str(path), 0, 5)
    path.rename(numbered(path, 1))
    with capturedLogs() as events, monkeypatch.context() as patch:

        def refuse(*_: object) -> int:
            raise PermissionError(errno.EACCES, "Permission denied")

        patch.setattr(os, "open", refuse)
        log(file, "one", "two")
    assert [formatEvent(each) for each in events] == [
        f"log file {path}: cannot be opened; the previous file stays in use:"
        " Permission denied"
    ]
    assert numbered(path, 1).read_text() == "one\ntwo\n"
    log(file, "three")
    assert path.read_text() == "three\n"


def test_it_cannot_be_rotated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file cannot be renamed it grows; that is logged once."""
    file = LogFile(str(path), 10, 5)
    with capturedLogs() as events, monkeypatch.context() as patch:

        def refuse(*_: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        patch.setattr(os, "rename", refuse)
        log(file, "first", "second", "third")
    assert [formatEvent(each) for each in events] == [
        f"log file {path}: cannot be rotated, so it grows: Permission denied"
    ]
    assert path.read_text() == "first\nsecond\nthird\n"
    log(file, "fourth")
    assert path.read_text() == "fourth\n"


def test_a_name_that_cannot_be_looked_at(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that cannot be searched any more is no reason to open another file."""
    file = LogFile(str(path), 0, 5)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", refuse)
        log(file, "one")
    assert path.read_text() == "one\n"


def test_another_process_rotates_it(path: Path) -> None:
    """While another process renames the files we do not; after it we follow."""
    ours, theirs = LogFile(str(path), 20, 5), LogFile(str(path), 20, 5)
    log(ours, "x" * 19)
    other = os.open(path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    log(ours, "one")
    assert path.read_text() == "x" * 19 + "\none\n"
    os.close(other)
    log(theirs, "two")  # it is too large, so that they rotate it
    log(ours, "three")
    assert path.read_text() == "two\nthree\n"
    assert not numbered(path, 2).exists()


def test_renamed_before_the_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that another process has rotated meanwhile is not rotated once more."""
    file = LogFile(str(path), 20, 5)
    log(file, "x" * 19)
    real = module._lock

    def late(fileno: int) -> bool:
        path.rename(numbered(path, 1))
        path.write_text("theirs\n")
        return real(fileno)

    monkeypatch.setattr(module, "_lock", late)
    log(file, "ours")
    assert path.read_text() == "theirs\nours\n"
    assert not numbered(path, 2).exists()


def test_a_file_system_without_locks(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing can be locked it is rotated all the same."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    log(LogFile(str(path), 20, 5), "x" * 19, "one")
    assert path.read_text() == "one\n"


def test_two_gateways(path: Path) -> None:
    """Two that write to the same file, as in a takeover, lose no line of each other's,
    however often it is rotated, and tear none.
    """
    count, keep = 1500, 100

    def write(name: str) -> None:
        file = LogFile(str(path), 2000, keep)
        for number in range(count):
            log(file, f"{name} {number:06} {'x' * 40}")

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    older = [numbered(path, number) for number in range(keep, 0, -1)]
    rotated = [each for each in older if each.exists()]
    assert 20 <= len(rotated) < keep
    lines = [
        line for part in (*rotated, path) for line in part.read_text().splitlines()
    ]
    for name in "ab":
        numbers = [int(line.split()[1]) for line in lines if line.startswith(name)]
        assert sorted(numbers) == list(range(count))
    assert {len(line) for line in lines} == {49}


def test_a_device() -> None:
    """A device is neither rotated nor reopened."""
    file = LogFile("/dev/null", 20, 5)
    log(file, "x" * 50, "y")
    file.reopen()
    log(file, "z")
    assert not Path("/dev/null.1").exists()


def test_a_fifo_without_a_reader(path: Path) -> None:
    """A FIFO without a reader is refused at the start, which does not wait."""
    os.mkfifo(path)
    with pytest.raises(OSError, match="No such device or address"):
        LogFile(str(path), 0, 5)


@pytest.mark.parametrize("name", ["none/log", "folder"])
def test_it_cannot_be_opened(tmp_path: Path, name: str) -> None:
    """A file that cannot be opened is an error."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        LogFile(str(tmp_path / name), 0, 5)
