"""Build, run and look into images with buildah, apart from the machine's own.

Containers run under chroot isolation: it needs no cgroups and no network of
its own, so that it works inside of another container, and what runs there
shares the network of this machine.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from tests.image.failed import Failed

#: How long building may take, and anything else, in seconds.
BUILD = 900.0
SHORT = 180.0

#: What buildah itself says when the command in a container ends.
OWN_WORDS = ("subprocess exited", "Error: exit status")

#: Makes a command process 1, as Docker does, and lets go of what that took; the
#: user is to follow.
AS_INIT = (
    *("unshare", "--pid", "--fork", "--kill-child", "--mount-proc"),
    *("setpriv", "--bounding-set=-sys_admin", "--clear-groups"),
)


#: Runs a command as Docker does with ``--read-only --cap-drop ALL --security-opt
#: no-new-privileges``, in the folder of the container's files.
HARDENED = """
set -e
root=$1 user=$2 group=$3
shift 3
mount --make-rprivate /
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -o remount,bind,ro "$root"
exec chroot "$root" setpriv --no-new-privs --bounding-set=-all --inh-caps=-all \
    --clear-groups --reuid="$user" --regid="$group" "$@"
"""


class Buildah:
    """Buildah with a storage of its own, which is gone after the `with` block."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="lbconsul-image-"))
        self.options = ["buildah", "--storage-driver=vfs"]
        self.options += [f"--root={self.home}/root", f"--runroot={self.home}/run"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run([*self.options, "rm", "--all"], capture_output=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def __call__(self, *arguments: str | Path, timeout: float = SHORT) -> str:
        """Run one command of buildah and return what it prints."""
        done = subprocess.run(
            [*self.options, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        if done.returncode:
            raise Failed(f"buildah {arguments[0]} failed:\n{done.stdout[-6000:]}")
        return done.stdout.strip()

    def pull(self, name: str) -> str:
        """Fetch an image from a registry, or an archive of one; return its id."""
        return self("pull", "--quiet", name, timeout=BUILD)

    def import_archive(self, archive: Path, name: str) -> None:
        """Make an image of the files in a tar archive."""
        container = self("from", "scratch")
        self("add", "--quiet", container, archive, "/")
        self("commit", "--quiet", "--rm", container, name)

    def build(self, context: Path, base: str, name: str, *options: str) -> None:
        """Build what the Dockerfile in `context` describes, on an image at hand."""
        how = ["--isolation=chroot", "--format=docker", "--pull=never"]
        how += [f"--build-arg=BASE={base}", f"--tag={name}"]
        self("build", *how, *options, context, timeout=BUILD)

    @contextmanager
    def container(self, image: str) -> Iterator["Container"]:
        """A container of `image`, which is removed in the end."""
        name = self("from", "--pull-never", image)
        inspected = json.loads(self("inspect", "--type=image", image))
        try:
            yield Container(self, name, inspected["Docker"]["config"])
        finally:
            self("rm", name)


class Container:
    """A container: its `settings` are the image's, as Docker's format has them."""

    def __init__(
        self, buildah: Buildah, name: str, settings: Mapping[str, Any]
    ) -> None:
        self.settings = settings
        self.files = Path(buildah("mount", name))
        self._run = [*buildah.options, "run", "--isolation=chroot"]
        self._name = name

    def command(self, *arguments: str) -> list[str]:
        """What the image runs when it is given these arguments."""
        return [
            *self.settings["Entrypoint"],
            *(arguments or self.settings["Cmd"] or ()),
        ]

    def call(
        self, *command: str, options: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it until the command ends."""
        done = subprocess.run(
            [*self._run, *options, self._name, "--", *command],
            capture_output=True,
            text=True,
            timeout=SHORT,
        )
        said = done.stderr.splitlines()
        done.stderr = "\n".join(
            line for line in said if line and not line.startswith(OWN_WORDS)
        )
        return done

    def start(
        self, *arguments: str, options: tuple[str, ...] = (), as_init: bool = False
    ) -> "Running":
        """Run what the image runs; `as_init` makes it process 1."""
        around: list[str] = []
        if as_init:
            user, _, group = self.settings["User"].partition(":")
            options = (*options, "--user=0:0", "--cap-add=CAP_SYS_ADMIN")
            around = [*AS_INIT, f"--reuid={user}", f"--regid={group}"]
        inner = [*around, *self.command(*arguments)]
        return Running([*self._run, *options, self._name, "--", *inner])

    def start_hardened(self, *arguments: str) -> "Running":
        """Run what the image runs, with nothing that Docker can take from it."""
        user, _, group = self.settings["User"].partition(":")
        return Running(
            [
                *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
                *("env", "-i", *self.settings["Env"]),
                *("sh", "-c", HARDENED, "sh", str(self.files), user, group),
                *self.command(*arguments),
            ]
        )


class Running:
    """A command that runs in a container, with what it prints."""

    def __init__(self, command: list[str]) -> None:
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.has_ended:
            self._kill()
        self._output.close()

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more."""
        return self._process.poll() is not None

    def log(self) -> str:
        """All that it printed so far."""
        return os.pread(self._output.fileno(), 1 << 20, 0).decode(errors="replace")

    def inner_pid(self) -> int:
        """The process in the container, below those that buildah puts around it."""
        for pid in _descendants(self._process.pid):
            with suppress(FileNotFoundError):
                if "python" in os.readlink(f"/proc/{pid}/exe"):
                    return pid
        raise Failed(f"nothing runs in the container:\n{self.log()}")

    def terminate(self, within: float) -> int:
        """Send SIGTERM to the process in the container; return its exit status."""
        os.kill(self.inner_pid(), signal.SIGTERM)
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise Failed(
                f"still running {within:.0f} s after SIGTERM:\n{self.log()}"
            ) from None

    def _kill(self) -> None:
        """End it at once: first what runs inside, which would outlive buildah."""
        with suppress(Failed, ProcessLookupError):
            os.kill(self.inner_pid(), signal.SIGKILL)
        try:
            self._process.wait(SHORT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _descendants(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            yield child
            yield from _descendants(child)
