"""The ACL token, and the file it is kept in."""

import os
from pathlib import Path

import pytest

from lbconsul.consul.token import Token
from lbconsul.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A token file that holds ``first``."""
    path = tmp_path / "token"
    path.write_text("first\n")
    return path


def rewrite(path: Path, text: str) -> None:
    """Write without any change of what stat(2) shows."""
    before = path.stat()
    assert len(text) == before.st_size
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_token_may_be_a_text() -> None:
    """
    A token that is given as a text is that text, before and after a refusal,
    and none is none.
    """
    token = Token("secret")
    token.distrust()
    assert token.value() == "secret"
    assert Token().value() == ""


def test_the_token_is_not_shown() -> None:
    """The token appears in no log and no traceback."""
    assert "secret" not in repr(Token("secret"))


def test_a_file_without_its_newline(file: Path) -> None:
    """
    The newline that editors end a file with is no part of the token.
    """
    assert Token.of("", str(file)).value() == "first"


def test_a_file_that_changes_is_read_again(file: Path) -> None:
    """
    A token that is rotated in its file is used from the next question on.
    """
    token = Token.of("", str(file))
    file.write_text("the second\n")
    assert token.value() == "the second"


def test_a_file_that_is_replaced_is_read_again(file: Path) -> None:
    """
    Replacing the file, as Vault and Kubernetes do, is a change, even if size
    and time are the same.
    """
    token = Token.of("", str(file))
    other = file.with_name("other")
    other.write_text("other\n")
    before = file.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(file)
    assert token.value() == "other"


def test_a_refused_token_is_read_again(file: Path) -> None:
    """
    After Consul refused a token its file is read again, even if it looks
    unchanged.
    """
    token = Token.of("", str(file))
    rewrite(file, "fixed\n")
    assert token.value() == "first"
    token.distrust()
    assert token.value() == "fixed"


def test_a_file_that_goes_away_leaves_its_token(file: Path) -> None:
    """
    When the file cannot be read any more the last token stays in use, and the
    file is read when it is back.
    """
    token = Token.of("", str(file))
    content = file.stat()
    file.unlink()
    assert token.value() == "first"
    file.write_bytes(b"\xff\xfe")
    assert token.value() == "first"
    file.write_text("again\n")
    os.utime(file, ns=(content.st_atime_ns, content.st_mtime_ns))
    assert token.value() == "again"


def test_a_file_that_is_empty(file: Path) -> None:
    """
    While the file is empty the token beside it counts, as for Consul's own tools.
    """
    token = Token.of("beside", str(file))
    assert token.value() == "first"
    file.write_text(" \n")
    assert token.value() == "beside"


def test_a_file_that_is_not_there_at_the_start(tmp_path: Path) -> None:
    """
    A token file that cannot be read is an error at the start, in one line
    that names option, file and reason.
    """
    path = tmp_path / "none"
    with pytest.raises(ConfigError) as refused:
        Token.of("", str(path))
    assert str(refused.value) == (
        f"--token-file {path}: cannot be read: No such file or directory"
    )


def test_a_file_that_somebody_else_named(tmp_path: Path) -> None:
    """
    Where not the command line but a variable or a file named the token file,
    that is where the error says it stood.
    """
    path = tmp_path / "none"
    with pytest.raises(ConfigError) as refused:
        Token.of("", str(path), "CONSUL_HTTP_TOKEN_FILE")
    assert str(refused.value).startswith(f"CONSUL_HTTP_TOKEN_FILE {path}: cannot be")


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    """
    A binary file is no token, and the error says so.
    """
    path = tmp_path / "binary"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError) as refused:
        Token.of("", str(path))
    assert str(refused.value) == f"--token-file {path}: cannot be read: not text"
