"""Chooses the target and the format of a gateway's log from the options."""

import atexit
import io
import os
import pwd
import signal
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any

from attrs import define, field
from twisted.logger import (
    ILogObserver,
    LogEvent,
    Logger,
)
from zope.interface import implementer

from lbconsul.config.model import Config
from lbconsul.errors import ConfigError
from lbconsul.logs.connection_lines import ConnectionLines
from lbconsul.logs.format import LineFormat, is_noise
from lbconsul.logs.log_file import LogFile
from lbconsul.logs.targets import Descriptor, Stream, Syslog
from lbconsul.logs.writer import LogWriter, Target

#: Stands before JSON in syslog: https://www.rsyslog.com/doc/configuration/modules/mmjsonparse.html
_CEE = "@cee: "

#: twistd's default of --prefix, which says little.
_PREFIX = "twisted"

#: The default log file of twistd as a daemon.
_TWISTD_LOG = "twistd.log"


@implementer(ILogObserver)
@define(eq=False)
class LogObserver:
    """Formats log events and passes the lines to the writer; Twisted's own noise is
    left out.
    """

    _writer: LogWriter
    _format: LineFormat

    def __call__(self, event: LogEvent) -> None:
        """Format and write one event; Twisted calls it from any thread."""
        if is_noise(event):
            return
        lines = self._format(event)
        if "lines_dropped" in event:  # a worker dropped lines before sending them
            self._writer.count_dropped(event["lines_dropped"])
        if lines:
            self._writer.write(lines)


@define(eq=False)
class LogSetup:
    """Makes twistd or twist, whose options are `parent`, log through a `LogWriter`.

    An empty `parent` stands for another program, which keeps its own log.  The setup is
    made while options are parsed, since twistd asks for its logger before it makes a
    service; nothing is opened before `open`.

    :raises ConfigError: lbconsul's log options contradict those of twistd.
    """

    _config: Config
    _parent: MutableMapping[str, Any]
    #: Set by `open`, unless the operator's own logger handles the log.
    writer: LogWriter | None = None
    _format: LineFormat = field(init=False)
    #: Whether lbconsul writes the log.
    _is_ours: bool = False

    def __attrs_post_init__(self) -> None:
        parent, config = self._parent, self._config
        if not parent:
            return
        if config.log_file:
            _refuse_two(parent)
        self._format = self._line_format()
        if self._is_twist:
            parent["fileLogObserverFactory"] = lambda file: self.observer()
            self._is_ours = True
        elif not parent.get("logger"):
            parent["logger"] = f"{__name__}.{of_twistd.__name__}"
            _current.clear()
            _current.append(self)
            self._is_ours = True

    def _line_format(self) -> LineFormat:
        is_json = self._config.log_format == "json"
        if self._parent.get("syslog"):
            return LineFormat(is_json, True, _CEE if is_json else "")
        return LineFormat(is_json, self._is_on_stdout and _is_journal(sys.stdout))

    @property
    def _is_twist(self) -> bool:
        return "fileLogObserverFactory" in self._parent

    @property
    def _is_on_stdout(self) -> bool:
        """Whether the log goes to standard output."""
        if self._config.log_file or self._parent.get("syslog"):
            return False
        if self._is_twist:
            return self._parent["logFile"] is sys.stdout
        path = self._parent.get("logfile")
        return path == "-" or not (path or self._is_daemon)

    @property
    def _is_daemon(self) -> bool:
        stays = self._parent.get("nodaemon") or self._parent.get("debug")
        return not (self._is_twist or stays)

    def open(self) -> None:
        """Open the log's target; from now on SIGUSR1 reopens a log file.

        :raises ConfigError: the target cannot be opened.
        """
        if not self._is_ours:
            return
        writer = self.writer = LogWriter(self._target(), self._tell_dropped)
        if signal.getsignal(signal.SIGUSR1) in (signal.SIG_DFL, None):
            signal.signal(signal.SIGUSR1, lambda *_: writer.reopen())
        atexit.register(self.close)
        if not self._is_daemon:
            self.start()

    def start(self) -> None:
        """Start the writer's thread; a daemon calls this after its last fork."""
        if self.writer is not None:
            self.writer.start()

    def close(self) -> None:
        """Write the waiting lines, for a bounded time."""
        if self.writer is not None:
            self.writer.close()

    def observer(self) -> LogObserver:
        """The observer that twistd or twist adds for all events."""
        assert self.writer is not None, "makeService has opened it"
        return LogObserver(self.writer, self._format)

    def connection_lines(self) -> ConnectionLines | None:
        """Writes the access log to the same target; None: by log events only."""
        if self.writer is None:
            return None
        return ConnectionLines(self._format, self.writer.write)

    def _tell_dropped(self, count: int, error: str) -> bytes:
        why = error or "the log's target is too slow"
        events: list[LogEvent] = []
        log = Logger("lbconsul.logs", observer=events.append)  # type: ignore[arg-type]
        log.warn(
            "{lines_dropped} {lines} dropped: {why}",
            lines_dropped=count,
            lines="line" if count == 1 else "lines",
            why=why,
        )
        return self._format(events[0])

    def _target(self) -> Target:
        parent, config = self._parent, self._config
        if config.log_file:
            return self._file(config.log_file, "--log-file")
        if self._is_twist:
            return _standing(parent["logFile"])
        if parent.get("syslog"):
            prefix = parent.get("prefix")
            return Syslog("lbconsul" if prefix in (None, _PREFIX) else prefix)
        path, is_daemon = parent.get("logfile"), self._is_daemon
        if path == "-" and is_daemon:
            raise ConfigError("--logfile -: a daemon has no standard output")
        if self._is_on_stdout:
            return _standing(sys.stdout)
        return self._file(path or _TWISTD_LOG, "--logfile")

    def _file(self, path: str, option: str) -> LogFile:
        config = self._config
        try:
            return LogFile(
                os.path.abspath(path),
                config.log_file_size,
                config.log_file_keep,
                _owner(self._parent),
                # As twistd rotates its own log file.
                option == "--logfile",
            )
        except OSError as error:
            raise ConfigError(
                f"{option} {path}: cannot be opened: {error.strerror}"
            ) from None


