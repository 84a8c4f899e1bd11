"""The keys of the gateway's own cookies."""

from pathlib import Path

import pytest
from attrs import evolve
from twisted.internet.task import Clock

from lbconsul.config.build import configure
from lbconsul.config.model import Config
from lbconsul.errors import ConfigError
from lbconsul.gateway.cookie_keys import CookieKeys
from lbconsul.process.state_dir import Disk

ONE, OTHER = "1" * 64, "2" * 32


def _keys() -> CookieKeys:
    return CookieKeys(Disk(Clock()))


def _config(**options: str) -> Config:
    return configure([], ["80:web,mode=http,sticky=cookie"], **options)


def test_without_cookies_there_is_none(tmp_path: Path) -> None:
    """A gateway whose mappings have none makes no key, nor a file."""
    config = configure([], ["80:web,mode=http"], state_dir=str(tmp_path / "state"))
    keys = _keys()
    assert keys.read(config) == ()
    assert keys.state() == ""
    assert not (tmp_path / "state").exists()


def test_a_route_needs_one_too() -> None:
    """A route may have a cookie where its mapping has none."""
    routes = ["80:/a=api,sticky=cookie"]
    assert _keys().read(configure([], ["80:web,mode=http"], routes))


def test_one_of_chance_lasts_as_long_as_the_gateway() -> None:
    """Reloads and takeovers keep it; another gateway has its own."""
    keys = _keys()
    [key] = keys.read(_config())
    assert len(key) == 64
    assert keys.read(_config()) == (key,)
    successor = _keys()
    successor.inherit(keys.state())
    assert successor.read(_config()) == (key,)
    assert _keys().read(_config()) != (key,)


@pytest.mark.parametrize("state", [None, "", 7, "x" * 64, "1" * 63, ["1" * 64]])
def test_a_successor_of_another_version(state: object) -> None:
    """What a predecessor says that is no key is ignored."""
    keys = _keys()
    keys.inherit(state)
    assert keys.state() == ""


def test_the_state_directory_keeps_it(tmp_path: Path) -> None:
    """A restart goes on with the same key, in a file for its owner alone."""
    config, keys = _config(state_dir=str(tmp_path / "state")), _keys()
    found = keys.read(config)
    file = tmp_path / "state" / "cookie.key"
    assert not file.exists()  # it may be a check of the configuration
    keys.keep(config.state_dir)
    assert file.stat().st_mode & 0o777 == 0o600
    assert _keys().read(config) == found
    file.write_text("no key")
    other = _keys()
    assert other.read(config) != found
    other.inherit(keys.state())  # a takeover decides, and a restart goes on with that
    assert other.read(config) == found
    other.keep(config.state_dir)
    assert _keys().read(config) == found


def test_a_state_directory_that_cannot_be_used(tmp_path: Path) -> None:
    """The gateway goes on with a key in memory."""
    (tmp_path / "state").write_text("a file")
    config, keys = evolve(_config(), state_dir=str(tmp_path / "state")), _keys()
    assert len(keys.read(config)) == 1
    keys.keep(config.state_dir)


def test_a_file_is_shared(tmp_path: Path) -> None:
    """Each line is a key; the first makes cookies, and those behind it still hold."""
    file = tmp_path / "key"
    file.write_text(f"{ONE}\n\n {OTHER} \n")
    file.chmod(0o600)
    keys = _keys()
    config = _config(cookie_key_file=str(file))
    assert keys.read(config) == (ONE.encode(), OTHER.encode())
    assert keys.state() == ""
    assert ONE not in repr(keys)


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("", 0o600, "holds no key: openssl rand -hex 32 makes one"),
        (ONE, 0o640, "other users can access it (mode 640): chmod 600"),
        ("short", 0o600, "each line must be a key of 32 to 1024 bytes"),
        ("\n".join([ONE] * 9), 0o600, "holds 9 keys, more than 8"),
        (None, 0, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_used(
    tmp_path: Path, text: str | None, mode: int, why: str
) -> None:
    """The gateway does not start, and says what would be right."""
    file = tmp_path / "key"
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    for mapping in ("80:web,mode=http,sticky=cookie", "80:web"):
        config = configure([], [mapping], cookie_key_file=str(file))
        with pytest.raises(ConfigError) as raised:
            _keys().read(config)
        assert str(raised.value) == f"--cookie-key-file {file}: {why}"
