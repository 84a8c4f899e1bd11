"""Files that an operator names, whatever they are."""

import os
from pathlib import Path

import pytest

from lbconsul.admin.token_file import TokenFile
from lbconsul.config.consul import ConsulConfig
from lbconsul.consul.tls import https_policy
from lbconsul.consul.token import Token
from lbconsul.errors import ConfigError
from lbconsul.process.files import read_file
from tests.support.descriptors import descriptors


def test_a_file(tmp_path: Path) -> None:
    """A regular file is read as it is, also through a link, as Kubernetes has them."""
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(b"\x00some\n")
    link.symlink_to(path)
    assert read_file(path, 6) == read_file(str(link)) == b"\x00some\n"


def test_a_long_file(tmp_path: Path) -> None:
    """A file that is longer than it may be is refused."""
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    with pytest.raises(OSError, match="longer than 4 bytes"):
        read_file(path, 4)
    assert read_file(path, 4, cut=True) == b"1234"


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("fifo", "not a regular file"),
        ("device", "not a regular file"),
        ("directory", "Is a directory"),
        ("nothing", "No such file or directory"),
    ],
)
def test_a_path_that_is_no_file(kind: str, why: str, tmp_path: Path) -> None:
    """
    A path that is no regular file is refused at once, without blocking and without an
    open descriptor.
    """
    path = _made(tmp_path / "it", kind)
    before = descriptors()
    with pytest.raises(OSError, match=why):
        read_file(path)
    assert descriptors() <= before


def _made(path: Path, kind: str) -> Path:
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "directory":
        path.mkdir()
    return path


def test_a_token_becomes_a_fifo(tmp_path: Path) -> None:
    """A token file that is replaced by a FIFO holds up no gateway."""
    path = tmp_path / "token"
    path.write_text("secret")
    path.chmod(0o600)
    token, admin = Token.of("", str(path)), TokenFile(str(path))
    path.unlink()
    os.mkfifo(path, 0o600)
    assert token.value() == "secret"
    assert not admin.is_it("secret")


def test_a_certificate_is_a_fifo(tmp_path: Path) -> None:
    """A certificate that is a FIFO is a mistake in one line."""
    path = _made(tmp_path / "ca.pem", "fifo")
    with pytest.raises(ConfigError, match=r"ca\.pem: cannot be read: not a regular"):
        https_policy(ConsulConfig((), ca_file=str(path)))
