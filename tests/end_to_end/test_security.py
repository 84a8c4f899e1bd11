"""The policies of docs/security.md: what a token for Consul has to allow, no more."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.end_to_end.registrar import Place, Registrar
from tests.support.binaries import REPOSITORY
from tests.support.certificates import Authority
from tests.support.console import console
from tests.support.consul_agent import ConsulAgent

pytestmark = pytest.mark.consul

PAGE = (REPOSITORY / "docs" / "security.md").read_text()

#: Any service; no more than is balanced; and certificates as well.
ANY, ONLY, CERTIFICATES = re.findall(r"^```hcl\n(.*?)^```", PAGE, re.M | re.DOTALL)

#: The token that may do anything.
MASTER = "c0ffee00-0000-4000-8000-00000000c0de"


def rules(policy: str) -> list[str]:
    """The rules of a policy, one a line."""
    return policy.splitlines()


@pytest.fixture(scope="module")
def guarded(
    consul_binary: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ConsulAgent]:
    """A Consul whose ACLs deny by default, with services and a certificate."""
    acl = {
        "enabled": True,
        "default_policy": "deny",
        "tokens": {"master": MASTER, "agent": MASTER},
    }
    config = {"acl": acl, "primary_datacenter": "dc1"}
    issued = Authority(tmp_path_factory.mktemp("authority")).issue("web.example")
    pem = Path(issued.cert).read_text() + Path(issued.key).read_text()
    with ConsulAgent(consul_binary, extra_config=config) as agent:
        registrar = Registrar(agent)
        for name, port in (("web", 8001), ("api", 8002), ("secret", 8003)):
            registrar.add(name, Place("1", port))
        agent.api("PUT", "/v1/kv/lbconsul/certs/web", pem.encode())
        yield agent


class Checks:
    """Runs ``check --online`` with tokens of different policies."""

    def __init__(self, agent: ConsulAgent, folder: Path) -> None:
        self._agent = agent
        self._file = folder / "token"

    def check(self, policy: list[str], *mappings: str) -> tuple[int, str]:
        """The exit status and the errors with a token that has these rules."""
        name = uuid4().hex
        self._put("acl/policy", {"Name": name, "Rules": "\n".join(policy)})
        token = self._put("acl/token", {"Policies": [{"Name": name}]})["SecretID"]
        self._file.write_text(f"{token}\n")
        self._file.chmod(0o600)
        told = [f"--map={each}" for each in mappings]
        at = f"127.0.0.1:{self._agent.port}"
        given = f"--token-file={self._file}"
        status, _, err = console("check", "--online", f"--consul={at}", given, *told)
        return status, err

    def _put(self, path: str, body: object) -> Any:
        status, _, said = self._agent.api("PUT", f"/v1/{path}", body)
        assert status == 200, said
        return said


@pytest.fixture
def checks(guarded: ConsulAgent, tmp_path: Path) -> Checks:
    """Checks against that Consul."""
    return Checks(guarded, tmp_path)


def test_any_service(checks: Checks) -> None:
    """With the first policy any service can be balanced; without its node rule none."""
    assert checks.check(rules(ANY), "80:web", "81:api", "82:secret") == (0, "")
    assert checks.check(rules(ANY)[:1], "80:web")[0] == 1


def test_no_more_than_is_balanced(checks: Checks) -> None:
    """The second policy has what its mappings need: no rule of it, and no more."""
    assert checks.check(rules(ONLY), "80:web", "81:api") == (0, "")
    for rule in rules(ONLY):
        fewer = [each for each in rules(ONLY) if each != rule]
        assert checks.check(fewer, "80:web", "81:api")[0] == 1, rule
    status, error = checks.check(rules(ONLY), "82:secret")
    assert status == 1
    assert "secret" in error


def test_certificates(checks: Checks) -> None:
    """The third one lets the gateway have certificates from Consul, by its key rule."""
    mapping = "443:web,tls=consul:lbconsul/certs"
    assert checks.check(rules(CERTIFICATES), mapping) == (0, "")
    status, error = checks.check(rules(CERTIFICATES)[:2], mapping)
    assert status == 1
    assert "ACLs hide it from the token" in error or "403" in error
