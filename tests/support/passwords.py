"""Files of users and passwords."""

from pathlib import Path
from typing import Any

import bcrypt

from lbconsul.config.model import Mapping
from lbconsul.gateway.password_files import read_passwords
from lbconsul.proxy.authenticators import Authenticator, Authenticators

#: The lowest cost: a verification takes a millisecond.
COST = 4


def hashed(password: str) -> bytes:
    """A hash of a password, which takes little time."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(COST))


def write_passwords(file: Path, **passwords: str) -> str:
    """Write a file of these users and passwords at once; returns its path."""
    new = file.with_name(f"{file.name}.new")
    lines = [f"{user}:{hashed(each).decode()}\n" for user, each in passwords.items()]
    new.write_text("".join(lines))
    new.rename(file)
    return str(file)


def authenticator_of(reactor: Any, mapping: Mapping) -> Authenticator | None:
    """What says who a mapping's clients are by its file; None if it has none."""
    path, all_of = mapping.http.basic_auth, Authenticators(reactor)
    if path:
        all_of.use(path, read_passwords(str(mapping), path))
    return all_of.of(path)