#: The last setup, for `of_twistd`: twistd takes the name of a function, and calls it
#: without arguments.
_current: list[LogSetup] = []


def of_twistd() -> LogObserver:
    """The log observer of the last setup; twistd's ``--logger`` names this function."""
    [setup] = _current
    return setup.observer()


def _refuse_two(parent: Mapping[str, Any]) -> None:
    """Reject ``--log-file`` together with a log target of twistd.

    :raises ConfigError: both are set.
    """
    for option in ("logfile", "syslog", "logger"):
        if parent.get(option):
            raise ConfigError(
                f"--log-file: not possible with twistd's --{option}; drop one of them"
            )


def _standing(file: Any) -> Target:
    """The target for standard output, or for another open file object."""
    if file is None:  # standard output was closed at the start
        return Descriptor(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC))
    file.flush()
    try:
        return Descriptor(os.dup(file.fileno()))
    except io.UnsupportedOperation:
        return Stream(file)


def _owner(parent: Mapping[str, Any]) -> tuple[int, int] | None:
    """The uid and gid after twistd drops root; -1 for no change, None for neither."""
    uid, gid = parent.get("uid"), parent.get("gid")
    if uid is not None and gid is None:
        with suppress(KeyError):
            gid = pwd.getpwuid(uid).pw_gid
    if uid is None and gid is None:
        return None
    return -1 if uid is None else uid, -1 if gid is None else gid


def _is_journal(file: Any) -> bool:
    """Whether a file is the stream to systemd's journal: systemd.exec(5)."""
    try:
        found = os.fstat(file.fileno())
    except (AttributeError, OSError, ValueError):  # none, closed, no descriptor
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
