"""What twistd loads."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.binaries import REPOSITORY
from tests.support.ports import free_ports

pytestmark = pytest.mark.process

SCRIPT = """
import signal
from lbconsul import start, tap
from lbconsul.process.early_signals import early_signals
assert (start.Options, start.makeService) == (tap.Options, tap.makeService)
assert signal.getsignal(signal.SIGTERM) == early_signals._terminate
"""


def test_signals_first() -> None:
    """The plugin is the command line, and handles signals."""
    subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={"PYTHONPATH": str(REPOSITORY)},
        check=True,
        timeout=60,
    )


#: Makes the gateway of a command line, and prints what has been imported by then.
IMPORTS = """
import sys
from lbconsul import start
options = start.Options()
options.parseOptions(sys.argv[1:])
start.makeService(options).close()
print(*sys.modules)
"""

#: What only some options need.  The first are those of the admin listener.
ADMIN = {
    "lbconsul.admin.server",
    "lbconsul.gateway.status",
    "prometheus_client",
}
OPTIONAL = ADMIN | {
    "lbconsul.dev.quickstart",
    "lbconsul.dev.service",
    "lbconsul.takeover.client",
    "lbconsul.workers",
    "tomllib",
    "twisted.web.server",
}

#: What no gateway needs: other commands, tests, and what would come by mistake.
NEVER = {
    "automat",
    "hypothesis",
    "importlib.metadata",
    "jsonschema",
    "lbconsul.admin.client",
    "lbconsul.admin.terminal",
    "lbconsul.gateway.online_check",
    "multiprocessing",
    "requests",
    "twisted.application.internet",
    "twisted.conch",
}


def _imported(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, *arguments],
        env={"PYTHONPATH": str(REPOSITORY)},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return set(done.stdout.splitlines()[-1].split())


def test_imports_of_a_plain_gateway(tmp_path: Path) -> None:
    """A gateway takes no memory for options that it does not use."""
    plain = (f"unix:{tmp_path}/web:web",)
    assert (OPTIONAL | NEVER) & _imported("--admin", "off", *plain) == set()
    admin = f"unix:{tmp_path}/admin"
    assert (OPTIONAL | NEVER) & _imported("--admin", admin, *plain) == ADMIN


def test_imports_by_option(tmp_path: Path) -> None:
    """Each option has what it needs imported when the gateway is made, not later: an
    upgrade may have replaced the files of a gateway that runs.
    """
    file = tmp_path / "lbconsul.toml"
    file.touch()
    used = ["--workers", "2", "--config", str(file), "--takeover", f"{tmp_path}/take"]
    catalog, admin, web = free_ports(3)
    used += ["--dev", "--consul", f"127.0.0.1:{catalog}", "--admin", f"{admin}"]
    found = _imported(*used, f"{web}:web")
    assert (OPTIONAL | NEVER) & found == OPTIONAL
