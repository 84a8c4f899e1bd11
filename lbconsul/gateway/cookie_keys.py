"""The keys of the gateway's own cookies: where they come from, and how they are kept.

All processes of a gateway have them, and all gateways that share a file.  Without a
file a key of chance is kept in the state directory, and passed on in a takeover.
"""

import re
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrs import define
from twisted.logger import Logger

from lbconsul.config.model import Config, Mapping, rows
from lbconsul.errors import ConfigError
from lbconsul.process.secret_file import SecretFile
from lbconsul.process.state_dir import Disk, StateDir

_OPTION = "--cookie-key-file"

#: The file in the state directory.
_NAME = "cookie.key"

#: Bytes of a key of chance; and the least and the most bytes of a line of a file: 128
#: bits in hexadecimal digits have 32.
_BYTES, _LEAST, _MOST = 32, 32, 1024

#: The most keys of a file: the present one, and those before.
_MOST_KEYS = 8

_HEX = re.compile(r"[0-9a-f]{64}")

Keys = tuple[bytes, ...]


def needs_keys(mappings: Iterable[Mapping]) -> bool:
    """Whether any of these mappings and their routes has cookies of its own."""
    return any(row.affinity.sticky or row.split_sticky.name for row in rows(mappings))


def read_keys(path: str) -> Keys:
    """The keys in a file, one a line; the first makes new cookies.

    :raises ConfigError: it cannot be used.
    """
    mode = 0

    def was_read(found: Any) -> None:
        nonlocal mode
        mode = found.st_mode

    lines = SecretFile(_OPTION, path, was_read).first().splitlines()
    keys = tuple(filter(None, map(bytes.strip, lines)))
    why = ""
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        why = f"other users can access it (mode {mode & 0o777:o}): chmod 600"
    elif not keys:
        why = "holds no key: openssl rand -hex 32 makes one"
    elif len(keys) > _MOST_KEYS:
        why = f"holds {len(keys)} keys, more than {_MOST_KEYS}"
    elif not all(_LEAST <= len(each) <= _MOST for each in keys):
        why = f"each line must be a key of {_LEAST} to {_MOST} bytes"
    if why:
        raise ConfigError(f"{_OPTION} {path}: {why}")
    return keys


@define(eq=False, repr=False)
class CookieKeys:
    """The keys of one gateway, once one of its mappings needs any."""

    _log = Logger()
    _disk: Disk
    #: A key of chance, as hexadecimal digits; empty: there is none yet.
    _own: str = ""
    #: Whether it is in the state directory, or need not be.
    _is_kept: bool = False
    #: Those that were read last; none while no mapping needs any.
    keys: Keys = ()

    def inherit(self, state: object) -> None:
        """Begin with what the predecessor in a takeover has."""
        if isinstance(state, str) and _HEX.fullmatch(state):
            self._own = state

    def state(self) -> str:
        """What a successor begins with; empty: nothing."""
        return self._own

    def read(self, config: Config) -> Keys:
        """The keys for a configuration; none if no mapping needs them.

        :raises ConfigError: the file cannot be used.
        """
        keys: Keys = ()
        if config.cookie_key_file:
            keys = read_keys(config.cookie_key_file)
        if not needs_keys(config.mappings):
            return ()
        if not keys:
            if not self._own:
                self._own = self._kept(config.state_dir)
                self._is_kept = bool(self._own)
            self._own = self._own or secrets.token_hex(_BYTES)
            keys = (self._own.encode(),)
        self.keys = keys
        return keys

    def _kept(self, directory: str) -> str:
        """The key in the state directory; empty if there is none."""
        if not directory:
            return ""
        try:
            text = StateDir(Path(directory)).read(_NAME, _MOST)
        except OSError as error:
            self._warn(directory, "read", error)
            return ""
        found = "" if text is None else text.decode("latin-1").strip()
        return found if _HEX.fullmatch(found) else ""

    def keep(self, directory: str) -> None:
        """Write the key of chance to the state directory, if it is not there.

        Called once the gateway serves: nothing is written to check a configuration.
        """
        if self._is_kept or not self._own:
            return
        self._is_kept = True
        if not directory:
            self._log.info(
                "the cookies of clients hold until the gateway ends: their key is in"
                " memory, for want of --cookie-key-file or --state-dir"
            )
            return
        store, key = StateDir(Path(directory)), self._own

        def write() -> None:
            store.replace(_NAME, [key.encode() + b"\n"])

        def failed(failure: Any) -> None:
            self._warn(directory, "written", failure.value)

        self._disk.run(write).addErrback(failed)

    def _warn(self, directory: str, done: str, error: OSError) -> None:
        self._log.warn(
            "{path}: cannot be {done}: {why}; the key of clients' cookies is kept in"
            " memory",
            path=str(Path(directory) / _NAME),
            done=done,
            why=error.strerror or str(error),
        )
