"""A secret, and the file that holds it."""

import os
from pathlib import Path

import pytest

from lbconsul.errors import ConfigError
from lbconsul.process.secret_file import SecretFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("first\n")
    return path


def _same_look(path: Path, text: str) -> None:
    """Write without any change of what stat(2) shows."""
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_read_when_it_changes(path: Path) -> None:
    """A file that looks unchanged is not read again, one that changes is."""
    reads: list[int] = []
    secret = SecretFile(
        "--secret", str(path), lambda found: reads.append(found.st_size)
    )
    assert secret.first() == secret.read() == b"first"
    _same_look(path, "other\n")
    assert secret.read() == b"first"
    path.write_text(" a longer one ")
    assert secret.read() == b"a longer one"
    path.chmod(0o400)
    assert secret.read() == b"a longer one"
    assert reads == [6, 14, 14]


def test_read_again_without_a_change(path: Path) -> None:
    """A rejected secret is read again, and so is one after a failure."""
    secret = SecretFile("--secret", str(path))
    secret.first()
    _same_look(path, "other\n")
    secret.distrust()
    assert secret.read() == b"other"
    hidden = path.rename(path.with_name("hidden"))
    with pytest.raises(FileNotFoundError):
        secret.read()
    _same_look(hidden, "third\n")
    hidden.rename(path)
    assert secret.read() == b"third"


def test_unreadable_at_the_start(path: Path) -> None:
    """A file that cannot be read is an error that names option, file and reason."""
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigError) as refused:
        SecretFile("--secret", str(path)).first()
    assert str(refused.value) == f"--secret {path}: cannot be read: Is a directory"


def test_not_shown(path: Path) -> None:
    """The secret is in no traceback."""
    secret = SecretFile("--secret", str(path))
    secret.first()
    assert "first" not in repr(secret)
