"""Where the log goes, as twistd's options and ours have it."""

import atexit
import json
import os
import signal
import sys
import syslog
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import (
    FileLogObserver,
    ILogObserver,
    Logger,
    jsonFileLogObserver,
    textFileLogObserver,
)
from zope.interface.verify import verifyObject

from lbconsul.config.build import configure
from lbconsul.errors import ConfigError
from lbconsul.logs import setup as module
from lbconsul.logs.setup import LogSetup, of_twistd
from lbconsul.logs.writer import LogWriter


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nothing of this stays."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "_current", [])
    monkeypatch.setattr(atexit, "register", lambda call: None)
    before = signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGUSR1, before)


def a_setup(parent: dict[str, Any], **options: str) -> LogSetup:
    """What these options of twistd's and of ours come to."""
    return LogSetup(configure(mappings=["80:web"], **options), parent)


def logged(parent: dict[str, Any], *, said: str = "said", **options: str) -> LogSetup:
    """It, after something was logged as twistd has it."""
    setup = a_setup(parent, **options)
    setup.open()
    name = parent["logger"].rpartition(".")
    observer = getattr(sys.modules[name[0]], name[2])()
    assert verifyObject(ILogObserver, observer)
    Logger("here", observer=observer).info(said)
    setup.close()
    return setup


@pytest.mark.parametrize(
    ("parent", "name"),
    [
        ({"logfile": None, "nodaemon": 0}, "twistd.log"),
        ({"logfile": "own.log", "nodaemon": 1}, "own.log"),
        ({"logfile": "own.log", "nodaemon": 0}, "own.log"),
    ],
)
def test_a_file_of_twistds(parent: dict[str, Any], name: str, tmp_path: Path) -> None:
    """A file of twistd's --logfile is used."""
    logged(parent)
    assert (tmp_path / name).read_text().endswith(" info said\n")


@pytest.mark.parametrize("parent", [{"nodaemon": 1}, {"nodaemon": 0}])
def test_a_file_of_ours(parent: dict[str, Any], tmp_path: Path) -> None:
    """With --log-file it goes there, whatever twistd is to be."""
    logged(parent, log_file="sub.log")
    assert (tmp_path / "sub.log").read_text().endswith("said\n")


