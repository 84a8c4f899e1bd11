"""Programs that are measured: all processes of one, their CPU and their memory."""

import os
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path

from attrs import define

REPOSITORY = Path(__file__).resolve().parents[1]
PROC = Path("/proc")

#: How long a program may take to serve its first answer, and to end, in seconds.
PATIENCE = 30.0


@define
class Program:
    """A program that was started, with all the processes that it started."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    output: Path

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def cpu(self) -> float:
        """Seconds of processor time, user and system, of all its processes.

        :raises RuntimeError: it has ended.  Workers may outlive their master, so
            that its port still serves, and would cost nothing.
        """
        if not self.running:
            raise RuntimeError(f"{self.name} has ended; it said:\n{self._said()}")
        return tree_cpu(self.process.pid)

    def memory(self) -> int:
        """Bytes of resident memory, of all its processes."""
        return tree_memory(self.process.pid)

    def wait_until_serving(self, port: int | None = None, tls: bool = False) -> None:
        """Return once a request through it is answered, on its port or another.

        :raises RuntimeError: it has ended, or takes too long.
        """
        end = time.monotonic() + PATIENCE
        while not answers(port or self.port, tls=tls):
            if not self.running or time.monotonic() > end:
                raise RuntimeError(
                    f"{self.name} does not serve; it said:\n{self._said()}"
                )
            time.sleep(0.02)

    def forget_output(self) -> None:
        """Empty the file of its output: a line for each request is gigabytes in all."""
        os.truncate(self.output, 0)

    def stop(self) -> None:
        """End it, and wait until it is gone."""
        self.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE)
        # What is left of its session, which holds no other program.
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _said(self) -> str:
        return self.output.read_text(errors="replace")[-800:].strip()


def start(
    name: str,
    port: int,
    command: Sequence[str],
    home: Path,
    environment: Mapping[str, str] | None = None,
) -> Program:
    """Run a program whose output goes to a file in `home`."""
    output = home / f"{name.replace(' ', '-')}.log"
    output.unlink(missing_ok=True)
    # Appended, so that the file can be emptied meanwhile.
    with output.open("ab") as file:
        process = subprocess.Popen(
            command,
            cwd="/",
            env={
                **os.environ,
                "PYTHONPATH": str(REPOSITORY),
                **(environment or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for the bench: it ends its programs itself.
            start_new_session=True,
        )
    return Program(name, port, process, output)


def answers(port: int, path: str = "/small", *, tls: bool = False) -> bool:
    """Whether a request to a port of loopback is answered with a 200."""
    with closing(client(port, 2, tls=tls)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False


def client(port: int, timeout: float, *, tls: bool = False) -> HTTPConnection:
    """A client of a port of loopback, which is not connected yet."""
    if tls:
        return HTTPSConnection("localhost", port, timeout=timeout, context=unverified())
    return HTTPConnection("127.0.0.1", port, timeout=timeout)


def unverified() -> ssl.SSLContext:
    """A TLS client that trusts any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def tree_cpu(pid: int, proc: Path = PROC) -> float:
    """Seconds of processor time of a process and of all that descend from it.

    The time of a process that ended is in its parent's, once that has waited.
    """
    ticks = 0
    for each in tree(pid, proc):
        fields = _read(proc / str(each) / "stat").rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def tree_memory(pid: int, proc: Path = PROC) -> int:
    """Resident bytes of a process and its descendants.

    What forked processes share is counted for each of them.
    """
    pages = 0
    for each in tree(pid, proc):
        fields = _read(proc / str(each) / "statm").split()
        pages += int(fields[1]) if fields else 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def tree(pid: int, proc: Path = PROC) -> Iterator[int]:
    """A process and all that descend from it."""
    yield pid
    # A child belongs to the thread that made it.
    for thread in (proc / str(pid) / "task").glob("*"):
        for child in _read(thread / "children").split():
            yield from tree(int(child), proc)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):  # it ended just now
        return ""
