"""systemd as process 1 of a container: this machine's files, and none of its processes.

It needs root, systemd, systemd-nspawn and overlayfs.  The container's network is this
machine's, so that tests reach what listens there.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.support.binaries import REPOSITORY
from tests.support.waiting import PATIENCE, eventually

#: The container's Python and libraries are this process's.
PYTHON, _LIBRARIES = "/mnt/python", "/mnt/libraries"

#: What the files of the container are made of.
_MOUNT = """
mount -t tmpfs tmpfs "$0/layers"
mkdir "$0/layers/changes" "$0/layers/work" "$0/layers/root"
options="lowerdir=/,upperdir=$0/layers/changes,workdir=$0/layers/work"
mount -t overlay overlay -o "$options" "$0/layers/root"
cp -a "$0/files/." "$0/layers/root/"
exec "$@"
"""

#: An installed lbconsul, in a directory of its own.
_PROGRAM = f"""#!{PYTHON}/bin/python3
import os, sys
here = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path[:0] = [here, "{_LIBRARIES}"]
from lbconsul.console.main import main
sys.exit(main())
"""


def missing() -> str:
    """What this machine lacks; empty if it has all that is needed."""
    if os.geteuid():
        return "root"
    for each in ("systemd-nspawn", "unshare", "nsenter"):
        if shutil.which(each) is None:
            return each
    if not Path("/lib/systemd/systemd").exists():
        return "systemd"
    return "" if _cgroups() else "cgroup2"


def _cgroups() -> Path | None:
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None


class Machine:
    """A container, from its start as a context manager to its end.

    Put files in `files` before: they are the container's, as `/etc/...` and so on.
    """

    def __init__(self, home: Path, name: str) -> None:
        self.home, self.name = home, name
        self.files = home / "files"
        self.files.mkdir(parents=True)
        cgroups = _cgroups()
        assert cgroups is not None
        self._cgroup = cgroups / name
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Give the container a file, before it starts or while it runs."""
        root = Path(f"/proc/{self._leader()}/root") if self._leader() else self.files
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)

    def install(self, folder: str, version: str) -> None:
        """Install lbconsul there, before the start: this code as of a version."""
        place = self.files / folder.lstrip("/")
        code = place / "lbconsul"
        shutil.copytree(
            REPOSITORY / "lbconsul", code, ignore=shutil.ignore_patterns("__pycache__")
        )
        (code / "version.py").write_text(
            f'"""A version."""\n__version__ = "{version}"\n'
        )
        self.write(f"{folder}/bin/lbconsul", _PROGRAM, 0o755)

    def __enter__(self) -> Self:
        (self.home / "layers").mkdir()
        self._cgroup.mkdir()
        command = [
            *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit"),
            *("--kill-signal=SIGRTMIN+4", "--resolv-conf=off", "--timezone=off"),
            f"--machine={self.name}",
            f"--directory={self.home}/layers/root",
            f"--bind-ro={sys.base_prefix}:{PYTHON}",
            f"--bind-ro={sysconfig.get_path('purelib')}:{_LIBRARIES}",
            *("--boot", "systemd.unit=sysinit.target"),
        ]
        with (self.home / "console").open("wb") as console:
            self._process = subprocess.Popen(
                [
                    *("unshare", "--mount", "--propagation", "private"),
                    *("sh", "-ec", _MOUNT, str(self.home), *command),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env=os.environ | {"UNIFIED_CGROUP_HIERARCHY": "1"},
                preexec_fn=self._enter_cgroup,
            )
        try:
            eventually(self._is_up, "systemd is up")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _enter_cgroup(self) -> None:
        (self._cgroup / "cgroup.procs").write_text("0")

    def _is_up(self) -> bool:
        process = self._process
        assert process is not None
        assert process.poll() is None, (self.home / "console").read_text()
        return (
            bool(self._leader())
            and self.run("systemctl is-active sysinit.target") == "active"
        )

    def _leader(self) -> str:
        """The process that is number 1 in the container."""
        try:
            inside = self._cgroup / "payload/init.scope/cgroup.procs"
            return inside.read_text().split()[0]
        except (OSError, IndexError):
            return ""

    def run(self, command: str, *, check: bool = False) -> str:
        """What a command says in the container."""
        ran = subprocess.run(
            [
                *("nsenter", "--target", self._leader()),
                *("--mount", "--pid", "--uts", "--ipc", "--cgroup"),
                *("sh", "-c", f"{command} 2>&1"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE * 4,
            check=False,
        )
        if check and ran.returncode:
            log = self.run("journalctl --no-pager --output=cat --lines=20")
            raise AssertionError(f"{command}: {ran.stdout}; the journal:\n{log}")
        return ran.stdout.strip()

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """What systemd knows of a unit."""
        names = " ".join(f"--property={each}" for each in properties)
        said = self.run(f"systemctl show {names} {shlex.quote(unit)}")
        return dict(line.split("=", 1) for line in said.splitlines())

    def journal(self, unit: str) -> str:
        """The log of a unit, and what systemd says of it."""
        return self.run(f"journalctl --no-pager --output=short-monotonic --unit={unit}")

    def _end(self) -> None:
        process = self._process
        if process is None:
            return
        leader = self._leader()
        if leader:
            os.kill(int(leader), signal.SIGKILL)  # the kernel ends all that is inside
        else:
            process.kill()
        process.wait(PATIENCE)
        for folder, _, _ in os.walk(self._cgroup, topdown=False):
            with suppress(OSError):
                os.rmdir(folder)
