"""What tests of every room may ask for: a real Consul."""

import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

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
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of Consul's own log beside a failure of a test that used it."""
    report = yield
    if report.failed:
        for used in getattr(item, "funcargs", {}).values():
            if isinstance(used, ConsulAgent):
                report.sections.append(("Consul's log", used.log()))
    return report
