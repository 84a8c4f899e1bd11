"""Canaries: exact shares of the clients, or of the requests, for other instances."""

from collections import Counter
from contextlib import ExitStack
from email.message import Message
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.end_to_end.stage import Stage
from tests.end_to_end.test_reload import Running
from tests.end_to_end.visits import name_in, visits
from tests.support.admin_side import AdminSide
from tests.support.load import Visitor
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE, eventually
from tests.support.workers import all_serve, kill, pids

pytestmark = pytest.mark.consul

#: In one process, and with others.
WORKERS = pytest.mark.parametrize("workers", ["1", "2"])


def _asked(visitors: list[Visitor], times: int) -> Counter[str]:
    """The servers that answer so many requests, each of the next kept connection."""
    names = Counter[str]()
    for number in range(times):
        names[name_in(visitors[number % len(visitors)].ask())] += 1
    return names


def _got(admin: AdminSide) -> dict[str, int]:
    """How many requests each row has served, by the status."""
    rows = admin.status()["mappings"]
    return {each["name"]: sum(each["http"]["requests"].values()) for each in rows}


@WORKERS
def test_requests(stage: Stage, tmp_path: Path, workers: str) -> None:
    """A canary gets its exact share of the requests, over all workers and kept
    connections; a reload changes or ends that at once, and no request is lost.
    """
    port, admin = free_ports(2)
    anna, bert, carl = stage.servers[:3]
    stage.add(anna)
    stage.add(bert)
    stage.add(carl, Tags=["canary"])
    mapping = f"{port}:{stage.service},mode=http"
    canary = f"{mapping},split=5%:tag=canary"
    (tmp_path / "lb.toml").touch()
    running = Running(
        lambda *more: stage.gateway("--admin", str(admin), *more),
        tmp_path / "lb.toml",
        workers,
        canary,
    )
    with ExitStack() as stack:
        visitors = [stack.enter_context(Visitor(port)) for _ in range(8)]
        first = _asked(visitors, 200)
        assert first[carl.name] == 10
        assert set(first) == {anna.name, bert.name, carl.name}
        names = [f"{port}:{stage.service}", f"{port}:{stage.service},tag=canary"]
        eventually(
            lambda: list(_got(AdminSide(admin)).values()) == [190, 10],
            "the status has what each part got",
        )
        assert list(_got(AdminSide(admin))) == names
        [rest, part] = AdminSide(admin).status()["mappings"]
        assert (rest["split"]["wanted"], rest["split"]["got"]) == (0.95, 0.95)
        assert part["split"] == {
            "of": names[0], "part": "tag=canary", "wanted": 0.05, "got": 0.05,
        }  # fmt: skip
        running.reload(canary.replace("5%", "50%"))
        for each in visitors:
            each.ask()  # the answers that tell of the end of the connection
        half = _asked(visitors, 200)
        assert abs(half[carl.name] - 100) <= 1
        running.reload(mapping)
        for each in visitors:
            each.ask()
        # Without a split the canary is an instance as the others.
        assert len(_asked(visitors, 90)) == 3


@WORKERS
def test_connections(stage: Stage, workers: str) -> None:
    """With TCP it is connections; an instance that gets the tag is the canary at once,
    and if the canary is gone, the others get all.
    """
    [port] = free_ports(1)
    anna, bert = stage.servers[:2]
    stage.add(anna)
    canary = stage.add(bert, Meta={"version": "2"})
    started = stage.gateway(
        "--workers", workers, f"{port}:{stage.service},split=10%:meta=version:2"
    )
    started.wait_for("balancing|serves")
    assert visits(port, 50) == {anna.name: 45, bert.name: 5}
    stage.registrar.remove(canary)
    eventually(lambda: visits(port, 20) == {anna.name: 20}, "the rest gets all")
    stage.add(bert, Meta={"version": "2"})
    eventually(lambda: visits(port, 10)[bert.name] == 1, "the canary is back")


@WORKERS
def test_by_cookie(stage: Stage, workers: str) -> None:
    """New clients are shared exactly; one that comes again has the part it had, in
    each worker.
    """
    [port] = free_ports(1)
    anna, bert = stage.servers[:2]
    stage.add(anna)
    stage.add(bert, Tags=["canary"])
    options = "mode=http,split=10%:tag=canary,split-sticky=cookie"
    started = stage.gateway("--workers", workers, f"{port}:{stage.service},{options}")
    if workers != "1":
        all_serve(started, int(workers))
    cookies = dict[str, tuple[str, str]]()
    for number in range(40):
        response, body = _get(port, {})
        cookie = str(response["Set-Cookie"]).partition(";")[0]
        assert cookie.startswith("lbconsul-split=")
        cookies[str(number)] = name_in(body), cookie
    names = [name for name, _ in cookies.values()]
    assert Counter(names) == {anna.name: 36, bert.name: 4}
    assert len({cookie for _, cookie in cookies.values()}) == 2
    for name, cookie in cookies.values():
        response, body = _get(port, {"Cookie": f"a=b; {cookie}"})
        assert (name_in(body), response["Set-Cookie"]) == (name, None)


def _get(port: int, fields: dict[str, str]) -> tuple[Message, str]:
    request = Request(f"http://127.0.0.1:{port}/", headers=fields)
    with urlopen(request, timeout=PATIENCE) as response:
        return response.headers, response.read().decode()


def test_a_worker_dies(stage: Stage) -> None:
    """What a worker chose still counts when it is dead: the share stays exact."""
    [port] = free_ports(1)
    anna, bert = stage.servers[:2]
    stage.add(anna)
    stage.add(bert, Tags=["canary"])
    started = stage.gateway(
        "--workers", "2", f"{port}:{stage.service},split=10%:tag=canary"
    )
    workers = all_serve(started, 2)
    names = visits(port, 25)
    kill(workers[1])
    eventually(lambda: pids(started)[1] != workers[1], "there is another one")
    names += visits(port, 175)
    assert abs(names[bert.name] - 20) <= 1
