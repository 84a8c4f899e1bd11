"""The command line, merged with the environment and the file."""

import os
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twisted.python import usage

from lbconsul.config import grammar
from lbconsul.config.build import build
from lbconsul.config.check_options import CHECK
from lbconsul.config.lists import LISTS
from lbconsul.config.model import Config
from lbconsul.config.option import Option, joined
from lbconsul.config.options import OPTIONS, SECRETS
from lbconsul.config.sources import (
    Source,
    from_command_line,
    from_environment,
    from_toml,
)
from lbconsul.config.variables import from_variables
from lbconsul.errors import ConfigError
from lbconsul.logs.setup import LogSetup
from lbconsul.process.argv import conceal
from lbconsul.process.files import read_file, unreadable
from lbconsul.text import printable
from lbconsul.version import __version__


class CommandLine(usage.Options):
    """The parsed options; `config` merges them with the environment and the file."""

    synopsis = "[options] [CONSUL] [[ADDRESS:]PORT:SERVICE[,option=value...] ...]"
    optParameters = [  # noqa: RUF012
        ["config", "f", None, "TOML file with the same options"],
        *(
            [option.name, None, None, option.help]
            for option in OPTIONS.values()
            if not (option.is_list or option.name == CHECK)
        ),
    ]
    optFlags = [  # noqa: RUF012
        ["check", None, "validate the configuration, and exit"],
        ["online", None, "with --check: query Consul for the services, too"],
        [
            "dev",
            None,
            "try it out: start a catalog, and three web servers for each service",
        ],
    ]

    config: Config
    #: The log of twistd or twist.
    log: LogSetup

    def __init__(self) -> None:
        super().__init__()
        self._consul: list[str] = []
        self._mappings: list[str] = []
        self._routes: list[str] = []
        #: The texts of options that may be given several times, by name.
        self._lists = defaultdict[str, list[str]](list)
        self._path: Path | None = None
        #: What named the TOML file.
        self._names_file = "--config"

    def opt_consul(self, address: str) -> None:
        """Consul's host:port or URL; may be given more than once
        [127.0.0.1:8500]"""
        self._consul.append(address)

    def opt_map(self, mapping: str) -> None:
        """[ADDRESS:]PORT:SERVICE, unix:/PATH:SERVICE or systemd:NAME:SERVICE, with
        options behind it; may be given more than once"""
        self._mappings.append(mapping)

    def opt_route(self, route: str) -> None:
        """LISTEN:PATTERN=SERVICE, with options behind it: where a part of a mapping's
        clients or requests goes, by TLS server name, or by host and path; may be given
        more than once"""
        self._routes.append(route)

    def opt_version(self) -> None:
        """Show the version and exit."""
        print(f"lbconsul {__version__}")
        raise SystemExit(0)

    def getUsage(self, width: int | None = None) -> str:
        """Called by Twisted for ``--help``."""
        # Imported here: few gateways print it.
        from shutil import get_terminal_size

        from lbconsul.usage.help import twistd_help

        return twistd_help(width or get_terminal_size().columns)

    def parseArgs(self, *arguments: str) -> None:
        """Take the positional form: Consul's address, then mappings."""
        for late in arguments:
            if late.startswith("-"):  # getopt stops at the first argument
                raise usage.UsageError(f"{late}: options come before {arguments[0]}")
        first = arguments[:1]
        if first and not self._consul and not grammar.looks_like_mapping(first[0]):
            self._consul.append(first[0])
            arguments = arguments[1:]
        self._mappings.extend(arguments)

    def postOptions(self) -> None:
        """Build and validate the configuration, and hide secrets in argv."""
        try:
            self._take_variables()
            if self["config"] is not None:  # twistd may change the working directory
                self._path = Path(os.path.abspath(self["config"]))
            self.config = self.read()
            self.log = LogSetup(self.config, self.parent or {})
        except ConfigError as error:
            raise usage.UsageError(str(error)) from None
        for secret in SECRETS:
            if self[secret]:
                conceal(self[secret])

    def _take_variables(self) -> None:
        """Take from the environment what is about the sources themselves.

        :raises ConfigError: a variable is invalid.
        """
        variables = from_variables(os.environ)
        if self["config"] is None and variables.config is not None:
            self["config"] = variables.config.text
            self._names_file = variables.config.where
        self["dev"] = self["dev"] or bool(variables.dev)

    def read(self) -> Config:
        """The configuration: the environment, the file as it is now, the command line.

        :raises ConfigError: a source cannot be read, or an option is invalid.
        """
        return build(
            from_environment(os.environ),
            self._file(),
            from_variables(os.environ).source,
            from_command_line(self._said(), self._consul, self._mappings, self._routes),
            dev=bool(self["dev"]),
        )

    def parseOptions(self, options: Any = None) -> None:
        """Called by twistd with the arguments.

        An error is one line on standard error and exit status 1, where twistd would
        print the whole help.
        """
        try:
            self._refuse_unknown(sys.argv[1:] if options is None else list(options))
            super().parseOptions(options)
        except usage.UsageError as error:
            raise exit_with(error) from None
        if self["online"] and (not self["check"] or self["dev"]):
            why = (
                "works only with --check: add it"
                if not self["check"]
                else "--dev has a catalog of its own"
            )
            raise exit_with(ConfigError(f"--online: {why}"))

    def _refuse_unknown(self, arguments: list[str]) -> None:
        """Refuse abbreviated and unknown long options.

        getopt accepts an unambiguous prefix, such as --worker for --workers; it would
        become ambiguous when a new option shares the prefix.

        :raises UsageError: an option is not known.
        """
        ours = {each.rstrip("="): each.endswith("=") for each in self.longOpt}
        rest = iter(arguments)
        for each in rest:
            if not each.startswith("-") or each in ("-", "--"):
                return
            name, equals, _ = each.removeprefix("--").partition("=")
            if not each.startswith("--"):
                takes_next = f"{each[-1]}:" in self.shortOpt and len(each) == 2
            elif name in ours:
                takes_next = ours[name] and not equals
            else:
                raise usage.UsageError(self._unknown(name, ours))
            if takes_next:
                next(rest, None)

    def _unknown(self, name: str, ours: Iterable[str]) -> str:
        theirs = getattr(self.parent, "longOpt", ())
        if name in {each.rstrip("=") for each in theirs}:
            return f"--{name} is an option of twistd: it stands before lbconsul"
        return grammar.unknown("option", f"--{name}", (f"--{each}" for each in ours))

    def _said(self) -> dict[str, str]:
        texts = {name: joined(name, each) for name, each in self._lists.items()}
        single = OPTIONS.keys() - LISTS - {CHECK}
        return texts | {name: self[name] for name in single if self[name] is not None}

    @classmethod
    def take_several(cls, option: Option) -> None:
        """Have an option that may be given several times."""

        def take(self: "CommandLine", text: str) -> None:
            self._lists[option.name].append(text)

        take.__doc__ = option.help
        setattr(cls, f"opt_{option.name.replace('-', '_')}", take)

    def _file(self) -> Source:
        path = self["config"]
        if self._path is None:
            return Source()
        try:
            return from_toml(read_file(self._path).decode("utf-8"), path)
        except OSError as error:
            raise unreadable(f"{self._names_file} {path}", error) from None
        except UnicodeDecodeError:
            why = "is not UTF-8 text"
            raise ConfigError(f"{self._names_file} {path}: {why}") from None


for _each in LISTS:
    CommandLine.take_several(OPTIONS[_each])


def exit_with(error: Exception) -> SystemExit:
    """The exception that ends the process with this error as one line on stderr."""
    # One line, even if an option's value holds line breaks.
    print(f"lbconsul: {printable(str(error))}", file=sys.stderr)
    return SystemExit(1)
