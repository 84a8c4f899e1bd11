"""The user whom twistd makes us once we listen: ``twistd --uid --gid``."""

import os
import pwd
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from lbconsul.errors import ConfigError

#: What that user has to be able to read, beside Python.
PACKAGE = Path(__file__).parents[1]


@frozen
class User:
    """A user that is not ourselves yet."""

    uid: int
    gid: int
    groups: tuple[int, ...]

    def __str__(self) -> str:
        try:
            return f"user {pwd.getpwuid(self.uid).pw_name}"
        except KeyError:
            return f"user {self.uid}"


def user_to_be(options: Mapping[str, Any] | None) -> User | None:
    """Whom we are to be, by twistd's options; None if we stay who we are.

    :raises ConfigError: there is no such user, or it cannot run us.
    """
    uid, gid = (options or {}).get("uid"), (options or {}).get("gid")
    if os.geteuid() != 0 or (uid is None and gid is None):
        return None  # twistd says itself that it takes root
    if uid is None or uid == 0:
        return User(0, os.getegid() if gid is None else gid, tuple(os.getgroups()))
    try:
        known = pwd.getpwuid(uid)
    except KeyError:
        raise ConfigError(
            f"twistd --uid {uid}: there is no such user, whose groups twistd asks for"
        ) from None
    gid = known.pw_gid if gid is None else gid
    user = User(uid, gid, tuple(os.getgrouplist(known.pw_name, gid)))
    with acting_as(user):
        for path in (sys.executable, str(PACKAGE)):
            if not os.access(path, os.R_OK | os.X_OK, effective_ids=True):
                raise ConfigError(
                    f"twistd --uid {uid}: {user} may not read {path}: install"
                    " lbconsul and its Python where that user can"
                )
    return user


@contextmanager
def acting_as(user: User | None) -> Iterator[None]:
    """Do something as that user; as ourselves if it is None.

    What is made so is the user's, and what the user may not read cannot be read.
    """
    if user is None:
        yield
        return
    uid, gid, groups = os.geteuid(), os.getegid(), os.getgroups()
    os.setgroups(user.groups)
    os.setegid(user.gid)
    os.seteuid(user.uid)
    try:
        yield
    finally:
        os.seteuid(uid)
        os.setegid(gid)
        os.setgroups(groups)


def can_read(path: str) -> bool:
    """Whether we may read that file, as the user whom we act as."""
    try:
        with Path(path).open("rb"):
            return True
    except OSError:
        return False
