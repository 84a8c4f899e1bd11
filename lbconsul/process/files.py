"""Files that an operator names: read in bounded time and memory."""

import errno
import os
import stat

#: A longer file is refused, in bytes: the certificates of all authorities are some
#: 200 KiB.
MOST = 16 * 1024 * 1024


def read_file(path: str | os.PathLike[str], most: int = MOST) -> bytes:
    """What is in a regular file.

    A FIFO, a device or a terminal is not read: it may have the reactor wait for ever,
    or never end.

    :raises OSError: it cannot be opened, is no regular file, or holds more than `most`
        bytes; `strerror` says which.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with open(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is longer than {most} bytes")
    return content
