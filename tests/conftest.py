"""What tests of every room may ask for, and what is kept of those that fail."""

import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support import kept_logs
from tests.support.binaries import find_consul
from tests.support.consul_agent import ConsulAgent

NO_CONSUL = (
    "no Consul binary: set $CONSUL to one, or fetch it with `make consul`;"
    " nothing that talks to a real Consul has been tested"
)

# A busy machine is no mistake.
settings.register_profile(
    "tests", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")


@pytest.fixture(scope="session")
def consul_binary() -> str:
    """The path of a real Consul; without one the test skips, and fails in CI."""
    binary = find_consul()
    if binary is not None:
        return binary
    if os.environ.get("CI"):
        pytest.fail(NO_CONSUL)
    pytest.skip(NO_CONSUL)


@pytest.fixture(scope="session")
def consul(consul_binary: str) -> Iterator[ConsulAgent]:
    """One dev agent that all tests share: use names of your own, and clean up."""
    with ConsulAgent(consul_binary) as agent:
        yield agent


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Begin the logs of a test."""
    kept_logs.forget()
    return (yield)


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
    if kept_logs.FOLDER.is_dir():
        terminalreporter.write_line(f"logs of failed tests: {kept_logs.FOLDER}")
