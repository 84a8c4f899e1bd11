"""What tests of every room may ask for, and which of them run beside which.

A test that starts a program is marked `process`, by where it stands, by what it asks
for, or by hand; all others are `make test-unit`, which refuses them to start one.
"""

import os
import signal
import sys
from collections.abc import Generator, Iterator
from contextlib import suppress
from importlib import import_module
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from lbconsul.config.sources import ENVIRONMENT
from lbconsul.config.variables import PREFIX
from tests.support import kept_logs, loopback
from tests.support.binaries import find_consul
from tests.support.consul_agent import ConsulAgent
from tests.support.needed import lacking

NO_CONSUL = (
    "no Consul binary: set $CONSUL to one, or fetch it with `make consul`;"
    " nothing that talks to a real Consul has been tested"
)

#: Folders whose every test runs programs.
RUNS_PROGRAMS = {"browser", "contrib", "end_to_end"}

#: What a test asks for that is a program.
PROGRAMS = {"consul", "consul_binary", "subject"}

#: What Python tells of a program that is about to start.
_STARTS = {"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "subprocess.Popen"}

# A busy machine is no mistake.
settings.register_profile(
    "tests", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")


# Under nohup, or in the background of a shell, tests are run with signals ignored, and
# the programs that they start would ignore them too.
for _number, _action in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _action)


@pytest.fixture(scope="session")
def consul_binary() -> str:
    """The path of a real Consul; without one the test skips, and fails in CI."""
    return find_consul() or lacking(NO_CONSUL)


@pytest.fixture(scope="session")
def consul(consul_binary: str) -> Iterator[ConsulAgent]:
    """One dev agent that all tests share: use names of your own, and clean up."""
    with ConsulAgent(consul_binary) as agent:
        yield agent


@pytest.fixture
def without_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine's own Consul is, is not the test's business."""
    ours = [each for each in os.environ if each.startswith(PREFIX)]
    for variable in (*ENVIRONMENT, "CONSUL_HTTP_ADDR", "CONSUL_HTTP_SSL", *ours):
        monkeypatch.delenv(variable, raising=False)


def pytest_collection(session: pytest.Session) -> None:
    """Import a part of the tests first, where others collect beside this process.

    pytest rewrites each test that it imports, and keeps that: without the parts all
    processes would rewrite all tests of a new checkout, at the same time.
    """
    worker = getattr(session.config, "workerinput", None)
    if worker is None:
        return
    root, first = session.config.rootpath, int(worker["workerid"].removeprefix("gw"))
    paths = sorted(root.glob("tests/**/test_*.py"))
    for path in paths[first :: worker["workercount"]]:
        # The collection tells what is wrong, or skipped.
        with suppress(Exception, pytest.skip.Exception):
            import_module(".".join(path.relative_to(root).with_suffix("").parts))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Mark the tests that run programs, and those that share what a file has made.

    Where tests run beside each other, the long ones come first.
    """
    for item in items:
        if item.path.parent.name in RUNS_PROGRAMS or _asks_for(item) & PROGRAMS:
            item.add_marker(pytest.mark.process)
        if group := _group(item):
            item.add_marker(pytest.mark.xdist_group(group))
    if hasattr(config, "workerinput"):
        items.sort(key=_is_short)


def _is_short(item: pytest.Item) -> tuple[bool, bool]:
    """Whether a test starts no program, and whether no group of tests hangs on it."""
    return (
        item.get_closest_marker("process") is None,
        item.get_closest_marker("xdist_group") is None,
    )


def pytest_collection_finish() -> None:
    """Measure the coverage of the tests' own processes, and of no program they start.

    Its start would take half as long again.  What it runs is tested without it, too.
    """
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)


def _asks_for(item: pytest.Item) -> set[str]:
    return set(getattr(item, "fixturenames", ()))


def _group(item: pytest.Item) -> str | None:
    """The group of tests that run one after the other in one process, if any."""
    if item.path.parent.name == "browser":
        return "browser"  # which is one, and a big one
    fixtures = getattr(item, "_fixtureinfo", None)
    made = fixtures.name2fixturedefs.values() if fixtures else []
    if any(each.scope in ("class", "module") for found in made for each in found):
        return item.nodeid.split("::")[0]
    return None


#: Whether the test that runs just now may start a program.
_may_start = True


def _watch(event: str, _: Any) -> None:
    if event in _STARTS and not _may_start:
        raise RuntimeError("a test that starts a program is marked `process`")


sys.addaudithook(_watch)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Hold a test to its mark, and begin its logs."""
    global _may_start
    kept_logs.forget()
    is_unit = "not process" in item.config.option.markexpr
    _may_start = not is_unit or item.get_closest_marker("process") is not None
    try:
        return (yield)
    finally:
        _may_start = True
        loopback.unpin()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the logs of the programs that ran in a failed test, and show their ends."""
    report = yield
    if report.failed:
        home = getattr(item, "funcargs", {}).get("tmp_path")
        for log, text in kept_logs.logs(home):
            kept = kept_logs.keep(item.nodeid, log, text)
            report.sections.append((str(kept), text[-kept_logs.SHOWN :]))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say where the logs are."""
    has_failed = terminalreporter.stats.keys() & {"failed", "error"}
    if has_failed and kept_logs.FOLDER.is_dir():
        terminalreporter.write_line(f"logs of failed tests: {kept_logs.FOLDER}")
