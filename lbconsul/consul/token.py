"""Consul's ACL token, from an option or from a file."""

import os

from attrs import define, field

from lbconsul.errors import ConfigError
from lbconsul.process.files import read_file


@define(eq=False)
class Token:
    """An ACL token: a text, or a file that is read again when it changes.

    While the file is empty the text is in use, as in Consul's own tools.

    :raises ConfigError: the first read of the file fails.  After a later failure the
        last token that was read stays in use.
    """

    _text: str = field(default="", repr=False)
    _file: str = ""
    #: How an error names the option that set the file.
    _where: str = "--token-file"
    _stamp: tuple[int, int, int] | None = None
    _content: str = field(default="", repr=False)

    def __attrs_post_init__(self) -> None:
        if self._file:
            try:
                self._read()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(
                    f"{self._where} {self._file}: cannot be read: {_why(error)}"
                ) from None

    def value(self) -> str:
        """The token to send; empty for none."""
        if self._file:
            try:
                self._read()
            except (OSError, UnicodeDecodeError):
                self._stamp = None
        return self._content or self._text

    def distrust(self) -> None:
        """Consul rejected the token: read the file again, changed or not."""
        self._stamp = None

    def _read(self) -> None:
        stat = os.stat(self._file)
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if stamp != self._stamp:
            self._content = read_file(self._file).decode("utf-8").strip()
            self._stamp = stamp


def _why(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "not text"
