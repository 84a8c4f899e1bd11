"""The installed command ``lbconsul`` with gateways that it runs itself."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.end_to_end.stage import Stage
from tests.end_to_end.visits import visits
from tests.support.certificates import Authority, together
from tests.support.console import COMMAND, console
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import StartGateway, environment
from tests.support.needed import needed
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.consul

RUN = (str(COMMAND), "run")

TOKEN = "s3cret-of-ours"


def test_run(stage: Stage, tmp_path: Path) -> None:
    """``lbconsul run`` serves as twistd does, reloads, and ends well on SIGTERM."""
    (port,) = free_ports(1)
    names = {server.name for server in stage.servers[:2]}
    for server in stage.servers[:2]:
        stage.add(server)
    file = tmp_path / "lb.toml"
    file.write_text(f"map = ['{port}:{stage.service}']")
    gateway = stage.gateway(f"--config={file}", command=RUN)
    assert set(visits(port, 8)) == names
    assert {each.name for each in gateway.home.iterdir()} == {"gateway.log"}
    gateway.reload()
    gateway.wait_for("reloaded: 0 added, 0 altered, 0 removed, 1 unchanged")
    assert gateway.stop().accepted == 8


def test_environment(stage: Stage, consul: ConsulAgent) -> None:
    """All that a container needs to say can be in its environment."""
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    place = f"127.0.0.1:{consul.port}"
    stage.gateway(
        command=RUN,
        env={"LBCONSUL_CONSUL": place, "LBCONSUL_MAP": f"{port}:{stage.service}"},
    )
    assert set(visits(port, 4)) == {stage.servers[0].name}


def test_workers(stage: Stage) -> None:
    """Workers of a gateway that the command runs are those of any other."""
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    stage.gateway("--workers=2", f"--map={port}:{stage.service}", command=RUN)
    assert set(visits(port, 4)) == {stage.servers[0].name}


@pytest.mark.parametrize("place", ["tcp", "unix"])
def test_orders(stage: Stage, consul: ConsulAgent, tmp_path: Path, place: str) -> None:
    """
    With the token of the environment instances are drained, undrained and ejected, and
    ``status`` and ``events`` show it; without it nothing is done.  The token is in no
    process's title.
    """
    port, number = free_ports(2)
    path = tmp_path / "admin.sock"
    admin = str(number) if place == "tcp" else f"unix:{path}"
    for server in stage.servers[:3]:
        stage.add(server)
    anna = f"{stage.service}-anna@test-node"
    env = {"LBCONSUL_ADMIN": admin, "LBCONSUL_ADMIN_TOKEN": TOKEN}
    told = ["--consul", f"127.0.0.1:{consul.port}"]
    gateway = stage.gateway(
        f"--admin={admin}", f"--map={port}:{stage.service}", *told, command=RUN, env=env
    )
    code, _, errors = console("drain", "--admin", admin, anna)
    assert code == 2
    assert errors.startswith(f"lbconsul: {admin}: needs the token")
    code, said, errors = console("drain", anna, env=env)
    assert (code, errors) == (0, "")
    assert said.startswith(f"drained dc1/test-node/{stage.service}-anna, until")
    rows = console("status", env=env)[1].splitlines()
    assert [each.split()[1] for each in rows if anna in each] == ["draining"]
    document = json.loads(console("status", "--json", env=env)[1])
    assert [each["id"] for each in document["drained"]] == [
        f"dc1/test-node/{stage.service}-anna"
    ]
    assert console("undrain", anna, env=env)[0] == 0
    assert console("eject", anna, env=env)[0] == 0
    code, _, errors = console("eject", anna, env=env)
    assert code == 2
    assert "it is already ejected" in errors
    title = Path(f"/proc/{gateway.pid}/cmdline").read_bytes()
    assert TOKEN.encode() not in title
    assert b"lbconsul\0run\0" in title


@pytest.mark.parametrize("next_one", ["takes over", "is started"])
def test_events(stage: Stage, tmp_path: Path, next_one: str) -> None:
    """``events`` shows what was and what happens, and goes on with the next gateway."""
    port, admin = free_ports(2)
    stage.add(stage.servers[0])
    arguments = [f"--admin={admin}", f"--map={port}:{stage.service}"]
    if next_one == "takes over":
        arguments.append(f"--takeover={tmp_path / 'lb.sock'}")
    gateway = stage.gateway(*arguments, command=RUN)
    shown = tmp_path / "events"
    with ExitStack() as stack:
        output = stack.enter_context(shown.open("w"))
        process = stack.enter_context(
            subprocess.Popen(
                [COMMAND, "events", "--admin", str(admin)],
                stdout=output,
                stderr=subprocess.PIPE,
                env=environment({}),
                text=True,
            )
        )
        stack.callback(process.kill)
        about = f"  {stage.service}: {stage.service}-"
        eventually(lambda: f"{about}anna" in shown.read_text(), "it shows what was")
        stage.add(stage.servers[1])
        eventually(lambda: f"{about}bert" in shown.read_text(), "it shows what is")
        if next_one == "is started":
            gateway.stop()
        gateway = stage.gateway(*arguments, command=RUN)
        again = f"{admin}: connected again after "
        eventually(lambda: again in shown.read_text(), "it has found the next one")
        stage.add(stage.servers[2])
        eventually(lambda: f"{about}carl" in shown.read_text(), "it goes on")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
        assert (process.returncode, errors) == (0, "")
    lines = [each.partition("  ") for each in shown.read_text().splitlines()]
    notices = [rest or first for first, _, rest in lines if first.startswith("--")]
    ended, found, restarted, unknown = notices
    assert ended.startswith(f"{admin}: the stream of events has ended")
    assert found.startswith(again)
    assert restarted == "-- the gateway was restarted"
    assert unknown.startswith("what the former gateway reported after its event ")


def test_interrupted_events(stage: Stage, tmp_path: Path) -> None:
    """Ctrl-C ends ``events`` without a word."""
    port, admin = free_ports(2)
    stage.add(stage.servers[0])
    stage.gateway(f"--admin={admin}", f"--map={port}:{stage.service}", command=RUN)
    command = [str(COMMAND), "events", "--json", "--admin", str(admin)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment({})
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["kind"] == "joined"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, b"")


def test_drain_the_gateway(stage: Stage, consul: ConsulAgent) -> None:
    """``drain --gateway`` ends the gateway, as SIGTERM does."""
    port, admin = free_ports(2)
    stage.add(stage.servers[0])
    env = {"LBCONSUL_ADMIN": str(admin), "LBCONSUL_ADMIN_TOKEN": TOKEN}
    told = ["--consul", f"127.0.0.1:{consul.port}"]
    gateway = stage.gateway(
        f"--admin={admin}", f"--map={port}:{stage.service}", *told, command=RUN, env=env
    )
    assert console("drain", "--gateway", env=env)[0] == 0
    assert gateway.wait_until_gone().closed == 0


def test_check_online(stage: Stage, consul: ConsulAgent) -> None:
    """``check --online`` says what Consul has, and what it has not."""
    stage.add(stage.servers[0])
    place = f"--consul=127.0.0.1:{consul.port}"
    code, said, errors = console("check", "--online", place, f"80:{stage.service}")
    assert (code, errors) == (0, "")
    assert f"80:{stage.service}" in said
    code, _, errors = console("check", "--online", place, "80:no-such-service")
    assert code == 1
    assert errors.startswith("lbconsul: 80:no-such-service: ")


@pytest.mark.parametrize(
    ("words", "env", "error"),
    [
        (["80:web", "80:web"], {}, "--map 80:web: 0.0.0.0:80 is taken by --map 80:web"),
        ([], {"MAP": "80x:web"}, "LBCONSUL_MAP 80x:web: port '80x' must be a number"),
        (
            [],
            {"POLCY": "x"},
            "unknown variable LBCONSUL_POLCY; did you mean LBCONSUL_P",
        ),
        (["80:a", "--tag=x"], {}, "--tag=x: options come before 80:a"),
        (["--reactor=x", "80:a"], {}, "The specified reactor does not exist: 'x'. See"),
        (["--uid=no-one", "80:a"], {}, "--uid no-one: no such user"),
        (["80:a"], {"GID": "no-one"}, "LBCONSUL_GID no-one: no such group"),
        (["80:a"], {"SYSLOG": "x"}, "LBCONSUL_SYSLOG x: must be on or off"),
        (["80:a"], {"UMASK": "x"}, "Parameter type enforcement failed"),
    ],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_mistakes(
    command: str, words: list[str], env: dict[str, str], error: str
) -> None:
    """A mistake is one line with the option or the variable, and exit status 1."""
    variables = {f"LBCONSUL_{name}": text for name, text in env.items()}
    code, said, errors = console(command, *words, env=variables)
    assert (code, said) == (1, "")
    assert errors.startswith(f"lbconsul: {error}")
    assert errors.count("\n") == 1


def test_signal_while_starting(gateway: StartGateway, tmp_path: Path) -> None:
    """A pid file is written only on request, and a start can be ended at any time."""
    port, closed = free_ports(2)
    pidfile = tmp_path / "lb.pid"
    one = gateway(
        *("--consul", f"127.0.0.1:{closed}", "--pidfile", str(pidfile)),
        f"{port}:web",
        wait="listening",
        command=RUN,
    )
    assert int(pidfile.read_text()) == one.pid
    one.stop()
    assert not pidfile.exists()


def test_two_tokens_over_tls(stage: Stage, consul: ConsulAgent, tmp_path: Path) -> None:
    """
    Prometheus and the commands read over TLS with the token for that; only the other
    token orders.  Neither is in a log, a process's title, the status or a worker.
    """
    port, number, own = free_ports(3)
    authority = Authority(tmp_path)
    issued = authority.issue("lb.example", "127.0.0.1")
    pem = together(tmp_path / "admin.pem", issued.cert, issued.key)
    stage.add(stage.servers[0])
    looks = tmp_path / "looks"
    looks.touch(0o600)
    looks.write_text("looks-only")
    admin = f"https://127.0.0.1:{number}"
    env = {
        "LBCONSUL_ADMIN": f"0.0.0.0:{number}",
        "LBCONSUL_ADMIN_TLS": pem,
        "LBCONSUL_ADMIN_TOKEN": TOKEN,
        "LBCONSUL_ADMIN_READ_TOKEN": "looks-only",
    }
    told = ["--consul", f"127.0.0.1:{consul.port}", "--workers=2"]
    gateway = stage.gateway(
        f"--map={port}:{stage.service}",
        f"--admin=0.0.0.0:{number}",
        *told,
        command=RUN,
        env=env,
    )
    to = ("--admin", admin, "--admin-ca", authority.file)
    code, _, errors = console("status", *to)
    assert (code, "needs the token of --admin-read-token-file" in errors) == (2, True)
    reading = (*to, "--admin-token-file", str(looks))
    code, said, _ = console("status", "--json", *reading)
    assert (code, TOKEN in said, "looks-only" in said) == (0, False, False)
    anna = f"{stage.service}-anna@test-node"
    with subprocess.Popen(
        [COMMAND, "events", "--json", *reading],
        stdout=subprocess.PIPE, env=environment({}),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["kind"]
        process.send_signal(signal.SIGINT)
    code, _, errors = console("drain", anna, *reading)
    assert (code, "this token only reads" in errors) == (2, True)
    # As with docker exec: the environment is the gateway's.
    assert console("drain", anna, env=env)[0] == 0
    assert "draining" in console("status", env=env)[1]

    config = tmp_path / "prometheus.json"
    job = {
        "job_name": "lbconsul",
        "scheme": "https",
        "tls_config": {"ca_file": authority.file},
        "authorization": {"credentials_file": str(looks)},
        "static_configs": [{"targets": [f"127.0.0.1:{number}"]}],
    }
    config.write_text(
        json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]})
    )
    with scraping(own, config, tmp_path) as value:
        eventually(lambda: value("lbconsul_ready") == "1", "Prometheus reads")

    status = json.loads(console("status", "--json", env=env)[1])
    workers = [each["pid"] for each in status["gateway"]["workers"]]
    assert len(workers) == 2
    files = [f"/proc/{pid}/cmdline" for pid in (gateway.pid, *workers)]
    files += [f"/proc/{pid}/environ" for pid in workers]
    shown = [Path(each).read_bytes() for each in files]
    gateway.stop()
    shown.append((gateway.home / "gateway.log").read_bytes())
    for each in shown:
        assert TOKEN.encode() not in each
        assert b"looks-only" not in each


@contextmanager
def scraping(
    port: int, config: Path, folder: Path
) -> Iterator[Callable[[str], str | None]]:
    """A Prometheus with this configuration: a metric's latest value, by its name."""
    command = [
        needed("prometheus", "prometheus"),
        f"--config.file={config}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
    ]

    def value(name: str) -> str | None:
        url = f"http://127.0.0.1:{port}/api/v1/query?query={name}"
        with suppress(OSError), urlopen(url, timeout=PATIENCE) as answer:
            for each in json.load(answer)["data"]["result"]:
                return str(each["value"][1])
        return None

    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield value
        finally:
            process.terminate()
            process.wait()
