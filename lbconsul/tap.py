"""``twistd lbconsul``: makes the gateway, or checks its configuration."""

import os
import platform
import sys
from collections import ChainMap
from contextlib import ExitStack
from functools import partial
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.logger import Logger

import twisted
from lbconsul.command_line import CommandLine, exit_with
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Config, rows
from lbconsul.config.render import given_options
from lbconsul.errors import LBConsulError
from lbconsul.process.clock import WallClock, use_monotonic_clock
from lbconsul.process.fd_limit import (
    MOST,
    OF_SELECT,
    connections,
    raise_descriptor_limit,
)
from lbconsul.process.garbage import ShortCollections
from lbconsul.process.privileges import User, acting_as, can_read, user_to_be
from lbconsul.process.signals import Signals
from lbconsul.process.socket_activation import passed_sockets
from lbconsul.process.successor import Successors
from lbconsul.service import Gateway
from lbconsul.takeover.inherited import InheritedSockets
from lbconsul.takeover.rendezvous import check_place
from lbconsul.text import printable
from lbconsul.version import __version__

_log = Logger()

#: Python's switch interval, in seconds: how long another thread may keep the reactor's
#: waiting.  The default of 5 ms would delay each system call of the reactor while a
#: thread reads the configuration.
_SWITCH_INTERVAL = 0.0005


class Options(CommandLine):
    """The command line of ``twistd lbconsul``, with ``--check``."""

    def parseOptions(self, options: Any = None) -> None:
        """Called by twistd with the arguments; runs ``--check`` and exits if given."""
        super().parseOptions(options)
        if self["check"]:
            _check(self.config, user_to_be(self.parent), online=bool(self["online"]))


def makeService(options: Options) -> Gateway:
    """Called by twistd: returns the gateway, with its listening sockets bound.

    They are bound here, not at the start of the service: an address in use can still be
    reported in one line.
    """
    from twisted.internet import reactor  # imported late: twistd installs it
    from twisted.internet.selectreactor import SelectReactor

    use_monotonic_clock(reactor)
    _log_start(reactor, options.config)
    bound = OF_SELECT if isinstance(reactor, SelectReactor) else MOST
    descriptors = raise_descriptor_limit(bound)
    most = connections(descriptors)
    try:
        options.log.open()
        gateway = _bound(reactor, options, most)
    except LBConsulError as error:
        raise exit_with(error) from None
    # Thousands of mappings take a while to read: a thread reads them.
    read = partial(deferToThread, options.read)
    signals = Signals(reactor, gateway, read, options.log.close)
    gateway.finished = signals.leave
    signals.reload_on_sighup()
    Successors(reactor, gateway).start_on_sigusr2()
    _notify(reactor, gateway, signals)
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


def _notify(reactor: Any, gateway: Gateway, signals: Signals) -> None:
    """Tell the service manager how far the gateway is, if it wants to know."""
    if not os.environ.get("NOTIFY_SOCKET"):
        return
    # Imported here: few gateways have one.
    from lbconsul.gateway.notifier import Notifier
    from lbconsul.process.service_manager import notify_socket, watchdog_interval

    socket = notify_socket(os.environ)
    if socket is None:
        return
    notifier = Notifier(
        reactor,
        gateway,
        socket,
        watchdog_interval(os.environ, os.getpid()),
        takes_over=not gateway.is_settled,
    )
    notifier.setServiceParent(gateway)
    gateway.on_stage = notifier.on_stage
    signals.on_reload, signals.on_reloaded = notifier.on_reload, notifier.on_reloaded


def _log_start(reactor: Any, config: Config) -> None:
    """Log the first lines: what runs, and with which options."""
    _log.info(
        "lbconsul {lbconsul} on Twisted {twisted}, Python {python}, {reactor}",
        lbconsul=__version__,
        twisted=twisted.__version__,
        python=platform.python_version(),
        reactor=type(reactor).__module__.rpartition(".")[2],
    )
    _log.info("options: {options}", options=given_options(config))


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
            gateway = Gateway(
                reactor,
                config,
                inherited=ChainMap(taken.sockets if taken else {}, inherited),
                max_connections=most,
                predecessor=taken,
                log_writer=options.log.writer,
                connection_lines=options.log.connection_lines(),
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
    if not config.takeover:
        return None
    # Imported here: few gateways take over.
    from lbconsul.takeover.client import take

    return take(config.takeover, also=() if user is None else (user.uid,))


def _hints(config: Config) -> str:
    ports = {
        each.listen.port: each
        for each in rows(config.mappings)
        if each.service and isinstance(each.listen, TCPListen)
    }
    if not ports:
        return "Listening on no TCP port, so there is nothing for curl to ask."
    from lbconsul.dev.quickstart import what_to_try  # here: for --dev only

    catalog = config.consul.addresses[0]
    first = next(iter(ports.values()))
    tls = bool(first.tls.certificates)
    return what_to_try(list(ports), catalog.port, first.service, catalog.host, tls=tls)


def _check(config: Config, user: User | None, *, online: bool) -> None:
    from twisted.internet import reactor

    try:
        with acting_as(user):
            warnings = _check_certificates(reactor, config)
            Gateway(reactor, config)
            if config.takeover:
                check_place(config.takeover)
    except LBConsulError as error:
        raise exit_with(error) from None
    print("lbconsul: the configuration is valid; its mappings:")
    for mapping in rows(config.mappings):
        print(f"  {mapping}")
    sys.stdout.flush()
    for each in warnings:
        print(f"lbconsul: warning: {printable(each)}", file=sys.stderr)
    raise SystemExit(_check_online(reactor, config) if online else 0)


def _check_certificates(reactor: Any, config: Config) -> list[str]:
    """Print what is wrong with the certificates, and exit if they cannot be served.

    Returns what clients may mind.
    """
    # Imported here: few configurations have any.
    from lbconsul.gateway.certificate_check import CertificateCheck

    check = CertificateCheck(WallClock(reactor.seconds).now)
    check.check(config.mappings, config.tls_of_admin)
    for each in check.errors:
        print(f"lbconsul: {printable(each)}", file=sys.stderr)
    if check.errors:
        raise SystemExit(1)
    return check.warnings


def _check_online(reactor: Any, config: Config) -> int:
    """Print the findings of the online check; returns the exit status."""
    # Imported here: a gateway that serves does not need it.
    from lbconsul.gateway.online_check import check_online

    try:
        check = check_online(reactor, config)
    except LBConsulError as error:
        raise exit_with(error) from None
    for each in check.found:
        print(f"  {each}")
    sys.stdout.flush()
    for each in check.problems:
        print(f"lbconsul: {printable(each)}", file=sys.stderr)
    return 1 if check.problems else 0
