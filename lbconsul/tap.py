"""The command line: ``twistd lbconsul``."""

import os
import sys
from collections import ChainMap
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python import usage

from lbconsul.config import grammar
from lbconsul.config.build import build
from lbconsul.config.model import Config, TCPListen
from lbconsul.config.options import OPTIONS, SECRETS
from lbconsul.config.sources import (
    Source,
    from_command_line,
    from_environment,
    from_toml,
)
from lbconsul.dev.quickstart import what_to_try
from lbconsul.errors import ConfigError, LBConsulError
from lbconsul.gateway.online_check import check_online
from lbconsul.logs.setup import LogSetup
from lbconsul.process.argv import conceal
from lbconsul.process.clock import use_monotonic_clock
from lbconsul.process.fd_limit import (
    MOST,
    OF_SELECT,
    connections,
    raise_descriptor_limit,
)
from lbconsul.process.files import read_file
from lbconsul.process.garbage import ShortCollections
from lbconsul.process.privileges import User, acting_as, can_read, user_to_be
from lbconsul.process.signals import Signals
from lbconsul.process.socket_activation import passed_sockets
from lbconsul.service import Gateway, balancer
from lbconsul.takeover.client import take
from lbconsul.takeover.inherited import InheritedSockets
from lbconsul.takeover.rendezvous import check_place
from lbconsul.text import printable

_log = Logger()

#: Python's switch interval, in seconds: how long another thread may keep the reactor's
#: waiting.  The default of 5 ms would delay each system call of the reactor while a
#: thread reads the configuration.
_SWITCH_INTERVAL = 0.0005


class Options(usage.Options):
    """The command line; `config` merges it with the environment and the file."""

    synopsis = "[options] [CONSUL] [[ADDRESS:]PORT:SERVICE[,option=value...] ...]"
    longdesc = (
        "Balance ports over the healthy instances of services in Consul. CONSUL:8500"
        " 80:web 81:graphite is short for --consul CONSUL:8500 --map 80:web --map"
        " 81:graphite. Options of a mapping may stand behind its service"
        " (80:web,tag=v2,policy=p2c) or, as defaults of all mappings, among the"
        " options. In [ ]: the default."
    )
    optParameters = [  # noqa: RUF012
        ["config", "f", None, "TOML file with the same options"],
        *([option.name, None, None, option.help] for option in OPTIONS.values()),
    ]
    optFlags = [  # noqa: RUF012
        ["check", None, "check the configuration, and exit"],
        ["online", None, "with --check: ask Consul for the services, too"],
        ["dev", None, "start a catalog and sample servers, to try things out"],
    ]

    config: Config
    #: The log of twistd or twist.
    log: LogSetup

    def __init__(self) -> None:
        super().__init__()
        self._consul: list[str] = []
        self._mappings: list[str] = []
        self._path: Path | None = None

    def opt_consul(self, address: str) -> None:
        """Consul's host:port or URL; may be given more than once
        [127.0.0.1:8500]"""
        self._consul.append(address)

    def opt_map(self, mapping: str) -> None:
        """[ADDRESS:]PORT:SERVICE, unix:/PATH:SERVICE or systemd:NAME:SERVICE, with
        options behind it; may be given more than once"""
        self._mappings.append(mapping)

    def opt_version(self) -> None:
        """Show the version and exit."""
        try:
            print(f"lbconsul {version('lbconsul')}")
        except PackageNotFoundError:
            print("lbconsul, version unknown: run from a source tree")
        raise SystemExit(0)

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
        if self["config"] is not None:  # twistd may change the working directory
            self._path = Path(os.path.abspath(self["config"]))
        try:
            self.config = self.read()
            self.log = LogSetup(self.config, self.parent or {})
        except ConfigError as error:
            raise usage.UsageError(str(error)) from None
        for secret in SECRETS:
            if self[secret]:
                conceal(self[secret])

    def read(self) -> Config:
        """The configuration: the environment, the file as it is now, the command line.

        :raises ConfigError: a source cannot be read, or an option is invalid.
        """
        return build(
            from_environment(os.environ),
            self._file(),
            from_command_line(self._said(), self._consul, self._mappings),
            dev=bool(self["dev"]),
        )

    def parseOptions(self, options: Any = None) -> None:
        """Called by twistd with the arguments; runs ``--check`` and exits if given.

        An error is one line on standard error and exit status 1, where twistd would
        print the whole help.
        """
        try:
            self._refuse_unknown(sys.argv[1:] if options is None else list(options))
            super().parseOptions(options)
        except usage.UsageError as error:
            raise _exit(error) from None
        if self["online"] and (not self["check"] or self["dev"]):
            why = (
                "Consul is asked only with --check; add it"
                if not self["check"]
                else "--dev has a catalog of its own"
            )
            raise _exit(ConfigError(f"--online: {why}"))
        if self["check"]:
            _check(self.config, user_to_be(self.parent), online=bool(self["online"]))

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
        return {name: self[name] for name in OPTIONS if self[name] is not None}

    def _file(self) -> Source:
        path = self["config"]
        if self._path is None:
            return Source()
        try:
            return from_toml(read_file(self._path).decode("utf-8"), path)
        except OSError as error:
            raise ConfigError(
                f"--config {path}: cannot be read: {error.strerror or error}"
            ) from None
        except UnicodeDecodeError:
            raise ConfigError(f"--config {path}: is not UTF-8 text") from None


