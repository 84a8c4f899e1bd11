"""A drain by hand lasts as long as the registration that was drained."""

from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.stage import Stage
from tests.support.admin_side import AdminSide
from tests.support.gateway import Gateway
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.workers import pids, wait_until_gone

TOKEN = "a-token-of-the-test"


class Site:
    """Two instances behind one port, and gateways that follow each other."""

    def __init__(self, stage: Stage, tmp_path: Path) -> None:
        self.registrar, self.servers = stage.registrar, stage.servers
        self._gateway, self.service = stage.gateway, stage.service
        (self.port,) = free_ports(1)
        self.anna = stage.add(stage.servers[0])
        self.bert = stage.add(stage.servers[1])
        token = tmp_path / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        self.admin = AdminSide(free_ports(1)[0])
        self._told = [
            f"--admin={self.admin.place}",
            f"--admin-token-file={token}",
            "--workers=2",
            f"--map={self.port}:{self.service}",
        ]

    def start(self, *told: str) -> Gateway:
        """A gateway that is ready."""
        started = self._gateway(*self._told, *told, wait="listening")
        started.wait_for(r"\d+ in all")
        eventually(lambda: self.pid() == started.pid, "it answers")
        eventually(lambda: self.admin.get("/readyz").code == 200, "it is ready")
        return started

    def pid(self) -> int:
        """The gateway that answers on the admin address."""
        try:
            return int(self.admin.status()["gateway"]["pid"])
        except OSError:
            return 0

    def order(self, verb: str, name: str) -> Any:
        """Order it; the answer's status."""
        return self.admin.order(verb, f"dc1/test-node/{name}", TOKEN).code

    def drained(self) -> dict[str, bool]:
        """What is drained, and whether it is there."""
        rows = self.admin.status()["drained"]
        return {each["service_id"]: each["registered"] for each in rows}

    def serves(self, *names: str) -> None:
        """Wait until just these serve."""

        def serving() -> set[str]:
            found = self.admin.upstreams().items()
            return {name for name, row in found if row["standing"] == "serving"}

        eventually(lambda: serving() == set(names), f"{names} serve")


@pytest.fixture
def site(stage: Stage, tmp_path: Path) -> Site:
    """The service is served by workers, which learn of a drain from the master."""
    return Site(stage, tmp_path)


def test_redeploy(site: Site) -> None:
    """
    A service that is deregistered and registered again under its id is not drained; one
    that is updated in place is, and so is one that comes back as it was.
    """
    site.start()
    assert site.order("drain", site.anna) == 200
    site.serves(site.bert)
    again = site.registrar.add(site.service, site.servers[0], Tags=["again"])
    eventually(
        lambda: site.admin.upstreams()[again]["tags"] == ["again"], "it is altered"
    )
    site.serves(site.bert)
    site.registrar.remove(site.anna)
    eventually(lambda: site.drained() == {site.anna: False}, "it is gone")
    site.registrar.add(site.service, site.servers[0])
    site.serves(site.anna, site.bert)
    assert site.drained() == {}


def test_undrained_while_gone(site: Site) -> None:
    """A drain can be ended whether the instance is there or not."""
    started = site.start()
    assert site.order("drain", site.anna) == 200
    started.wait_for("--state-dir keeps it longer")
    site.registrar.remove(site.anna)
    eventually(lambda: site.drained() == {site.anna: False}, "it is gone")
    assert site.order("undrain", site.anna) == 200
    assert site.drained() == {}
    assert site.order("undrain", site.anna) in (200, 404)  # it may be doubted


def test_a_drain_survives_a_restart(site: Site, tmp_path: Path) -> None:
    """With a state directory it holds after a restart, with kill -9 as well; without
    one it does not.
    """
    state = f"--state-dir={tmp_path / 'state'}"
    first = site.start(state)
    assert site.order("drain", site.anna) == 200
    site.serves(site.bert)
    first.stop()
    second = site.start(state)
    site.serves(site.bert)
    assert site.order("undrain", site.anna) == 200
    assert site.order("drain", site.bert) == 200
    site.serves(site.anna)
    kept = tmp_path / "state" / "drained.json"
    eventually(lambda: site.bert in kept.read_text(), "it is written")
    second.kill()
    wait_until_gone(*pids(second).values())
    third = site.start(state)
    site.serves(site.anna)
    third.stop()
    site.start()
    site.serves(site.anna, site.bert)


def test_takeover(site: Site, tmp_path: Path) -> None:
    """The next gateway has it with the sockets, from its first connection on."""
    takeover = f"--takeover={tmp_path / 'lb.sock'}"
    first = site.start(takeover)
    assert site.order("drain", site.anna) == 200
    site.serves(site.bert)
    site.start(takeover)
    first.wait_until_gone()
    site.serves(site.bert)
    assert site.drained() == {site.anna: True}
    assert site.order("undrain", site.anna) == 200
    site.serves(site.anna, site.bert)
