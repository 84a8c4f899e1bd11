"""The checks: each says, line by line, what it has just seen to be so."""

import os
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPSConnection
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.image.buildah import Container, Running
from tests.image.failed import Failed
from tests.image.site import SERVICE, Site, free_low_port, serving, soon
from tests.support.certificates import Authority, together
from tests.support.ports import free_ports

#: How long Docker waits after SIGTERM before it kills, in seconds.
DOCKER_STOP = 10.0

#: cap_net_bind_service in a set of capabilities, as /proc shows it.
LOW_PORTS = f"{1 << 10:016x}"

BOTH = {"one", "two"}

#: What buildah itself puts into the files of a container that it runs.
BUILDAHS = frozenset({"dev", "etc", "proc", "run", "sys"})


def must(truth: bool, otherwise: str, running: Running | None = None) -> None:
    """Fail unless it is so, with all that the container printed."""
    if not truth:
        log = f"; it printed:\n{running.log()}" if running else ""
        raise Failed(f"{otherwise}{log}")


def must_serve(port: int, names: set[str], running: Running) -> None:
    """Wait until exactly these web servers answer there."""
    soon(lambda: serving(port) == names or running.has_ended)
    found = serving(port)
    must(found == names, f"{found or 'none'} and not {names} serve {port}", running)


def carries_nothing_else(container: Container) -> Iterator[str]:
    """What can be seen of the image while it does not run."""
    settings = container.settings
    user = settings["User"]
    must(bool(re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)), f"it runs as {user!r}")
    uid = container.call("id", "-u").stdout.strip()
    must(user.startswith(f"{uid}:"), f"it runs as {uid}, not as {user}")
    yield f"it runs as {user}, not as root"

    must(isinstance(settings["Entrypoint"], list), "its entry point needs a shell")
    for label in (
        *("title", "description", "version", "url", "source", "documentation"),
        "licenses",
    ):
        name = f"org.opencontainers.image.{label}"
        must(bool(settings["Labels"].get(name)), f"it has no label {name}")
    must(settings["ExposedPorts"] == {"9200/tcp": {}}, "it does not expose port 9200")
    yield "it says what it is"

    expected = container.files / "opt" / "lbconsul"
    opt = set((container.files / "opt").iterdir())
    must(opt == {expected}, f"the build left {opt - {expected}}")
    for path in ("etc/pip.conf", "pip", "src", "root/.cache", "twistd.pid"):
        must(not (container.files / path).exists(), f"the build left /{path}")
    yield "the build left nothing behind"

    commands = {each.name for each in (expected / "bin").iterdir()}
    own = {"lbconsul", "twistd", "entrypoint", "healthcheck", "low-ports"}
    foreign = {each for each in commands - own if not each.startswith("python")}
    must(not foreign, f"it has commands of others: {foreign}")
    yield "it has no commands but its own"

    caches = list(expected.rglob("twisted/plugins/dropin.cache"))
    must(len(caches) == 1, f"plugin caches: {caches}")
    yield "Twisted's plugin cache is primed"

    must(is_healthy(container) is False, "healthy, though nothing listens")
    yield "it calls itself unhealthy while nothing listens"


def is_healthy(container: Container) -> bool:
    """What the image's HEALTHCHECK says."""
    kind, *command = container.settings["Healthcheck"]["Test"]
    must(kind == "CMD", f"its health check is {kind}, which needs a shell")
    return container.call(*command).returncode == 0


def balances(container: Container, site: Site) -> Iterator[str]:
    """The image works with the nginx image's command line."""
    port = free_low_port()
    with container.start(site.consul, f"{port}:{SERVICE}") as running:
        must_serve(port, BOTH, running)
        yield f"`{site.consul} {port}:{SERVICE}` serves port {port} from both servers"

        process = status(running)
        user = container.settings["User"].split(":")[0]
        must(set(process["Uid"].split()) == {user}, f"user {process['Uid']}", running)
        capabilities = process["CapPrm"], process["CapEff"], process["CapAmb"]
        must(set(capabilities) == {LOW_PORTS}, f"it has {capabilities}", running)
        yield "it is no root there, and may bind low ports and nothing else"

        began = time.monotonic()
        must(is_healthy(container), "it calls itself unhealthy", running)
        yield f"it calls itself healthy ({time.monotonic() - began:.1f} s)"

        site.deregister("one")
        must_serve(port, {"two"}, running)
        site.register("one")
        must_serve(port, BOTH, running)
        yield "it follows a deregistration and a registration"

        ended = running.terminate(DOCKER_STOP)
        must(ended == 0, f"SIGTERM ended it with {ended}", running)
        yield "SIGTERM ends it with status 0"
        must("Traceback" not in running.log(), "it was not quiet", running)
        must("plugin cache" not in running.log(), "the plugin cache is stale", running)
        yield "it says nothing of a plugin cache or of an error"


