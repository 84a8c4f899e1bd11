"""What people see of a gateway, from its start to its end."""

import json
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import capturedLogs, formatEvent

from lbconsul.admin.status_model import Event as ShownEvent
from lbconsul.balance.event_text import describe
from lbconsul.balance.events import (
    Event,
    EventKind,
    GatewayEvent,
    MappingEvent,
    PoolEvent,
    QueryEvent,
    UpstreamEvent,
)
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.balance.standing import Standing
from lbconsul.config.build import configure
from lbconsul.config.model import Config
from lbconsul.errors import CannotListen, ConfigError
from lbconsul.gateway.admin import AdminService
from lbconsul.gateway.availability import Availability
from lbconsul.gateway.operations import Operations
from tests.gateway.test_status import FakeDataPlane, FakeGateway
from tests.support.events import EventRecorder
from tests.support.fake_answers import FakeAnswers
from tests.support.instances import an_identity, an_instance, instances
from tests.support.loopback import listening
from tests.support.ports import free_ports
from tests.support.running_proxy import ReactorThread
from tests.support.waiting import PATIENCE


def config(**options: str) -> Config:
    """A configuration with these options."""
    return configure(mappings=["80:web"], **options)


def lookout(
    running: ReactorThread, config: Config, *, patient: bool = False
) -> AdminService:
    """That of a gateway that has no upstreams."""
    registry = Registry(lambda: 0.0)
    observer = EventRecorder()
    data_plane: Any = FakeDataPlane(registry, list(config.mappings))
    answers = FakeAnswers()
    availability = Availability(running.reactor, registry, answers, observer)
    for each in config.mappings:
        availability.add(each)
    operations = Operations(running.reactor, data_plane, observer, lambda: "")
    gateway = FakeGateway(config, registry, data_plane, availability, operations)
    return running.call(AdminService, running.reactor, config, gateway, patient)


def start(running: ReactorThread, lookout: AdminService) -> None:
    """Start it as a part of a gateway is."""
    running.call(lookout.privilegedStartService)
    running.call(lookout.startService)


