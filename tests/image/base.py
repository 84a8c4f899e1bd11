"""A base for the image where no registry of images can be reached.

It is Debian as small as debootstrap makes it, of this machine's own release
and from the mirror that apt uses here, with Python.
"""

import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.image.buildah import Buildah
from tests.image.failed import Failed
from tests.support.binaries import REPOSITORY

CACHE = REPOSITORY / ".cache" / "image-base"
OWN = "localhost/debian-with-python"

PACKAGES = ("ca-certificates", "python3", "python3-venv")

#: What debootstrap leaves and the image has no use for.
NEEDLESS = (
    "./dev/*",
    "./usr/share/doc/*",
    "./usr/share/locale/*",
    "./usr/share/man/*",
    "./var/cache/apt/*",
    "./var/lib/apt/lists/*",
    "./var/log/*",
)


def base_for(named: str, buildah: Buildah) -> str:
    """The image `named` if a registry has it, else the Debian of our own."""
    try:
        return buildah.pull(named)
    except Failed:
        print(f"{named} is not to be had: on a Debian by debootstrap", flush=True)
    buildah.import_archive(_debian(CACHE), OWN)
    return OWN


def _debian(cache: Path) -> Path:
    """The base as a tar archive in the folder `cache`, made if it is not there."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    archive = cache / f"{release}.tar"
    if not archive.exists():
        if not shutil.which("debootstrap"):
            raise Failed(
                "neither a registry of images nor debootstrap is there:"
                " apt-get install debootstrap"
            )
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="lbconsul-base-") as made:
            _make(release, Path(made), archive)
    return archive


def _make(release: str, made: Path, archive: Path) -> None:
    root = made / "root"
    with (made / "log").open("w+") as log:
        what = ["--variant=minbase", f"--include={','.join(PACKAGES)}", release]
        bootstrap = subprocess.run(
            ["debootstrap", *what, str(root), _mirror(release)],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        if bootstrap.returncode:
            log.seek(0)
            raise Failed(f"debootstrap failed:\n{log.read()[-4000:]}")
    excluded = [f"--exclude={pattern}" for pattern in NEEDLESS]
    unfinished = archive.with_suffix(f".{os.getpid()}")
    tar = [
        "tar",
        "-C",
        str(root),
        *excluded,
        "--numeric-owner",
        "-cf",
        str(unfinished),
        ".",
    ]
    subprocess.run(tar, check=True)
    unfinished.rename(archive)


def _mirror(release: str) -> str:
    """The mirror of `release` that apt is configured with on this machine."""
    query = ["--format", "$(CODENAME) $(REPO_URI)", "Identifier: Packages"]
    targets = subprocess.run(
        ["apt-get", "indextargets", *query], capture_output=True, text=True
    )
    for line in targets.stdout.splitlines():
        codename, _, uri = line.partition(" ")
        if codename == release:
            return uri
    raise Failed(f"apt knows no mirror of {release!r} here: run apt-get update")
