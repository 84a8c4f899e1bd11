"""The user that twistd switches to."""

import os
import pwd
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbconsul.errors import ConfigError
from lbconsul.process import privileges
from lbconsul.process.privileges import User, acting_as, can_read, user_to_be

NOBODY = pwd.getpwnam("nobody")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may be another user")


def _ids() -> tuple[int, int, list[int]]:
    return os.geteuid(), os.getegid(), os.getgroups()


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that all users may read; pytest's own are private."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture
def _readable(monkeypatch: pytest.MonkeyPatch, public: Path) -> None:
    """A Python, and lbconsul, where all users may read them."""
    program = public / "python"
    program.touch(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(privileges, "PACKAGE", public)


def test_who_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without these options, or without root, the user stays the same."""
    assert user_to_be(None) is None
    assert user_to_be({}) is None
    assert user_to_be({"uid": None, "gid": None}) is None
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert user_to_be({"uid": NOBODY.pw_uid, "gid": None}) is None


@as_root
@pytest.mark.usefixtures("_readable")
def test_who_we_are_to_be() -> None:
    """A user comes with its groups, as twistd does it; or it is only a group."""
    user = user_to_be({"uid": NOBODY.pw_uid, "gid": None})
    assert user is not None
    assert (user.uid, user.gid) == (NOBODY.pw_uid, NOBODY.pw_gid)
    assert user.groups == (NOBODY.pw_gid,)
    assert str(user) == "user nobody"
    user = user_to_be({"uid": NOBODY.pw_uid, "gid": 4711})
    assert user is not None
    assert (user.gid, user.groups) == (4711, (4711,))
    only = user_to_be({"uid": None, "gid": 4711})
    assert only == User(0, 4711, tuple(os.getgroups()))
    assert user_to_be({"uid": 0, "gid": None}) is not None


@as_root
def test_no_such_user() -> None:
    """A user that there is not is one clear line, where twistd has a traceback."""
    with pytest.raises(ConfigError) as caught:
        user_to_be({"uid": 3_999_999, "gid": None})
    assert str(caught.value).startswith("twistd --uid 3999999: no such user")
    assert str(User(3_999_999, 1, ())) == "user 3999999"


@as_root
def test_where_we_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So is a user that cannot read the program that it is to run."""
    closed = tmp_path / "python"
    closed.touch(0o700)
    monkeypatch.setattr(sys, "executable", str(closed))
    before = _ids()
    with pytest.raises(ConfigError) as caught:
        user_to_be({"uid": NOBODY.pw_uid, "gid": None})
    assert str(caught.value) == (
        f"twistd --uid {NOBODY.pw_uid}: user nobody may not read {closed}: install"
        " lbconsul and its Python where that user can"
    )
    assert _ids() == before


@as_root
@pytest.mark.usefixtures("_readable")
def test_acting(public: Path) -> None:
    """Acting as another user ends when the work fails, too."""
    before = _ids()
    public.chmod(0o777)
    (public / "ours").touch(0o600)
    user = User(NOBODY.pw_uid, NOBODY.pw_gid, (NOBODY.pw_gid,))
    with acting_as(user):
        assert _ids() == (NOBODY.pw_uid, NOBODY.pw_gid, [NOBODY.pw_gid])
        (public / "theirs").touch()
        assert can_read(str(public / "theirs"))
        assert not can_read(str(public / "ours"))
    assert (public / "theirs").stat().st_uid == NOBODY.pw_uid
    assert _ids() == before
    with pytest.raises(ZeroDivisionError), acting_as(user):
        raise ZeroDivisionError
    assert _ids() == before


def test_acting_as_oneself() -> None:
    """Switching to the present user changes nothing."""
    before = _ids()
    with privileges.acting_as(None):
        assert _ids() == before
