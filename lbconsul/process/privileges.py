"""The user that the process becomes once it listens: ``twistd --uid --gid``."""

import os
import pwd
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from lbconsul.errors import ConfigError

#: The package's directory, which that user must be able to read, as Python itself.
PACKAGE = Path(__file__).parents[1]


@frozen
class User:
    """The user that the process will become."""

    uid: int
    gid: int
    groups: tuple[int, ...]

    def __str__(self) -> str:
        try:
            return f"user {pwd.getpwuid(self.uid).pw_name}"
        except KeyError:
            return f"user {self.uid}"


def user_to_be(options: Mapping[str, Any] | None) -> User | None:
    """The user of twistd's options; None if the process keeps its user.

    :raises ConfigError: the user does not exist, or may not read lbconsul or Python.
    """
    uid, gid = (options or {}).get("uid"), (options or {}).get("gid")
    if os.geteuid() != 0 or (uid is None and gid is None):
        return None  # twistd itself reports that these options need root
    if uid is None or uid == 0:
        return User(0, os.getegid() if gid is None else gid, tuple(os.getgroups()))
    try:
        known = pwd.getpwuid(uid)
    except KeyError:
        raise ConfigError(
            f"twistd --uid {uid}: no such user, so twistd cannot look up its groups"
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
    """Run the block with the rights of `user`; with the present ones if it is None.

    New files belong to the user, and files that the user may not read are unreadable.
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
    """Whether the process's effective user may read the file."""
    try:
        with Path(path).open("rb"):
            return True
    except OSError:
        return False