def get(port: int, path: str) -> Any:
    """What is answered."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_without_an_admin_listener(running: ReactorThread) -> None:
    """Without an admin listener what changes is noted all the same."""
    made = lookout(running, config(admin="off"))
    made.bind()
    made.close()
    start(running, made)
    assert made.address == ""
    made.on_event(GatewayEvent(kind=EventKind.RELOADED, reason="nothing"))
    assert made.events.get(1).text == "reloaded: nothing"
    running.outcome(made.stopService)


def test_answers_from_start_to_end(running: ReactorThread) -> None:
    """Bound early, it answers from its start on, and no longer than to its end."""
    [port] = free_ports(1)
    made = lookout(running, config(admin=str(port)))
    assert made.address == ""
    made.bind()
    assert made.address == f"http://127.0.0.1:{port}/"
    start(running, made)
    code, body = get(port, "/status")
    assert code == 200
    status = json.loads(body)
    assert status["gateway"]["state"] == "starting"
    assert [each["name"] for each in status["mappings"]] == ["80:web"]
    running.outcome(made.stopService)
    with pytest.raises(ConnectionRefusedError):
        get(port, "/status")


def test_no_start(running: ReactorThread) -> None:
    """Bound sockets are closed if there is no start."""
    [port] = free_ports(1)
    made = lookout(running, config(admin=str(port)))
    made.bind()
    made.close()
    assert made.address == ""
    with pytest.raises(ConnectionRefusedError):
        get(port, "/status")


def test_taken(running: ReactorThread) -> None:
    """An address that was asked for must be had, unless its owner is to leave it."""
    with listening() as taken:
        asked = config(admin=str(taken.getsockname()[1]))
        with pytest.raises(CannotListen):
            lookout(running, asked).bind()
        made = lookout(running, asked, patient=True)
        made.bind()
        assert made.address == ""


def test_token_file(running: ReactorThread, tmp_path: Path) -> None:
    """An unreadable token file is an error at once."""
    path = tmp_path / "token"
    with pytest.raises(ConfigError, match="--admin-token-file"):
        lookout(running, config(admin="9", admin_token_file=str(path)))
    path.write_text("s3cret")
    path.chmod(0o600)
    lookout(running, config(admin="9", admin_token_file=str(path)))


WEB = ServiceQuery("web")


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (
            UpstreamEvent(
                kind=EventKind.EJECTED,
                query=WEB,
                instance=an_instance("a"),
                reason="it failed",
                before=Standing.SERVING,
                after=Standing.EJECTED,
                seconds=9.87654,
            ),
            {
                "query": "web",
                "upstream": "dc1/node-1/a",
                "reason": "it failed",
                "before": "serving",
                "after": "ejected",
                "seconds": 9.877,
            },
        ),
        (
            UpstreamEvent(kind=EventKind.DRAINED, instance=an_identity("a")),
            {"upstream": "dc1/node-1/a"},
        ),
        (
            PoolEvent(
                kind=EventKind.SUSPECT,
                query=WEB,
                instances=tuple(instances(*"abcdefghijkl")),
                total=14,
                seconds=30.0,
            ),
            {
                "query": "web",
                "instances": tuple(map(str, instances(*"abcdefghij"))),
                "count": 12,
                "seconds": 30.0,
            },
        ),
        (
            QueryEvent(
                kind=EventKind.FAILING,
                query=ServiceQuery("web", "dc2"),
                reason="refused",
            ),
            {"query": "web,dc=dc2", "reason": "refused"},
        ),
        (
            MappingEvent(kind=EventKind.AVAILABLE, query=WEB, mapping="80:web"),
            {"query": "web", "mapping": "80:web"},
        ),
        (
            GatewayEvent(kind=EventKind.RELOADED, reason="1 added"),
            {"reason": "1 added"},
        ),
    ],
    ids=lambda value: value.kind.value if hasattr(value, "kind") else "",
)
def test_events(running: ReactorThread, event: Event, shown: dict[str, Any]) -> None:
    """An event is kept with all that it is about, each under a name of its own."""
    made = lookout(running, config(admin="off"))
    made.on_event(event)
    kept = made.events.get(1)
    expected = ShownEvent(
        id=1, time=kept.time, kind=event.kind.value, text=describe(event), **shown
    )
    assert kept == expected


def test_lag(running: ReactorThread) -> None:
    """The reactor is watched for as long as it runs, and no longer."""
    made = lookout(running, config(admin="off"))
    before = len(running.call(running.reactor.getDelayedCalls))
    start(running, made)
    assert len(running.call(running.reactor.getDelayedCalls)) == before + 1
    running.outcome(made.stopService)
    assert len(running.call(running.reactor.getDelayedCalls)) == before


def test_token_of_the_environment(running: ReactorThread) -> None:
    """A token that is given itself serves for orders as that of a file does."""
    (port,) = free_ports(1)
    shown = lookout(running, config(admin=str(port), admin_token="s3cret"))
    assert "s3cret" not in repr(shown)
    start(running, shown)
    answers = []
    for token in ("wrong", "s3cret"):
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        headers = {"Authorization": f"Bearer {token}"}
        connection.request("POST", "/upstreams/dc1/n/gone/drain", headers=headers)
        answers.append(connection.getresponse().status)
        connection.close()
    running.outcome(shown.stopService)
    assert answers == [401, 404]


def test_two_tokens(running: ReactorThread, tmp_path: Path) -> None:
    """One token reads and the other one changes, each from a file or given itself."""
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text("looks")
    (port,) = free_ports(1)
    options = {"admin": f"0.0.0.0:{port}", "admin_token": "s3cret"}
    shown = lookout(running, config(**options, admin_read_token_file=str(file)))
    start(running, shown)
    answers = []
    for method, path in (("GET", "/status"), ("POST", "/upstreams/dc1/n/gone/drain")):
        for token in ("wrong", "looks", "s3cret"):
            connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            headers = {"Authorization": f"Bearer {token}"}
            connection.request(method, path, headers=headers)
            answers.append(connection.getresponse().status)
            connection.close()
    running.outcome(shown.stopService)
    assert answers == [401, 200, 200, 401, 403, 404]


def test_one_token_twice(running: ReactorThread) -> None:
    """The token that only reads must not be the one that changes."""
    twice = config(admin="9", admin_token="s3cret", admin_read_token="s3cret")
    with pytest.raises(ConfigError, match="give each a token of its own") as raised:
        lookout(running, twice)
    assert "s3cret" not in str(raised.value)


def test_refusals_in_the_log(running: ReactorThread, tmp_path: Path) -> None:
    """Refused orders are in the log, and what is too much of that is counted there."""
    (port,) = free_ports(1)
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text("s3cret")
    shown = lookout(running, config(admin=str(port), admin_token_file=str(file)))
    with capturedLogs() as events:
        start(running, shown)
        for _ in range(20):
            connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            connection.request("POST", "/drain")
            assert connection.getresponse().status == 401
            connection.close()
        running.outcome(shown.stopService)
    lines = [str(formatEvent(each)) for each in events]
    told = [each for each in lines if "401 to 127.0.0.1: drain the" in each]
    assert 5 <= len(told) < 10
    rest = 20 - len(told)
    assert f"admin: more of the same: {rest} refused requests" in lines
