"""The PEM files at a path, and whether they have changed."""

import os
from collections.abc import Iterator

#: The path, the times of change, the size and the inode.
FileStamp = tuple[str, int, int, int, int]


def pem_files(path: str) -> list[str]:
    """The path itself, or those of a folder's ``*.pem`` files, in order.

    Hidden ones do not count.

    :raises OSError: the folder cannot be read.
    """
    if not os.path.isdir(path):
        return [path]
    names = sorted(
        name
        for name in os.listdir(path)
        if name.endswith(".pem") and not name.startswith(".")
    )
    return [os.path.join(path, name) for name in names]


def key_file(path: str) -> str:
    """Where the key of a certificate's file is if that has none, as for HAProxy."""
    return f"{path}.key"


def file_stamp(path: str) -> FileStamp | None:
    """What changes when a file does, without reading it; None if it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    times = found.st_mtime_ns, found.st_ctime_ns  # the latter also of permissions
    return path, *times, found.st_size, found.st_ino


def file_stamps(path: str, *, keys: bool = False) -> Iterator[FileStamp | None]:
    """The stamp of each of the `pem_files`, with `keys` each followed by that of its
    key's own file; none if the folder cannot be read.
    """
    try:
        files = pem_files(path)
    except OSError:
        return
    for each in files:
        yield file_stamp(each)
        if keys:
            yield file_stamp(key_file(each))
