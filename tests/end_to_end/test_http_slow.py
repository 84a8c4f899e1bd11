"""Slow clients, many of them, as slowhttptest plays them."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.end_to_end.registrar import Place
from tests.end_to_end.stage import Stage
from tests.support.load import Load
from tests.support.needed import needed
from tests.support.peers import nginx_http
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE, eventually
from tests.support.workers import all_serve, resident

pytestmark = pytest.mark.consul

CLIENTS = 200

#: Two megabytes, which each slow reader asks for several times.
FILE = b"x" * (2 << 20)

#: What the gateway may need more for them all, in bytes: three reads for each.  The
#: responses that slow readers ask for are 1.2 GB.
MOST = CLIENTS * 3 * 65536

#: What slowhttptest is told, the code of a request that ends with its client, and how
#: many workers there are.
KINDS: dict[str, tuple[Sequence[str], str, int]] = {
    # A field each second.
    "heads": (["-H", "-i", "1"], "CR", 1),
    # A few bytes of the body each second.
    "bodies": (["-B", "-t", "PUT", "-s", "8192", "-i", "1", "-x", "16"], "CH", 2),
    # 32 bytes each second, of a window of some hundred.
    "readers": (
        ["-X", "-n", "1", "-z", "32", "-w", "512", "-y", "1024", "-k", "3"],
        "CD",
        2,
    ),
}


@pytest.mark.parametrize(
    ("options", "code", "workers"), KINDS.values(), ids=KINDS.keys()
)
def test_slow_clients(
    stage: Stage, tmp_path: Path, options: Sequence[str], code: str, workers: int
) -> None:
    """Others are served meanwhile, and the gateway's memory stays as it is."""
    (port,) = free_ports(1)
    for server in stage.servers[:2]:
        stage.add(server)
    (tmp_path / "file").write_bytes(FILE)
    mapping = f"{port}:{stage.service},mode=http"
    with nginx_http(tmp_path, f"; root {tmp_path}; dav_methods PUT;") as (_, files):
        stage.add(Place("nginx", files), Name=f"{stage.service}-files")
        told = ["--map", mapping, "--route", f"{port}:/file={stage.service}-files"]
        gateway = stage.gateway(*told, "--workers", str(workers))
        serving = [gateway.pid]
        if workers > 1:
            serving = list(all_serve(gateway, workers).values())
        with Load(port, 4, keep_alive=True) as load:
            load.more(50)
            before = sum(map(resident, serving))
            command = [needed("slowhttptest"), "-c", str(CLIENTS), "-r", str(CLIENTS)]
            command += [*options, "-l", "2", "-p", "5"]
            command += ["-u", f"http://127.0.0.1:{port}/file"]
            slow = subprocess.Popen(
                command, cwd=tmp_path, stdout=subprocess.PIPE, text=True
            )
            most = 0
            while slow.poll() is None:
                load.more(50)
                most = max(most, sum(map(resident, serving)))
            said, _ = slow.communicate(timeout=PATIENCE)
            eventually(
                lambda: len(gateway.find(f" {code} id=")) >= CLIENTS, "they have left"
            )
            outcome = load.stop()
    assert outcome.failed() == []
    assert outcome.wrong() == []
    plain = re.sub(r"\x1b\[[\d;]*[A-Za-z]", "", said)
    assert set(re.findall(r"service available: *(\w+)", plain)) == {"YES"}, plain
    assert "Hit test time limit" in plain, plain
    assert most - before < MOST
