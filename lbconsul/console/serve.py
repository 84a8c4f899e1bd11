"""``lbconsul run`` and ``check``: what ``twistd -n lbconsul`` does, and ``--check``.

The plugins of twistd are not looked for, since there is only one command.
"""

import grp
import os
import pwd
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Mapping as AbstractMapping
from typing import Any

from twisted.application.service import ServiceMaker
from twisted.python.usage import UsageError
from twisted.scripts.twistd import ServerOptions, runApp  # type: ignore[attr-defined]

from lbconsul.config.sources import SourcedText, read
from lbconsul.config.values import switch
from lbconsul.console.terminal import width
from lbconsul.errors import ConfigError
from lbconsul.usage.commands import BY_NAME, PROCESS
from lbconsul.usage.help import command_help
from lbconsul.usage.words import Given, parted

_MAKER = ServiceMaker("lbconsul", "lbconsul.start", "", "lbconsul")

_OWN = {each.name: each for each in PROCESS.arguments}


class _Options(ServerOptions):
    """The options of twistd, with lbconsul as the only command."""

    @property
    def subCommands(self) -> Iterator[tuple[str, None, Any, str]]:
        """Called by Twisted."""
        self.loadedPlugins = {_MAKER.tapname: _MAKER}
        yield _MAKER.tapname, None, lambda: _MAKER.options(), _MAKER.description


def serve(name: str, words: list[str]) -> int:
    """Run a gateway until it ends, or check its configuration.

    :raises ConfigError: an option is wrong.
    :raises SystemExit: another end, after a line about it.
    """
    command = BY_NAME[name]
    given, others = parted(command, words, {"help", *_OWN})
    if "help" in given:
        print(command_help(command, width()))
        return 0
    check = ["--check"] if name == "check" else []
    twistd = ["--nodaemon", "--pidfile=", *_of_twistd(given, os.environ)]
    options = _Options()
    try:
        options.parseOptions([*twistd, _MAKER.tapname, *check, *others])
    except UsageError as error:
        raise ConfigError(str(error)) from None
    runApp(options)
    return 0


def _of_twistd(given: Given, environ: AbstractMapping[str, str]) -> Iterable[str]:
    """The options of twistd that are given, on the command line or in the environment.

    :raises ConfigError: there is no such user or group, or a switch in the environment
        is neither on nor off.
    """
    for name, argument in _OWN.items():
        if name in given:
            said = SourcedText(f"--{name}", given.last(name))
        elif text := environ.get(argument.variable):
            said = SourcedText(argument.variable, text)
        else:
            continue
        if argument.takes:
            yield f"--{name}={read(said, _PARSERS.get(name, str))}"
        elif name in given or read(said, switch):
            yield f"--{name}"


def _user(text: str) -> int:
    """The number of a user, which may be given by name."""
    try:
        return int(text) if text.isdecimal() else pwd.getpwnam(text).pw_uid
    except KeyError:
        raise ValueError("no such user") from None


def _group(text: str) -> int:
    """The number of a group, which may be given by name."""
    try:
        return int(text) if text.isdecimal() else grp.getgrnam(text).gr_gid
    except KeyError:
        raise ValueError("no such group") from None


#: Twisted's own parsers end with a traceback.
_PARSERS: dict[str, Callable[[str], Any]] = {"uid": _user, "gid": _group}
