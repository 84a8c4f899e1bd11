"""sslyze and testssl.sh have nothing to say against the TLS of a gateway."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.end_to_end.stage import Stage
from tests.support.binaries import SSLYZE
from tests.support.certificates import Authority, PrivateKey, together
from tests.support.needed import lacking, needed
from tests.support.ports import free_ports

pytestmark = pytest.mark.consul

NO_SSLYZE = (
    "no sslyze: fetch it with `make sslyze`; nothing has looked whether TLS is as"
    " Mozilla's intermediate configuration wants it"
)

#: The sections of testssl.sh; two groups of the same length run beside each other:
#: protocols, preferences and defaults; forward secrecy and vulnerabilities.
SECTIONS = (("-p", "-P", "-S"), ("-f", "-U"))

#: What testssl.sh finds that is not about the gateway, by id.
NOT_OURS = {
    "engine_problem": "the OpenSSL of testssl.sh has no GOST",
    "cert_revocation": "the certificates of these tests cannot be revoked",
    "sessionresumption_ticket": "its client may end before it has a ticket of TLS 1.3",
}

#: A scan takes half a minute, where all programs have a processor.
PATIENCE = 300.0


class Scanned:
    """A gateway whose certificates are of an authority of its own."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        stage.add(stage.servers[0])
        self._stage = stage
        self._folder = folder
        self.authority = Authority(folder)

    def serve(self, **keys: PrivateKey | None) -> list[str]:
        """Where it serves with certificates of these keys, each called differently."""
        ports = free_ports(len(keys))
        maps = [
            f"{port}:{self._stage.service},tls={self._certificate(name, key)}"
            for port, (name, key) in zip(ports, keys.items(), strict=True)
        ]
        self._stage.gateway(*maps)
        return [f"localhost:{port}" for port in ports]

    def _certificate(self, name: str, key: PrivateKey | None) -> str:
        issued = self.authority.issue(name, names=["localhost"], key=key)
        return together(self._folder / f"{name}.pem", issued.cert, issued.key)


@pytest.fixture
def scanned(stage: Stage, tmp_path: Path) -> Scanned:
    """One that is not yet started."""
    return Scanned(stage, tmp_path)


def test_mozilla_intermediate(scanned: Scanned, tmp_path: Path) -> None:
    """
    With keys of either kind sslyze finds TLS compliant with Mozilla's intermediate
    configuration, and both versions of it served.
    """
    if not SSLYZE.exists():
        lacking(NO_SSLYZE)
    sites = scanned.serve(ecdsa=None, rsa=rsa.generate_private_key(65537, 2048))
    found = tmp_path / "sslyze.json"
    done = subprocess.run(
        [
            *(SSLYZE, "--mozilla_config=intermediate", f"--json_out={found}"),
            *(f"--certinfo_ca_file={scanned.authority.file}", *sites),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for site in sites:
        assert f"{site}: OK - Compliant." in done.stdout
    for result in json.loads(found.read_text())["server_scan_results"]:
        served = result["scan_result"]
        for version in ("tls_1_2_cipher_suites", "tls_1_3_cipher_suites"):
            assert len(served[version]["result"]["accepted_cipher_suites"]) == 3


def test_testssl(scanned: Scanned, tmp_path: Path) -> None:
    """testssl.sh finds nothing that it calls LOW or worse."""
    program = needed("testssl", "testssl.sh")
    [site] = scanned.serve(ecdsa=None)
    scan = partial(_testssl, program, scanned.authority, site, tmp_path)
    with ThreadPoolExecutor() as pool:
        findings = [each for found in pool.map(scan, SECTIONS) for each in found]
    # One finding of each section in which there is one in all releases.
    assert {"TLS1_3", "cipher_order", "cert_trust", "heartbleed"} <= {
        each["id"] for each in findings
    }
    assert [
        each
        for each in findings
        if each["severity"] not in ("OK", "INFO") and each["id"] not in NOT_OURS
    ] == []


def _testssl(
    program: str, authority: Authority, site: str, folder: Path, sections: tuple[str]
) -> list[dict[str, Any]]:
    """The findings of these sections."""
    found = folder / f"testssl{''.join(sections)}.json"
    done = subprocess.run(
        [
            *(program, "--quiet", "--color=0", "--warnings=batch", "--nodns=none"),
            *(f"--add-ca={authority.file}", f"--jsonfile={found}", *sections, site),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        cwd=folder,
    )
    try:
        findings: list[dict[str, Any]] = json.loads(found.read_text())
    except (OSError, ValueError):
        pytest.fail(done.stdout + done.stderr)
    return findings