def makeService(options: Options) -> Gateway:
    """Called by twistd: returns the gateway, with its listening sockets bound.

    They are bound here, not at the start of the service: an address in use can still be
    reported in one line.
    """
    from twisted.internet import reactor  # imported late: twistd installs it
    from twisted.internet.selectreactor import SelectReactor

    use_monotonic_clock(reactor)
    bound = OF_SELECT if isinstance(reactor, SelectReactor) else MOST
    descriptors = raise_descriptor_limit(bound)
    most = connections(descriptors)
    try:
        options.log.open()
        gateway = _bound(reactor, options, most)
    except LBConsulError as error:
        raise _exit(error) from None
    # Thousands of mappings take a while to read: a thread reads them.
    read = partial(deferToThread, options.read)
    signals = Signals(reactor, gateway, read, options.log.close)
    gateway.finished = signals.leave
    signals.reload_on_sighup()
    reactor.callWhenRunning(signals.end_on_sigterm)
    reactor.callWhenRunning(signals.end_on_sigint)
    reactor.callWhenRunning(options.log.start)
    reactor.callWhenRunning(ShortCollections().start)
    reactor.callWhenRunning(sys.setswitchinterval, _SWITCH_INTERVAL)
    reactor.callWhenRunning(
        _log.info,
        "{descriptors} descriptors: max-connections of all mappings together is"
        " {connections} in each process",
        descriptors=descriptors,
        connections=most,
    )
    if options.config.dev:
        print(_hints(options.config))
        if gateway.admin_address:
            print(f"Look at it in a browser: {gateway.admin_address}")
            if gateway.demo_token:
                print(f"To drain there, give this demo's token: {gateway.demo_token}")
            print()
        # The log bypasses sys.stdout: without a flush it would come first.
        print("End it with Ctrl-C.", flush=True)
    return gateway


def _bound(reactor: Any, options: Options, most: int) -> Gateway:
    """Make the gateway and bind its sockets, in a takeover with the predecessor's.

    :raises LBConsulError: the gateway cannot be made; a predecessor goes on serving.
    """
    config, inherited = options.config, passed_sockets()
    user = user_to_be(options.parent)
    with ExitStack() as undo:
        taken = _taken(config, user)
        if taken is not None:
            undo.callback(taken.close)
        # Files are read and made as the user that the process becomes, since a reload
        # runs as that user; but only root may bind any port.
        with acting_as(user):
            _see_what_is_needed_later(options)
            gateway = balancer(
                reactor,
                config,
                inherited=ChainMap(taken.sockets if taken else {}, inherited),
                max_connections=most,
                predecessor=taken,
                log=options.log.writer,
            )
            gateway.bind_files()
        gateway.bind()
        undo.pop_all()
    if taken is not None:
        taken.drop_sockets(gateway.sockets)
    return gateway


def _see_what_is_needed_later(options: Options) -> None:
    """Check what the user that the process becomes needs later: reload and takeover.

    :raises LBConsulError: the takeover socket cannot be used.
    """
    path = options["config"]
    if path is not None and not can_read(path):
        _log.warn(
            "--config {path}: the user that twistd --uid names may not read it, so it"
            " cannot be reloaded",
            path=path,
        )
    if options.config.takeover:
        check_place(options.config.takeover)


def _taken(config: Config, user: User | None) -> InheritedSockets | None:
    """The sockets of a running gateway to take over from; None if there is none."""
    # The predecessor may run as root, or as the user that this process becomes.
    also = () if user is None else (user.uid,)
    return take(config.takeover, also=also) if config.takeover else None


def _hints(config: Config) -> str:
    ports = {
        each.listen.port: each.service
        for each in config.mappings
        if isinstance(each.listen, TCPListen)
    }
    if not ports:
        return "Listening on no TCP port, so there is nothing for curl to ask."
    catalog = config.consul.addresses[0]
    service = next(iter(ports.values()))
    return what_to_try(list(ports), catalog.port, service, catalog.host)


def _check(config: Config, user: User | None, *, online: bool) -> None:
    from twisted.internet import reactor

    try:
        with acting_as(user):
            balancer(reactor, config)
            if config.takeover:
                check_place(config.takeover)
    except LBConsulError as error:
        raise _exit(error) from None
    print("lbconsul: the configuration is sound; it maps")
    for mapping in config.mappings:
        print(f"  {mapping}")
    raise SystemExit(_check_online(reactor, config) if online else 0)


def _check_online(reactor: Any, config: Config) -> int:
    """Print the findings of the online check; returns the exit status."""
    try:
        check = check_online(reactor, config)
    except LBConsulError as error:
        raise _exit(error) from None
    for each in check.found:
        print(f"  {each}")
    sys.stdout.flush()
    for each in check.problems:
        print(f"lbconsul: {printable(each)}", file=sys.stderr)
    return 1 if check.problems else 0


def _exit(error: Exception) -> SystemExit:
    # One line, even if an option's value holds line breaks.
    print(f"lbconsul: {printable(str(error))}", file=sys.stderr)
    return SystemExit(1)
