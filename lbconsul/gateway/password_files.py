"""The files of users and passwords: read at the start, and again when they change.

What a file held stays in use until all of a newer content is valid.
"""

from collections.abc import Iterable
from typing import Any

from attrs import Factory, define, evolve, field
from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from lbconsul.config.model import Mapping, rows
from lbconsul.errors import ConfigError
from lbconsul.gateway.interfaces import PasswordUser
from lbconsul.http.htpasswd import Passwords, parse_htpasswd
from lbconsul.net.periodic import repeat
from lbconsul.process.files import read_file, unreadable
from lbconsul.steps import Steps
from lbconsul.tls.pem_files import FileStamp, file_stamp

#: How often it is looked whether files have changed, in seconds.
LOOK_EVERY = 10.0

#: The longest file, in bytes.
_MOST_BYTES = 1 << 20


@define(eq=False)
class UsedPasswords:
    """The passwords of one file."""

    path: str
    #: A mapping that names the file, as text.
    mapping: str
    #: What the file was like when it was last read.
    stamp: FileStamp | None
    passwords: Passwords
    #: Why newer ones are not in use; empty if they are.
    error: str = ""


def read_passwords(mapping: str, path: str) -> Passwords:
    """The passwords in the file that a mapping names.

    :raises ConfigError: it cannot be read, or is not valid.
    """
    where = f"{mapping}: basic-auth {path}"
    try:
        content = read_file(path, _MOST_BYTES)
    except OSError as error:
        raise unreadable(where, error) from None
    return parse_htpasswd(where, content)


@define(eq=False, repr=False)
class PasswordFiles(Service):
    """Gives a data plane the passwords in the files that its mappings name."""

    _log = Logger()
    _reactor: Any
    _data_plane: PasswordUser
    _used: dict[str, UsedPasswords] = Factory(dict)
    _looking: LoopingCall | None = field(init=False, default=None)
    #: The steps still to do of a look.
    _steps: Steps[None] | None = field(init=False, default=None)

    def error(self, mapping: Mapping) -> str:
        """Why the file that a mapping names is not in use as it is; empty if it is."""
        used = self._used.get(mapping.http.basic_auth)
        return "" if used is None else used.error

    def add(self, mapping: Mapping) -> None:
        """Read and use the files of one more mapping and of its routes.

        :raises ConfigError: one cannot be used.
        """
        for path, name in _paths([mapping]).items():
            if path not in self._used:
                self._use(_read(path, name))

    def loading(self, mappings: Iterable[Mapping]) -> Steps[list[UsedPasswords]]:
        """Read the files of all these mappings again, in steps.

        :raises ConfigError: one cannot be used; all stays as it is.
        """
        loaded = []
        for path, name in _paths(mappings).items():
            loaded.append(_read(path, name))
            yield True
        return loaded

    def use_only(self, loaded: Iterable[UsedPasswords]) -> None:
        """Use what `loading` returned, and forget what the mappings need no more."""
        self._stop_looking()
        before, self._used = self._used, {}
        for each in loaded:
            old = before.get(each.path)
            if old is not None and old.passwords == each.passwords:
                self._used[each.path] = each
                continue
            self._use(each)
            if old is not None:
                self._tell(each)
        self._data_plane.drop_passwords(self._used)

    def startService(self) -> None:
        super().startService()
        self._looking = repeat(self._reactor, LOOK_EVERY, self._look)

    def stopService(self) -> None:
        if self._looking is not None:
            self._looking.stop()
            self._looking = None
        self._stop_looking()
        super().stopService()

    # Looking: whether files are not those that were read.

    def _look(self) -> None:
        if self._steps is None and self._used:
            self._steps = self._in_steps()
            self._data_plane.sweeper.begin(self._steps)

    def _stop_looking(self) -> None:
        steps, self._steps = self._steps, None
        if steps is not None:
            self._data_plane.sweeper.drop(steps)

    def _in_steps(self) -> Steps[None]:
        try:
            for used in tuple(self._used.values()):
                stamp = file_stamp(used.path)
                if stamp != used.stamp:
                    used.stamp = stamp
                    self._renew(used)
                yield True
        finally:
            self._steps = None

    def _renew(self, used: UsedPasswords) -> None:
        """Use what a file holds now, if all of it is valid."""
        try:
            passwords = read_passwords(used.mapping, used.path)
        except ConfigError as error:
            if str(error) != used.error:
                self._log.error(
                    "{error}; the passwords read before stay in use", error=str(error)
                )
            used.error = str(error)
            return
        if passwords != used.passwords:
            self._use(evolve(used, passwords=passwords, error=""))
            self._tell(used)
        elif used.error:
            used.error = ""
            self._log.info(
                "{mapping}: the passwords in {path} are those in use again",
                mapping=used.mapping,
                path=used.path,
            )

    def _tell(self, used: UsedPasswords) -> None:
        count = len(self._used[used.path].passwords.hashes)
        self._log.info(
            "{mapping}: the passwords in {path} have changed: users {count}",
            mapping=used.mapping,
            path=used.path,
            count=count,
        )

    def _use(self, used: UsedPasswords) -> None:
        self._used[used.path] = used
        self._data_plane.use_passwords(used.path, used.passwords)


def _paths(mappings: Iterable[Mapping]) -> dict[str, str]:
    """The files that these mappings and their routes name, each with one of them."""
    found: dict[str, str] = {}
    for each in rows(mappings):
        if each.mode == "http" and each.http.basic_auth:
            found.setdefault(each.http.basic_auth, str(each))
    return found


def _read(path: str, mapping: str) -> UsedPasswords:
    stamp = file_stamp(path)  # first: a change while it is read is seen later
    return UsedPasswords(path, mapping, stamp, read_passwords(mapping, path))
