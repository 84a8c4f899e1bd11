"""Namespaces for a row, which end with whatever is in them."""

import functools
import os
import resource
import subprocess
from pathlib import Path


def command() -> list[str]:
    """What to put before a command line to run it in namespaces of its own.

    It is the first process there: when it ends the kernel kills all others, and
    when ``unshare`` is killed so is it.  Who is not root becomes it, inside.
    """
    own = ["--net", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"]
    root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *root, *own]


@functools.cache
def obstacle() -> str:
    """Why there are no such namespaces here; empty if there are."""
    done = subprocess.run([*command(), "true"], capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else ""


def raise_limit() -> int:
    """Raise our limit of descriptors, which all that we start inherit; what it is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(hard, int(Path("/proc/sys/fs/nr_open").read_text()))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (ValueError, PermissionError):  # root may be without the right
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return hard
    return most


def settle() -> None:
    """Once inside: loopback works, and descriptors are as many as may be."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    raise_limit()
