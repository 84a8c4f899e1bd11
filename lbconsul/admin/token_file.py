"""The admin token: from a file, or in memory for a demo."""

import os
import secrets
import stat
from hmac import compare_digest

from attrs import define
from twisted.logger import Logger

from lbconsul.errors import ConfigError
from lbconsul.process.files import read_file


def new_token() -> str:
    """A random token of 64 bits, short enough to type."""
    return secrets.token_hex(8)


@define(eq=False, repr=False)
class OneToken:
    """A token in memory only, valid while the gateway runs."""

    _token: str

    def is_it(self, said: str) -> bool:
        """Whether `said` is the token; compared in constant time."""
        return compare_digest(
            said.encode("utf-8", "surrogateescape"), self._token.encode()
        )


@define(eq=False, repr=False)
class TokenFile:
    """A file with a token, which is read again when it changes.

    If the file becomes unreadable or empty later, no token is valid until it can be
    read again.

    :raises ConfigError: the file cannot be read at first, or is empty.
    """

    _log = Logger()
    _path: str
    _token: bytes = b""
    _stamp: tuple[int, ...] = ()

    def __attrs_post_init__(self) -> None:
        try:
            self._read()
        except OSError as error:
            why = error.strerror or error
            raise ConfigError(
                f"--admin-token-file {self._path}: cannot be read: {why}"
            ) from None
        if not self._token:
            raise ConfigError(f"--admin-token-file {self._path}: holds no token")

    def is_it(self, said: str) -> bool:
        """Whether `said` is the token; compared in constant time."""
        try:
            self._read()
        except OSError as error:
            self._token, stamp = b"", self._stamp
            self._stamp = (0,)
            if stamp != self._stamp:
                self._log.warn(
                    "--admin-token-file {path}: cannot be read any more: {why}",
                    path=self._path,
                    why=error.strerror or str(error),
                )
        same = compare_digest(said.encode("utf-8", "surrogateescape"), self._token)
        return same and bool(self._token)

    def _read(self) -> None:
        found = os.stat(self._path)
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode)
        if stamp == self._stamp:
            return
        self._token = read_file(self._path).strip()
        self._stamp = stamp
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            self._log.warn(
                "--admin-token-file {path}: not its owner alone may use it: chmod 600",
                path=self._path,
            )
