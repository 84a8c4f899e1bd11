"""The commands that ask a running gateway, or no gateway at all."""

import os
from collections.abc import Callable

from lbconsul.admin.client import Admin
from lbconsul.config import grammar
from lbconsul.console.access import access
from lbconsul.console.events import events
from lbconsul.console.orders import drain, eject, undrain
from lbconsul.console.routes import routes
from lbconsul.console.status import status
from lbconsul.console.terminal import width
from lbconsul.console.top import top
from lbconsul.console.version import versions
from lbconsul.console.why import why
from lbconsul.errors import ConfigError
from lbconsul.usage.commands import BY_NAME, Command
from lbconsul.usage.completion import completion
from lbconsul.usage.help import command_help, overview
from lbconsul.usage.man import page
from lbconsul.usage.words import Given, parse

#: Commands that ask a gateway; each returns the exit status.
_ASKING: dict[str, Callable[[Admin, Given], int]] = {
    "status": status,
    "top": top,
    "events": events,
    "why": why,
    "routes": routes,
    "drain": drain,
    "undrain": undrain,
    "eject": eject,
}


def ask(name: str, words: list[str]) -> int:
    """Run a command; returns the exit status.

    :raises LBConsulError: it fails, with one line for the operator.
    """
    if name in ("", "-h", "--help", "help"):
        return _help(name, words)
    if name == "--version":
        name = "version"
    if name not in BY_NAME:
        raise ConfigError(_unknown(name, words))
    command = BY_NAME[name]
    given = parse(command, words)
    if "help" in given:
        print(command_help(command, width()))
        return 0
    _check_count(command, given)
    if name in _ASKING:
        return _ASKING[name](access(given, os.environ), given)
    print(_text(name, given))
    return 0


def _text(name: str, given: Given) -> str:
    """What a command prints that asks no gateway.

    :raises ConfigError: there is no such shell, or no such command.
    """
    if name == "version":
        return versions()
    known = BY_NAME[name].choices if name == "completion" else tuple(BY_NAME)
    for each in given.rest:
        if each not in known:
            kind = "shell" if name == "completion" else "command"
            raise ConfigError(grammar.unknown(kind, each, known))
    return completion(given.rest[0]) if name == "completion" else page(*given.rest)


def _check_count(command: Command, given: Given) -> None:
    """Refuse too many words, and too few.

    :raises ConfigError: there are.
    """
    takes, count = command.takes, len(given.rest)
    is_enough = "gateway" in given or takes in ("", "[COMMAND]")
    if not count and not is_enough:
        raise ConfigError(f"{command.name}: {takes.rstrip('.')} must be given")
    if count and (not takes or "gateway" in given):
        raise ConfigError(f"{command.name}: takes no {given.rest[0]!r}")
    if count > 1 and not takes.endswith("..."):
        raise ConfigError(f"{command.name}: takes no {given.rest[1]!r}, but one word")


def _help(name: str, words: list[str]) -> int:
    if words and words[0] in BY_NAME:
        print(command_help(BY_NAME[words[0]], width()))
        return 0
    if words and name == "help":
        raise ConfigError(_unknown(words[0], []))
    print(overview(width()))
    return 0


def _unknown(name: str, words: list[str]) -> str:
    if grammar.looks_like_mapping(" ".join([name, *words])) or any(
        grammar.looks_like_mapping(each) for each in words
    ):
        return f"{name!r} is no command; to serve: lbconsul run {name} ..."
    return grammar.unknown("command", name, BY_NAME)