@pytest.mark.parametrize(
    "parent", [{"nodaemon": 1}, {"logfile": "-", "nodaemon": 1}, {"debug": True}]
)
def test_standard_output(
    parent: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    """In the foreground it goes to standard output, behind what is there."""
    print("before")
    logged(parent)
    first, second = capfd.readouterr().out.splitlines()
    assert first == "before"
    assert second.endswith(" info said")


def test_standard_output_without_a_descriptor(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A file object without a descriptor works as well."""
    logged({"nodaemon": 1})
    assert capsys.readouterr().out.endswith("said\n")


def test_standard_output_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a standard output the log goes nowhere, least of all to a socket that
    has its number.
    """
    monkeypatch.setattr(sys, "stdout", None)
    assert logged({"nodaemon": 1}).writer is not None


def test_json(tmp_path: Path) -> None:
    """As JSON it goes to the same places."""
    logged({"nodaemon": 0}, log_format="json")
    assert json.loads((tmp_path / "twistd.log").read_text())["message"] == "said"


def test_odd_texts(tmp_path: Path) -> None:
    """Whatever is logged is UTF-8; what has no text is no line."""
    setup = logged({"nodaemon": 0}, said="Straße \udcff")
    assert (tmp_path / "twistd.log").read_text("utf-8").endswith("Straße \\udcff\n")
    before = (tmp_path / "twistd.log").stat().st_size
    setup.observer()({})
    setup.close()
    assert (tmp_path / "twistd.log").stat().st_size == before


@pytest.fixture
def syslog_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What syslog(3) is called with."""
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(syslog, "openlog", lambda *given: calls.append(given))
    monkeypatch.setattr(syslog, "syslog", lambda *given: calls.append(given))
    return calls


@pytest.mark.parametrize(("prefix", "ident"), [("gw", "gw"), ("twisted", "lbconsul")])
def test_syslog(prefix: str, ident: str, syslog_calls: list[tuple[Any, ...]]) -> None:
    """With --syslog each line goes to syslog with the priority of its level."""
    parent = {"syslog": 1, "prefix": prefix, "nodaemon": 0}
    setup = logged(parent, said="one\ntwo")
    try:
        raise ValueError("bad")
    except ValueError:
        Logger("here", observer=setup.observer()).failure("a bug")
    lines = setup.connection_lines()
    assert lines is not None
    lines.write("m", "unix", "80:web", "-", 0, 0, 0.0, 0, "--", {})
    setup.close()
    opened, *calls, last = syslog_calls
    assert opened == (ident, syslog.LOG_PID, syslog.LOG_DAEMON)
    assert calls[:3] == [
        (syslog.LOG_INFO, "one"),
        (syslog.LOG_INFO, "\ttwo"),
        (syslog.LOG_CRIT, "a bug"),
    ]
    assert calls[-1] == (syslog.LOG_CRIT, "\tbuiltins.ValueError: bad")
    assert last == (syslog.LOG_INFO, "m")


def test_syslog_with_fields(syslog_calls: list[tuple[Any, ...]]) -> None:
    """With --syslog and --log-format json the text is an object with all fields, which
    rsyslog and syslog-ng know by the mark before it.
    """
    logged({"syslog": 1}, log_format="json")
    _, (priority, text) = syslog_calls
    mark, _, row = text.partition(" ")
    assert (priority, mark, json.loads(row)["message"]) == (6, "@cee:", "said")


def test_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where standard output is the stream to systemd's journal, lines begin with their
    priority; a file, and a standard output that was replaced, have the time.
    """
    out = os.fstat(sys.stdout.fileno())
    monkeypatch.setenv("JOURNAL_STREAM", f"{out.st_dev}:{out.st_ino}")
    logged({"nodaemon": 1})
    assert capfd.readouterr().out == "<6>said\n"
    logged({"nodaemon": 1}, log_format="json")
    assert capfd.readouterr().out.startswith('<6>{"time":')
    logged({"nodaemon": 1}, log_file="own.log")
    assert (tmp_path / "own.log").read_text().startswith("20")
    monkeypatch.setenv("JOURNAL_STREAM", f"{out.st_dev}:{out.st_ino + 1}")
    logged({"nodaemon": 1})
    assert capfd.readouterr().out.startswith("20")


@pytest.mark.parametrize("theirs", [textFileLogObserver, jsonFileLogObserver])
def test_twist(theirs: Callable[[Any], FileLogObserver], tmp_path: Path) -> None:
    """twist logs to its own file, in the same form as twistd."""
    with (tmp_path / "log").open("a") as file:
        parent: dict[str, Any] = {"fileLogObserverFactory": theirs, "logFile": file}
        setup = a_setup(parent)
        setup.open()
        observer = parent["fileLogObserverFactory"](file)
        Logger("here", observer=observer).info("said")
        setup.close()
    assert (tmp_path / "log").read_text().endswith(" info said\n")


def test_noise_of_twisted(tmp_path: Path) -> None:
    """What Twisted logs of its ports, factories and loops is left out."""
    setup = logged({"nodaemon": 0})
    Logger("twisted.internet.base", observer=setup.observer()).info("Main loop ended.")
    setup.close()
    assert len((tmp_path / "twistd.log").read_text().splitlines()) == 1


def test_embedders_have_their_own_log() -> None:
    """Embedders, and a --logger, have a log of their own."""
    setup = a_setup({})
    setup.open()
    setup.start()
    setup.close()
    assert setup.writer is None
    parent: dict[str, Any] = {"logger": "my.own", "syslog": 0}
    setup = a_setup(parent)
    setup.open()
    assert (parent["logger"], setup.writer) == ("my.own", None)


@pytest.mark.parametrize(
    ("parent", "options", "said"),
    [
        *(
            (
                {name: "x"},
                {"log_file": "log"},
                f"--log-file: not possible with twistd's --{name}; drop one of them",
            )
            for name in ("logfile", "syslog", "logger")
        ),
    ],
)
def test_contradictions(
    parent: dict[str, Any], options: dict[str, str], said: str
) -> None:
    """Two places for one log are refused."""
    with pytest.raises(ConfigError) as refused:
        a_setup(parent, **options)
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("parent", "options", "said"),
    [
        ({"logfile": "-"}, {}, "--logfile -: a daemon has no standard output"),
        (
            {"nodaemon": 1},
            {"log_file": "none/log"},
            "--log-file none/log: cannot be opened: No such file or directory",
        ),
        (
            {"logfile": "."},
            {},
            "--logfile .: cannot be opened: Is a directory",
        ),
    ],
)
def test_it_cannot_be_opened(
    parent: dict[str, Any], options: dict[str, str], said: str
) -> None:
    """A target that cannot be opened is one line of error at the start."""
    setup = a_setup(parent, **options)
    with pytest.raises(ConfigError) as refused:
        setup.open()
    assert str(refused.value) == said


def test_a_daemon_forks_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon writes from its start on, since threads do not survive a fork."""
    started: list[LogWriter] = []
    monkeypatch.setattr(LogWriter, "start", lambda writer: started.append(writer))
    daemon = a_setup({"nodaemon": 0})
    daemon.open()
    assert started == []
    daemon.start()
    foreground = a_setup({"nodaemon": 1}, log_file="log")
    foreground.open()
    assert started == [daemon.writer, foreground.writer]


def test_the_user_that_it_will_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new file belongs to the user that twistd switches to."""
    owners: list[Any] = []
    monkeypatch.setattr(os, "fchown", lambda fd, *owner: owners.append(owner))
    for number, said in enumerate(
        [{"uid": 0}, {"uid": 0, "gid": 7}, {"gid": 7}, {"uid": 999_999_999}, {}]
    ):
        a_setup({"nodaemon": 0, **said}, log_file=f"log{number}").open()
    assert owners == [(0, 0), (0, 7), (-1, 7), (999_999_999, -1)]


def test_sigusr1(tmp_path: Path) -> None:
    """SIGUSR1 reopens the file; an existing handler stays in place."""
    setup = logged({"nodaemon": 1}, log_file="log")
    (tmp_path / "log").rename(tmp_path / "log.1")
    signal.raise_signal(signal.SIGUSR1)
    setup.close()
    assert (tmp_path / "log").exists()
    mine = signal.getsignal(signal.SIGUSR1)
    logged({"nodaemon": 1}, log_file="log")
    assert signal.getsignal(signal.SIGUSR1) is mine


@pytest.mark.parametrize("format", ["text", "json"])
def test_lines_dropped(format: str, tmp_path: Path) -> None:
    """
    Dropped lines are logged in the log's own format; those that a worker dropped, in
    its own line, count.
    """
    setup = a_setup({"nodaemon": 0}, log_format=format)
    setup.open()
    assert setup.writer is not None
    observer = setup.observer()
    Logger("here", observer=observer).warn("{lines_dropped}", lines_dropped=5)
    setup.writer._most = 0
    for _ in range(2):
        Logger("here", observer=observer).info("x")
    setup.close()
    assert setup.writer.dropped == 7
    said = "2 lines dropped: the log's target is too slow"
    _, last = (tmp_path / "twistd.log").read_text().splitlines()
    if format == "json":
        row = json.loads(last)
        assert (row["message"], row["lines_dropped"], row["level"]) == (said, 2, "warn")
    else:
        assert last.endswith(f" warn {said}")
    assert setup._tell_dropped(1, "").count(b"1 line dropped") == 1
    assert b"dropped: No space" in setup._tell_dropped(3, "No space")


def test_it_is_named_as_it_is() -> None:
    """twistd finds the function by its name."""
    parent: dict[str, Any] = {"nodaemon": 1}
    a_setup(parent)
    name, _, function = parent["logger"].rpartition(".")
    assert getattr(sys.modules[name], function) is of_twistd


def test_a_buffer_is_flushed() -> None:
    """Text that a file object buffers comes before the log."""
    file = StringIO()
    file.write("before\n")
    parent = {"fileLogObserverFactory": textFileLogObserver, "logFile": file}
    setup = a_setup(parent)
    setup.open()
    Logger("here", observer=setup.observer()).info("said")
    setup.close()
    assert file.getvalue().splitlines()[0] == "before"


@pytest.mark.parametrize(("log_format", "last"), [("text", "m\n"), ("json", "}\n")])
def test_lines_of_connections(tmp_path: Path, log_format: str, last: str) -> None:
    """Connection lines go to the same log, between the other lines, in its format."""
    parent: dict[str, Any] = {"nodaemon": 1}
    setup = a_setup(parent, log_file="own.log", log_format=log_format)
    assert setup.connection_lines() is None  # not before the log is open
    setup.open()
    lines, log = setup.connection_lines(), Logger("here", observer=setup.observer())
    assert lines is not None
    log.info("before")
    lines.write("m", "unix", "80:web", "-", 0, 0, 0.0, 0, "--", {})
    log.info("after")
    setup.close()
    first, second, third = (tmp_path / "own.log").read_text().splitlines(keepends=True)
    assert ("before" in first, "after" in third) == (True, True)
    assert second.endswith(last)


def test_lines_of_connections_that_others_write() -> None:
    """To a logger of the operator's connections are log events."""
    for parent in ({"logger": "a.b", "nodaemon": 1}, {}):
        setup = a_setup(dict(parent))
        setup.open()
        assert setup.connection_lines() is None
