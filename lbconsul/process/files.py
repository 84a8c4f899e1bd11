"""Reads files that the operator names, in bounded time and memory."""

import errno
import os
import stat

from lbconsul.errors import ConfigError

#: The longest file, in bytes: the certificates of all authorities take some 200 KiB.
MOST = 16 * 1024 * 1024


def read_file(
    path: str | os.PathLike[str], most: int = MOST, *, cut: bool = False
) -> bytes:
    """The content of a regular file.

    A FIFO, a device or a terminal is rejected: it may block the reactor, or never end.
    With `cut` the first `most` bytes of a longer file count as its content.

    :raises OSError: the file cannot be opened, is not regular, or holds more than
        `most` bytes; `strerror` says which.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "not a regular file")
        # Only now: for a directory `open` fails, and leaves the descriptor open.
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(most + 1)
    finally:
        os.close(descriptor)
    if len(content) > most and not cut:
        raise OSError(errno.EFBIG, f"longer than {most} bytes")
    return content[:most]


def unreadable(name: str, error: OSError) -> ConfigError:
    """The error that says why a file cannot be read; `name` is its option and path."""
    return ConfigError(f"{name}: cannot be read: {error.strerror or error}")
