"""Files of users and hashed passwords, as ``htpasswd -B`` writes them.  Pure.

Only bcrypt is accepted: MD5 (``$apr1$``), SHA-1 and DES, which Apache and nginx know
too, are tried by the million in a second once a file is lost.
https://httpd.apache.org/docs/current/misc/password_encryptions.html
"""

import re
from collections.abc import Mapping

from attrs import field, frozen

from lbconsul.errors import ConfigError

#: A hash, with its cost: 2x marks those of a faulty implementation.
_BCRYPT = re.compile(rb"\$2[aby]\$([0-3][0-9])\$[./A-Za-z0-9]{53}")

#: What each kind of hash that is not accepted begins with.
_KINDS = {
    b"$apr1$": "MD5",
    b"$1$": "MD5",
    b"{SHA}": "SHA-1",
    b"{SSHA}": "SHA-1",
    b"$5$": "crypt's SHA-256",
    b"$6$": "crypt's SHA-512",
    b"$2x$": "a faulty bcrypt",
    b"$2$": "an old bcrypt",
}

#: The costs that are accepted: each takes twice as long as the one before, and 14 a
#: second.
_COSTS = range(4, 15)

#: Characters that a user's name cannot have (RFC 7617, 2).
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")

#: The most users of one file.
MOST_USERS = 10_000

#: The longest name that an error shows, in characters.
_SHOWN = 40


@frozen
class Passwords:
    """The hashes of the passwords of one file, by user."""

    hashes: Mapping[bytes, bytes] = field(repr=False)


def parse_htpasswd(where: str, content: bytes) -> Passwords:
    """The users in a file; `where` names its option and its path.

    :raises ConfigError: a line is not valid, or its hash is not of bcrypt; it tells the
        number of the line, and nothing of a password.
    """
    hashes: dict[bytes, bytes] = {}
    for number, line in enumerate(content.split(b"\n"), 1):
        line = line.strip(b" \t\r")
        if not line or line.startswith(b"#"):
            continue
        try:
            user, hashed = _read(line)
            if user in hashes:
                raise ValueError(f"{_shown(user)} is in a line before, too")
        except ValueError as error:
            raise ConfigError(f"{where}: line {number}: {error}") from None
        hashes[user] = hashed
    if not hashes:
        raise ConfigError(f"{where}: holds no user: htpasswd -B adds one")
    if len(hashes) > MOST_USERS:
        raise ConfigError(f"{where}: holds more than {MOST_USERS} users")
    return Passwords(hashes)


def _read(line: bytes) -> tuple[bytes, bytes]:
    """The user and the hash in a line.

    :raises ValueError: it is not valid.
    """
    user, colon, rest = line.partition(b":")
    if not (user and colon) or _CONTROL.search(user):
        raise ValueError("must be USER:HASH, as htpasswd -B writes it")
    hashed = rest.partition(b":")[0]  # further fields are comments
    match = _BCRYPT.fullmatch(hashed)
    if match is None:
        raise ValueError(
            f"the password of {_shown(user)} is {_kind(hashed)}, not a hash of bcrypt:"
            " htpasswd -B makes one"
        )
    cost = int(match[1])
    if cost not in _COSTS:
        raise ValueError(
            f"the hash of {_shown(user)} has the cost {cost}; it must be from"
            f" {_COSTS[0]} to {_COSTS[-1]}, of which each doubles the time of a login"
        )
    return user, hashed


def _kind(hashed: bytes) -> str:
    for begins, kind in _KINDS.items():
        if hashed.startswith(begins):
            return f"a hash of {kind}" if kind[0] != "a" else kind
    return "plain text, or of an unknown kind"


def _shown(user: bytes) -> str:
    text = user.decode("utf-8", "replace")
    return text if len(text) <= _SHOWN and text.isprintable() else "a user"
