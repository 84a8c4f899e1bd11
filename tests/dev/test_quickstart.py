"""What to try next: every command is tried here."""

import shutil
import subprocess
from urllib.parse import quote

import pytest

from lbconsul.dev.quickstart import what_to_try
from tests.support.dev_catalog import DevCatalogProcess

#: As awkward as a name can be.
SERVICE = "it's a web/server"


def test_where_to_look() -> None:
    """
    The text names the gateway's first port, the others, and the catalog.
    """
    text = what_to_try([8080, 8081], 8500, "web", host="::1")
    assert "curl http://localhost:8080/" in text
    assert "Also listening: 8081" in text
    assert "http://[::1]:8500/v1/agent/service/register" in text
    assert "Also" not in what_to_try([8080], 8500, "web")
    text = what_to_try([8443], 8500, "web", tls=True)
    assert "curl --insecure https://localhost:8443/" in text


@pytest.mark.process
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_commands_work() -> None:
    """
    Each of the commands, pasted into a shell, succeeds, and an instance comes and goes.
    """
    with DevCatalogProcess(SERVICE) as catalog:
        text = what_to_try([8080], catalog.port, SERVICE)
        commands = [line.strip() for line in text.splitlines() if line[:5] == "    c"]
        talk = [line for line in commands if str(catalog.port) in line]
        instances = []
        for command in talk:
            run = command.replace("curl", "curl --fail --silent --show-error", 1)
            done = subprocess.run(run, shell=True, capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, ""), command
            listed = catalog.api("GET", f"/v1/health/service/{quote(SERVICE)}?passing")[
                2
            ]
            instances.append(len(listed))
    assert instances == [4, 3, 4, 4, 3, 4, 3, 3]
