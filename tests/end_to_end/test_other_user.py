"""A gateway that root starts, and that is another user's from then on."""

import os
import pwd
import random
import shutil
import socket
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbconsul.process.privileges import User, acting_as
from tests.end_to_end.registrar import Registrar
from tests.end_to_end.visits import visit
from tests.support.admin_side import AdminSide
from tests.support.binaries import REPOSITORY
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.web_server import WebServer
from tests.support.workers import all_serve

pytestmark = [
    pytest.mark.consul,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
]

NOBODY = pwd.getpwnam("nobody")

RUN = "from twisted.scripts.twistd import run; run()"
LIBRARIES = sysconfig.get_paths()["purelib"]


def python() -> str:
    """A Python like ours that the user may run; a test is skipped without one."""
    version = "python{}.{}".format(*sys.version_info)
    user = User(NOBODY.pw_uid, NOBODY.pw_gid, ())
    with acting_as(user):
        for program in (sys.executable, f"/usr/bin/{version}"):
            needed = (program, LIBRARIES, str(REPOSITORY))
            if all(os.access(each, os.X_OK, effective_ids=True) for each in needed):
                return program
    pytest.skip("no Python that another user may run, or it may not read our libraries")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of that user's, in one that all users may read."""
    outer = Path(tempfile.mkdtemp())
    outer.chmod(0o755)
    inner = outer / "theirs"
    inner.mkdir()
    os.chown(inner, NOBODY.pw_uid, NOBODY.pw_gid)
    yield inner
    shutil.rmtree(outer)


def gateway(place: Path, consul: int, *arguments: str, wait: str = "ready") -> Gateway:
    """A gateway that twistd runs as that user; its output is root's."""
    home = place.parent / f"home-{len(list(place.parent.iterdir()))}"
    home.mkdir(0o755)
    return Gateway(
        home,
        f"--consul=127.0.0.1:{consul}",
        *arguments,
        wait=wait,
        env={"PYTHONPATH": f"{REPOSITORY}:{LIBRARIES}"},
        twistd=(python(), "-c", RUN, "--uid", str(NOBODY.pw_uid)),
    )


def owners(place: Path) -> dict[str, tuple[int, int, int]]:
    """User, group and mode of what is there."""
    found = {each.name: each.stat() for each in place.iterdir()}
    return {k: (v.st_uid, v.st_gid, v.st_mode & 0o777) for k, v in found.items()}


def theirs(mode: int) -> tuple[int, int, int]:
    """What belongs to that user alone."""
    return NOBODY.pw_uid, NOBODY.pw_gid, mode


def low_port() -> int:
    """A port that takes root to listen on; a test is skipped where none does."""
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    # By chance: another test may look for one at this moment.
    for port in random.sample(range(600, min(first, 1000), 2), 50):
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)):
                return port
    pytest.skip("any user may listen on any port here")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_all_that_is_listened_on(
    consul: ConsulAgent,
    registrar: Registrar,
    servers: list[WebServer],
    service: str,
    place: Path,
    workers: str,
) -> None:
    """
    The gateway has what only root may open; all that it creates is the user's, who can
    remove and make it again, and hand it on to the next gateway.
    """
    registrar.add(service, servers[0])
    port = low_port()
    token = place / "token"
    token.write_text("t")
    token.chmod(0o600)
    os.chown(token, NOBODY.pw_uid, NOBODY.pw_gid)
    config = place / "config.toml"

    def configure(*mappings: str) -> None:
        maps = ", ".join(f'"{each}:{service}"' for each in mappings)
        config.write_text(f"map = [{maps}]\n")

    configure(f"127.0.0.1:{port}", f"unix:{place}/web")
    options = (
        f"--config={config}",
        f"--admin=unix:{place}/admin",
        f"--admin-token-file={token}",
        f"--takeover={place}/takeover",
        f"--state-dir={place}/state",
        f"--workers={workers}",
    )
    with gateway(place, consul.port, *options) as old:
        if workers != "1":
            all_serve(old, 2)
        for address in (port, f"{place}/web"):
            assert visit(address) == servers[0].name
        found = owners(place)
        assert found["web"] == theirs(0o660)
        assert found["admin"] == found["takeover"] == theirs(0o600)
        assert found["state"] == theirs(0o700)
        assert len(list((place / "state").iterdir())) == 1
        assert AdminSide(f"{place}/admin").get("/readyz").code == 200

        configure(f"127.0.0.1:{port}", f"unix:{place}/web", f"127.0.0.1:{port + 1}")
        old.reload()
        old.expect(rf"not reloaded: cannot listen on 127.0.0.1:{port + 1} .*denied; ")
        configure(f"127.0.0.1:{port}", f"unix:{place}/other")
        old.reload()
        old.wait_for(r"reloaded: 1 added .*, 1 removed")
        eventually(lambda: "web" not in owners(place), "the file is removed")
        assert visit(f"{place}/other") == servers[0].name

        with gateway(place, consul.port, *options, wait="listening") as new:
            new.wait_for(r"taken over from the gateway at /")
            old.wait_until_gone()
            for address in (port, f"{place}/other"):
                assert visit(address) == servers[0].name
            admin = AdminSide(f"{place}/admin")
            new.wait_for("status, metrics and a page: unix:")
            assert admin.get("/healthz").code == 200
            assert owners(place)["takeover"] == theirs(0o600)
    assert set(owners(place)) == {"config.toml", "state", "token"}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--map=unix:{root}/web:web"], "cannot listen on unix:{root}/web for --map"),
        (["--admin=unix:{root}/a"], "cannot listen on unix:{root}/a for --admin: Perm"),
        (
            ["--takeover={root}/t"],
            "--takeover {root}/t: the directory {root} is",
        ),
        (["--state-dir={root}/s"], "--state-dir {root}/s: "),
        (
            ["--token-file={root}/f"],
            "--token-file {root}/f: cannot be read: Per",
        ),
        (["--ca-file={root}/f", "--consul=https://x"], "--ca-file {root}/f: "),
        (["--admin-token-file={root}/f", "--admin=1"], "--admin-token-file {root}/f: "),
    ],
)
def test_what_the_user_may_not(place: Path, options: list[str], why: str) -> None:
    """What the user could not do later is one clear line of error at the start."""
    root = place.parent / "roots"
    root.mkdir(0o755)
    (root / "f").touch(0o600)
    (root / "f").write_text("secret")
    (port,) = free_ports(1)
    told = [each.format(root=root) for each in options]
    one = gateway(place, 1, f"--map=127.0.0.1:{port}:web", *told)
    one.start()
    try:
        assert one.status() == 1
    finally:
        one.kill()
    [line] = one.log().splitlines()
    assert line.startswith("lbconsul: " + why.format(root=root)), line


def test_no_such_user(place: Path) -> None:
    """So is an unknown user."""
    one = gateway(place, 1, "--map=127.0.0.1:1:web")
    one._twistd = (python(), "-c", RUN, "--uid", "3999999")
    one.start()
    assert one.status() == 1
    [line] = one.log().splitlines()
    assert line.startswith("lbconsul: twistd --uid 3999999: no such user")
