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


def most_descriptors() -> int:
    """How many a process of ours may be allowed."""
    if os.geteuid() == 0:
        return int(Path("/proc/sys/fs/nr_open").read_text())
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def settle() -> None:
    """Once inside: loopback works, and descriptors are plenty."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    most = most_descriptors()
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
