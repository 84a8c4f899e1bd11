"""wrk: as many requests as the other side answers."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

#: How long wrk waits for an answer, in seconds.  Its own default, two, calls
#: a large body that is still coming a failure.
_TIMEOUT = 60

#: Where wrk asks, without the port.
PLAIN = "http://127.0.0.1"

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@frozen
class Load:
    """What wrk counted."""

    #: Those that were answered with 2xx or 3xx.
    requests: int
    #: Seconds.
    duration: float
    #: Bytes that it read, also those of answers that did not end in time.
    bytes: float
    #: What went wrong, in wrk's words; empty if nothing did.
    errors: str = ""

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.duration


def parse(output: str) -> Load:
    """Read what wrk prints at its end.

    :raises ValueError: that is not it.
    """
    match = re.search(
        r"(\d+) requests in ([\d.]+)(us|ms|s|m|h), ([\d.]+)([KMGT]?)B read", output
    )
    if match is None:
        raise ValueError(f"wrk said:\n{output}")
    scale = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}[match[3]]
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    return Load(
        requests=int(match[1]) - int(refused[1] if refused else 0),
        duration=float(match[2]) * scale,
        bytes=float(match[4]) * _UNITS[match[5]],
        errors="; ".join(_errors(output)),
    )


def _errors(output: str) -> list[str]:
    found = re.findall(r"Socket errors: .*|Non-2xx or 3xx responses: \d+", output)
    return [line.strip() for line in found]


def command(
    port: int,
    path: str,
    connections: int,
    seconds: float,
    extra: Sequence[str] = (),
    origin: str = PLAIN,
) -> list[str]:
    """wrk's command line.

    One thread, however many connections: a second one changes how many answers
    are ready at once, and with it what a request costs.
    """
    return [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        f"--timeout={_TIMEOUT}s",
        *extra,
        f"{origin}:{port}/{path}",
    ]


def run(
    port: int,
    path: str,
    connections: int,
    seconds: float,
    extra: Sequence[str] = (),
    origin: str = PLAIN,
) -> Load:
    """Ask for some seconds."""
    line = command(port, path, connections, seconds, extra, origin)
    done = subprocess.run(
        line, capture_output=True, text=True, check=True, timeout=seconds + 90
    )
    return parse(done.stdout)


def script(path: Path, lua: str) -> list[str]:
    """Further arguments for wrk, so that it does what is said in Lua."""
    path.write_text(lua)
    return ["-s", str(path)]


def over_ports(path: Path, ports: Sequence[int]) -> list[str]:
    """Further arguments for wrk, so that each of its threads asks at one port."""
    known = ",".join(map(str, ports))
    return script(
        path,
        f"local ports, threads = {{{known}}}, 0\n"
        "function setup(thread)\n"
        "  local port = ports[threads % #ports + 1]\n"
        '  thread.addr = wrk.lookup("127.0.0.1", tostring(port))[1]\n'
        "  threads = threads + 1\n"
        "end\n",
    )


def behind_header(path: Path, header: bytes) -> list[str]:
    """Further arguments for wrk, so that each request goes out behind this header.

    For a header of the PROXY protocol each request has to have a new connection.  wrk
    parses the first request that it gets, to see how many it is, and sends it not.
    """
    quoted = "".join(f"\\{byte:03}" for byte in header)
    return script(
        path,
        f'local header = "{quoted}"\n'
        "local checked, behind\n"
        "function request()\n"
        "  if not checked then checked = true return wrk.format() end\n"
        "  behind = behind or header .. wrk.format()\n"
        "  return behind\n"
        "end\n",
    )
