"""The tokens of the admin listener: from files, or in memory."""

import os
import secrets
import stat
from hmac import compare_digest

from attrs import define, field
from twisted.logger import Logger

from lbconsul.errors import ConfigError
from lbconsul.process.secret_file import SecretFile


def new_token() -> str:
    """A random token of 64 bits, short enough to type."""
    return secrets.token_hex(8)


@define(eq=False, repr=False)
class OneToken:
    """A token in memory only, valid while the gateway runs."""

    _token: str

    @property
    def token(self) -> bytes:
        """The token."""
        return self._token.encode()

    def is_it(self, candidate: str) -> bool:
        """Whether `candidate` is the token; compared in constant time."""
        return compare_digest(candidate.encode("utf-8", "surrogateescape"), self.token)


@define(eq=False, repr=False)
class TokenFile:
    """A file with a token, which is read again when it changes.

    If the file becomes unreadable or empty later, no token is valid until it can be
    read again.

    :raises ConfigError: the file cannot be read at first, or is empty.
    """

    _log = Logger()
    _path: str
    _option: str = "--admin-token-file"
    _file: SecretFile = field(init=False)
    _is_unreadable: bool = False

    def __attrs_post_init__(self) -> None:
        self._file = SecretFile(self._option, self._path, self._was_read)
        if not self._file.first():
            raise ConfigError(f"{self._option} {self._path}: holds no token")

    def is_it(self, candidate: str) -> bool:
        """Whether `candidate` is the token; compared in constant time."""
        token = self.token
        same = compare_digest(candidate.encode("utf-8", "surrogateescape"), token)
        return same and bool(token)

    @property
    def token(self) -> bytes:
        """The token; empty while the file cannot be read."""
        try:
            token = self._file.read()
        except OSError as error:
            if not self._is_unreadable:
                self._log.warn(
                    "{option} {path}: can no longer be read: {why}; every token is"
                    " refused",
                    option=self._option,
                    path=self._path,
                    why=error.strerror or str(error),
                )
            self._is_unreadable = True
            return b""
        self._is_unreadable = False
        return token

    def _was_read(self, found: os.stat_result) -> None:
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            self._log.warn(
                "{option} {path}: other users can access it: chmod 600",
                option=self._option,
                path=self._path,
            )
