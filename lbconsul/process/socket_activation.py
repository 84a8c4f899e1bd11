"""The sockets that systemd passes to the process at its start: sd_listen_fds(3)."""

import os
from pathlib import Path

from twisted.python.systemd import ListenFDs


def passed_sockets() -> dict[str, int]:
    """The descriptors that systemd passed, by FileDescriptorName and by number.

    Twisted's endpoints remove systemd's variables from `os.environ` when they are
    imported, so this function reads them from /proc/self/environ.
    """
    at_start = Path("/proc/self/environ")
    lines = at_start.read_text(errors="replace") if at_start.exists() else ""
    variables = dict(each.split("=", 1) for each in lines.split("\0") if "=" in each)
    variables |= os.environ
    if variables.get("LISTEN_FDS", "").isdecimal():
        # systemd always names the sockets, systemd-socket-activate does not.
        unnamed = ":".join(["unknown"] * int(variables["LISTEN_FDS"]))
        variables.setdefault("LISTEN_FDNAMES", unnamed)
    listen = ListenFDs.fromEnvironment(variables)
    numbers = {str(n): fd for n, fd in enumerate(listen.inheritedDescriptors())}
    return numbers | listen.inheritedNamedDescriptors()
