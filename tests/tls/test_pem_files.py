"""The PEM files at a path, and whether they have changed."""

import os
from pathlib import Path

import pytest

from lbconsul.tls.pem_files import FileStamp, file_stamps, pem_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for certificates."""
    path = tmp_path / "certs"
    path.mkdir()
    return path


def stamps(path: Path) -> tuple[FileStamp | None, ...]:
    """All stamps of a path."""
    return tuple(file_stamps(str(path)))


def test_files(folder: Path) -> None:
    """A path is a file, or a folder whose visible *.pem files count, in order."""
    assert pem_files(f"{folder}/a") == [f"{folder}/a"]
    for name in ("b.pem", "a.pem", ".hidden.pem", "c.txt"):
        (folder / name).write_text(name)
    assert pem_files(str(folder)) == [f"{folder}/a.pem", f"{folder}/b.pem"]


def test_stamps(folder: Path) -> None:
    """Each change of a file, and each that comes or goes, changes the stamps."""
    seen = [stamps(folder)]

    def changed() -> bool:
        seen.append(stamps(folder))
        return seen[-1] not in seen[:-1]

    (folder / "a.pem").write_text("a")
    assert changed()
    assert not changed()
    (folder / "b.pem").write_text("b")
    assert changed()
    os.utime(folder / "a.pem", (1, 1))
    assert changed()
    (folder / "a.pem").chmod(0o400)  # it could not be read before, perhaps
    assert changed()
    (folder / "new").write_text("a")
    os.utime(folder / "new", (1, 1))
    assert not changed()
    (folder / "new").rename(folder / "a.pem")
    assert changed()
    (folder / "a.pem").unlink()
    assert changed()


def test_stamps_of_keys(folder: Path) -> None:
    """The file of a key beside a certificate counts, if it is asked for."""
    pem, key = folder / "a.pem", folder / "a.pem.key"
    pem.write_text("a")
    seen = [tuple(file_stamps(str(folder), keys=True))]
    assert seen[0] == (*stamps(folder), None)
    for text in ("key", "another key"):
        key.write_text(text)
        seen.append(tuple(file_stamps(str(folder), keys=True)))
    assert len(set(seen)) == 3
    assert len(stamps(folder)) == 1


def test_nothing_to_stamp(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not there, or whose folder cannot be read, has no stamp."""
    assert stamps(folder / "a.pem") == (None,)

    def refuse(path: str) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    assert stamps(folder) == ()
