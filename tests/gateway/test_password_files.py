"""Files of passwords: read again as they change; what is broken changes nothing."""

import os
from collections.abc import Collection
from pathlib import Path

import pytest
from attrs import Factory, define, evolve
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from lbconsul.config.model import Mapping
from lbconsul.errors import ConfigError
from lbconsul.gateway.password_files import LOOK_EVERY, PasswordFiles
from lbconsul.http.htpasswd import Passwords
from lbconsul.net.sweeper import TimeSlicer
from lbconsul.steps import finish
from tests.support.mappings import altered
from tests.support.passwords import write_passwords


@define
class Plane:
    """A data plane that notes what it is given."""

    sweeper: TimeSlicer
    used: dict[str, list[str]] = Factory(dict)

    def use_passwords(self, path: str, passwords: Passwords) -> None:
        self.used[path] = sorted(each.decode() for each in passwords.hashes)

    def drop_passwords(self, wanted: Collection[str]) -> None:
        for gone in self.used.keys() - set(wanted):
            del self.used[gone]


@define
class Files:
    """Passwords in a folder, and what is used of them."""

    folder: Path
    clock: Clock
    plane: Plane
    of: PasswordFiles

    def put(self, name: str, **passwords: str) -> str:
        """Write a file; its path."""
        return write_passwords(self.folder / name, **passwords)

    def look(self) -> list[str]:
        """Wait until it is looked; the lines of the log."""
        with capturedLogs() as logs:
            self.clock.pump([LOOK_EVERY, 0.0, 0.0, 0.0])
        return [formatEvent(each) or "" for each in logs]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """They are looked at."""
    clock = Clock()
    plane = Plane(TimeSlicer(clock))
    files = Files(tmp_path, clock, plane, PasswordFiles(clock, plane))
    files.of.startService()
    return files


def mapping(path: str, **others: str) -> Mapping:
    """A mapping whose users are in this file."""
    return altered(Mapping("web"), mode="http", basic_auth=path, **others)


def test_changes(files: Files) -> None:
    """What a file holds is used soon after it changed, and said in a line."""
    path = files.put("a", alice="x")
    files.of.add(mapping(path))
    assert files.plane.used == {path: ["alice"]}
    assert files.look() == []
    files.put("a", alice="x", bob="y")
    assert files.look() == [f"web: the passwords in {path} have changed: users 2"]
    assert files.plane.used == {path: ["alice", "bob"]}
    files.of.stopService()


def test_broken(files: Files) -> None:
    """What cannot be used is said once, and the passwords before stay in use."""
    path = files.put("a", alice="x")
    before = Path(path).read_bytes()
    of = mapping(path)
    files.of.add(of)
    Path(path).write_text("bob:secret\n")
    error = (
        f"web: basic-auth {path}: line 1: the password of bob is plain text, or of an"
        " unknown kind, not a hash of bcrypt: htpasswd -B makes one"
    )
    told = f"{error}; the passwords read before stay in use"
    assert (files.look(), files.of.error(of)) == ([told], error)
    os.utime(path, (1, 1))
    assert files.look() == []
    Path(path).unlink()
    [line] = files.look()
    assert line.startswith(f"web: basic-auth {path}: cannot be read: No such file")
    assert files.plane.used == {path: ["alice"]}
    Path(path).write_bytes(before)
    again = f"web: the passwords in {path} are those in use again"
    assert (files.look(), files.of.error(of)) == ([again], "")
    assert files.of.error(Mapping("other")) == ""
    files.of.stopService()


def test_reload(files: Files) -> None:
    """A reload reads all files at once, of routes too, or changes nothing."""
    one, two, three = (files.put(name, alice="x") for name in ("1", "2", "3"))
    files.of.add(mapping(one))
    files.of.add(mapping(two))
    files.put("2", alice="x", bob="y")
    route = evolve(mapping(three), route="a.example")
    wanted = [mapping(two), evolve(mapping(""), routes=(route,))]
    loaded = finish(files.of.loading(wanted))
    with capturedLogs() as logs:
        files.of.use_only(loaded)
    assert [formatEvent(each) for each in logs] == [
        f"web: the passwords in {two} have changed: users 2"
    ]
    assert files.plane.used == {two: ["alice", "bob"], three: ["alice"]}
    files.of.use_only(finish(files.of.loading(wanted)))
    Path(three).unlink()
    with pytest.raises(ConfigError, match=f"basic-auth {three}: cannot be read"):
        finish(files.of.loading(wanted))
    files.of.stopService()


def test_only_http(files: Files) -> None:
    """A default of all mappings is of no use for those of connections."""
    files.of.add(altered(Mapping("web"), basic_auth="/none"))
    assert files.plane.used == {}
    files.of.stopService()
