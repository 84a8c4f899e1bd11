"""The token, from the file that holds it."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import LogEvent, capturedLogs, formatEvent

from lbconsul.admin.token_file import OneToken, TokenFile, new_token
from lbconsul.errors import ConfigError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_text("s3cret\n")
    return path


@pytest.fixture
def log() -> Iterator["Lines"]:
    with capturedLogs() as events:
        yield Lines(events)


@frozen
class Lines:
    """What was logged, as text."""

    _events: Sequence[LogEvent]

    @property
    def told(self) -> list[str]:
        return [formatEvent(each) for each in self._events]


def test_a_token(path: Path, log: Lines) -> None:
    """The token is the file's content without the white space around it."""
    token = TokenFile(str(path))
    assert token.is_it("s3cret")
    for wrong in ("", "s3cre", "s3cret ", "S3cret", "s3cret\n", "ü", "\udce9"):
        assert not token.is_it(wrong)
    assert log.told == []
    assert "s3cret" not in repr(token)


def test_changes(path: Path) -> None:
    """Another token is used at once."""
    token = TokenFile(str(path))
    path.write_text("another one")
    assert token.is_it("another one")
    assert not token.is_it("s3cret")
    other = path.with_name("new")
    other.write_text("third")
    os.replace(other, path)
    assert token.is_it("third")


def test_a_file_that_goes(path: Path, log: Lines) -> None:
    """While there is none, there is no token, which is said once."""
    token = TokenFile(str(path))
    path.unlink()
    for said in ("s3cret", "s3cret", ""):
        assert not token.is_it(said)
    assert log.told == [
        f"--admin-token-file {path}: can no longer be read: No such file or directory;"
        " every token is refused"
    ]
    path.write_text("")
    path.chmod(0o600)
    assert not token.is_it("")
    path.write_text("s3cret")
    assert token.is_it("s3cret")


def test_one_token() -> None:
    """A token in memory is compared in the same way, and no two are alike."""
    made = new_token()
    token = OneToken(made)
    assert token.is_it(made)
    assert not any(map(token.is_it, ("", made[1:], f"{made} ", "\udcff")))
    assert made not in repr(token)
    assert made != new_token()


def test_others_may_read_it(path: Path, log: Lines) -> None:
    """A secret that others can read is worth a warning, which does not hold it."""
    path.chmod(0o640)
    TokenFile(str(path))
    TokenFile(str(path), "--admin-read-token-file")
    assert log.told == [
        f"{option} {path}: other users can access it: chmod 600"
        for option in ("--admin-token-file", "--admin-read-token-file")
    ]


def test_no_start_without_a_token(path: Path, tmp_path: Path) -> None:
    """Without a token at the start there is no start."""
    with pytest.raises(ConfigError, match="nowhere: cannot be read: No such file"):
        TokenFile(str(tmp_path / "nowhere"))
    path.write_text(" \n")
    with pytest.raises(ConfigError, match="holds no token"):
        TokenFile(str(path))


@given(st.binary(min_size=1), st.text(max_size=9))
def test_any_bytes(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, said: str
) -> None:
    """Whatever is in the file, and whatever is said, there is an answer."""
    path = tmp_path_factory.mktemp("token") / "token"
    path.write_bytes(b"x" + data)
    token = TokenFile(str(path))
    wanted = (b"x" + data).strip() == said.encode("utf-8", "surrogateescape")
    assert token.is_it(said) == wanted