def status(running: Running) -> dict[str, str]:
    """What the kernel says of the process, by name."""
    lines = Path(f"/proc/{running.inner_pid()}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (x.partition(":") for x in lines)}


def speaks_twistd(container: Container, site: Site) -> Iterator[str]:
    """It takes whole twistd commands and options too; here it is process 1."""
    port = free_low_port()
    options = ("--consul", site.consul, "--map", f"{port}:{SERVICE}")
    for given in (
        ("twistd", "-n", "lbconsul", *options),
        ("lbconsul", "run", *options),
        options,
    ):
        with container.start(*given, as_init=True) as running:
            must_serve(port, BOTH, running)
            yield f"`{' '.join(given)}` serves port {port} too"
            must(status(running)["NSpid"].split()[-1] == "1", "it is not process 1")
            ended = running.terminate(DOCKER_STOP)
            must(ended == 0, f"SIGTERM ended process 1 with {ended}", running)
        yield "SIGTERM ends it with status 0 as process 1 too"


def lives_without_privileges(container: Container, site: Site) -> Iterator[str]:
    """Where the container was denied every capability, high ports still work."""
    (port,) = free_ports(1)
    denied = ("--cap-drop=ALL",)
    with container.start(site.consul, f"{port}:{SERVICE}", options=denied) as running:
        must_serve(port, BOTH, running)
        none = status(running)["CapPrm"]
        must(int(none, 16) == 0, f"it has capabilities: {none}", running)
    yield "it serves a high port without any capability"


def serves_tls(container: Container, site: Site) -> Iterator[str]:
    """The user of the image reads certificates from a folder that is mounted."""
    user = int(container.settings["User"].split(":")[0])
    with TemporaryDirectory() as name:
        folder = Path(name)
        authority = Authority(folder)
        issued = authority.issue("localhost")
        (folder / "certs").mkdir()
        pem = Path(together(folder / "certs" / "a.pem", issued.cert, issued.key))
        pem.chmod(0o400)
        os.chown(pem, user, user)
        (port,) = free_ports(1)
        given = ("--consul", site.consul, "--map", f"{port}:{SERVICE},tls=/certs")
        mounted = (f"--volume={folder}/certs:/certs:ro",)
        context = ssl.create_default_context(cafile=authority.file)
        with container.start(*given, options=mounted) as running:
            soon(lambda: answers_with_tls(port, context) or running.has_ended)
            must(answers_with_tls(port, context), "it serves no TLS", running)
    yield f"`--map {port}:{SERVICE},tls=/certs` serves TLS with a mounted folder"


def answers_with_tls(port: int, context: ssl.SSLContext) -> bool:
    """Whether a request over TLS, to a verified server, has an answer."""
    connection = HTTPSConnection("localhost", port, timeout=10, context=context)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def costs_nothing_at_start(container: Container, site: Site) -> Iterator[str]:
    """What Python imports was compiled when the image was built."""
    (port,) = free_ports(1)
    verbose = ("--env=PYTHONVERBOSE=1",)
    given = ("--workers=2", site.consul, f"{port}:{SERVICE},mode=http")
    with container.start(*given, options=verbose) as running:
        must_serve(port, BOTH, running)
        said = running.log()
    compiled = re.findall(r"^# code object from '?(\S+\.py)\b(?!c)", said, re.MULTILINE)
    cached = re.findall(r"^# code object from '?(\S+\.pyc)\b", said, re.MULTILINE)
    must(len(cached) > 100, f"only {len(cached)} modules come compiled")
    must(not compiled, f"modules are compiled at each start: {compiled}")
    yield f"the {len(cached)} modules that it imports come compiled"


def refuses(container: Container) -> Iterator[str]:
    """What is wrong ends it at once."""
    for given, told in (
        (("127.0.0.1:8500", "80:webserver,policy=fastest"), "fastest"),
        ((), "--map"),
    ):
        done = container.call(*container.command(*given))
        words = f"`{' '.join(given)}`" if given else "no argument"
        said = f"{words} ends it with {done.returncode}:\n{done.stderr}"
        must(done.returncode == 1, said)
        must(len(done.stderr.splitlines()) == 1 and told in done.stderr, said)
        yield f"{words} gives status 1 and one line: {done.stderr}"


@contextmanager
def keeps_its_files(container: Container) -> Iterator[None]:
    """Fail if what is done within the block changes a file of the container."""
    before = _files(container)
    yield
    changed = _files(container) ^ before
    must(not changed, f"running it changed {sorted(changed)[:5]}")


def _files(container: Container) -> set[tuple[str, int, int]]:
    """Every file of a container, with its size and when it was written."""
    found = set()
    for top in container.files.iterdir():
        if top.name not in BUILDAHS:
            for path in top.rglob("*"):
                stat = path.lstat()
                name = str(path.relative_to(container.files))
                found.add((name, stat.st_size, stat.st_mtime_ns))
    return found
