"""Consul's ACL token, from an option or from a file."""

from contextlib import suppress

from attrs import define, field

from lbconsul.process.secret_file import SecretFile


@define(eq=False)
class Token:
    """An ACL token: a text, or a file that is read again when it changes.

    While the file is empty the text is in use, as in Consul's own tools.

    :raises ConfigError: the first read of the file fails.  After a later failure the
        last token that was read stays in use.
    """

    _text: str = field(default="", repr=False)
    _file: SecretFile | None = None
    _content: str = field(default="", repr=False)

    def __attrs_post_init__(self) -> None:
        if self._file is not None:
            try:
                self._content = self._file.first().decode("utf-8").strip()
            except UnicodeDecodeError:
                raise self._file.unusable("not text") from None

    @classmethod
    def of(cls, text: str, file: str, option: str = "--token-file") -> "Token":
        """The token of these options, each empty where it is not set."""
        return cls(text, SecretFile(option, file) if file else None)

    def value(self) -> str:
        """The token to send; empty for none."""
        if self._file is not None:
            with suppress(OSError, UnicodeDecodeError):
                self._content = self._file.read().decode("utf-8").strip()
        return self._content or self._text

    def distrust(self) -> None:
        """Consul rejected the token: read the file again, changed or not."""
        if self._file is not None:
            self._file.distrust()
