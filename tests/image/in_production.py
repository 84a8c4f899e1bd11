"""The checks of how the image is run in production: hardened, and observed."""

import os
import re
import signal
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

from tests.image.buildah import Container
from tests.image.checks import BOTH, DOCKER_STOP, must, must_serve, status
from tests.image.site import SERVICE, Site, soon
from tests.support.ports import free_ports


def is_hardened(container: Container, site: Site) -> Iterator[str]:
    """It needs no file that it may write, no capability, and no privilege."""
    (port,) = free_ports(1)
    given = ("--workers=2", site.consul, f"{port}:{SERVICE},mode=http")
    with container.start_hardened(*given) as running:
        must_serve(port, BOTH, running)
        process = status(running)
        shown = process["NoNewPrivs"], int(process["CapBnd"], 16), process["Uid"]
        user = container.settings["User"].split(":")[0]
        must(shown == ("1", 0, "\t".join([user] * 4)), f"it has {shown}", running)
        ended = running.terminate(DOCKER_STOP)
        must(ended == 0, f"SIGTERM ended it with {ended}", running)
    yield "it serves read-only, without capabilities and new privileges"


def is_administered(container: Container, site: Site) -> Iterator[str]:
    """Its environment opens the admin listener, to those who have a token."""
    port, admin = free_ports(2)
    env = (
        f"--env=LBCONSUL_ADMIN=0.0.0.0:{admin}",
        "--env=LBCONSUL_ADMIN_READ_TOKEN=looks",
        "--env=LBCONSUL_ADMIN_TOKEN=orders",
    )
    given = ("--workers=2", site.consul, f"{port}:{SERVICE}")
    with container.start(*given, options=env) as running:
        must_serve(port, BOTH, running)
        soon(lambda: answer(admin, "/readyz") == 200)
        codes = [answer(admin, "/readyz"), answer(admin, "/"), answer(admin, "/status")]
        codes += [answer(admin, "/metrics", each) for each in ("looks", "orders")]
        codes.append(answer(admin, "/drain", "looks", "POST"))
        expected = [200, 200, 401, 200, 200, 403]
        must(codes == expected, f"it answers with {codes}, not {expected}", running)
        yield "its environment opens status and metrics to those who have a token"

        shown = container.call("lbconsul", "status", options=env)
        must(shown.returncode == 0, f"status ends with {shown}", running)
        yield "`lbconsul status` in the container needs no option"

        pid = running.inner_pid()
        for each in (pid, *workers(pid)):
            seen = Path(f"/proc/{each}/cmdline").read_bytes()
            if each != pid:
                seen += Path(f"/proc/{each}/environ").read_bytes()
            must(not re.search(rb"looks|orders", seen), f"a token is in {seen!r}")
        must(not re.search("looks|orders", running.log()), "a token is in the log")
        yield "no token is in a log, a process's title, or a worker's environment"

        must(healthy(container, env), "it calls itself unhealthy", running)
        os.kill(pid, signal.SIGSTOP)
        try:
            must(not healthy(container, env), "it is healthy while it is stopped")
        finally:
            os.kill(pid, signal.SIGCONT)
        yield "it calls itself unhealthy while it listens, but does not answer"


def healthy(container: Container, options: tuple[str, ...]) -> bool:
    """What the HEALTHCHECK says of a gateway with this environment."""
    command = container.settings["Healthcheck"]["Test"][1:]
    return container.call(*command, options=options).returncode == 0


def workers(pid: int) -> list[int]:
    """The children of a gateway, which are its workers."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    must(len(children) == 2, f"it has the children {children}")
    return list(map(int, children))


def answer(port: int, path: str, token: str = "", method: str = "GET") -> int:
    """The status of an answer of the admin listener; 0 for none."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        connection.request(method, path, headers=headers)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()
