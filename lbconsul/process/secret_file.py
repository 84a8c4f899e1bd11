"""A secret in a file, which is read again when it changes."""

import os
from collections.abc import Callable

from attrs import define

from lbconsul.errors import ConfigError
from lbconsul.process.files import read_file


@define(eq=False, repr=False)
class SecretFile:
    """A file with a secret, and its current content."""

    #: How an error names the option that set the file.
    option: str
    path: str
    #: Called with the file's stat each time its content has been read.
    _was_read: Callable[[os.stat_result], None] = lambda found: None
    _content: bytes = b""
    #: Changes with the content; None to read it again.
    _stamp: tuple[int, ...] | None = None

    def first(self) -> bytes:
        """The secret, at the start.

        :raises ConfigError: the file cannot be read.
        """
        try:
            return self.read()
        except OSError as error:
            raise self.unusable(error.strerror or str(error)) from None

    def unusable(self, why: str) -> ConfigError:
        """The error that says why the file cannot be read."""
        return ConfigError(f"{self.option} {self.path}: cannot be read: {why}")

    def read(self) -> bytes:
        """The secret, without white space around it.

        :raises OSError: the file cannot be read now.
        """
        stamp, self._stamp = self._stamp, None
        found = os.stat(self.path)
        now = (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode)
        if now != stamp:
            self._content = read_file(self.path).strip()
            self._was_read(found)
        self._stamp = now
        return self._content

    def distrust(self) -> None:
        """Read the file again next time, changed or not."""
        self._stamp = None
