"""Build the image for real, run it beside a real Consul, and ask through it.

    python3 -m tests.image [BASE]

BASE is what buildah can pull, such as docker-archive:FILE.  Without it the image
stands on the one that the Dockerfile names or, where no registry has that, on
a Debian that debootstrap makes.  Each line ``ok: ...``
has been shown by running it; the first thing that is not so ends the test.

It needs root, buildah, perhaps debootstrap, and a Consul binary.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterator

from tests.image.base import base_for
from tests.image.buildah import Buildah
from tests.image.checks import (
    balances,
    carries_nothing_else,
    costs_nothing_at_start,
    keeps_its_files,
    lives_without_privileges,
    refuses,
    serves_tls,
    speaks_twistd,
)
from tests.image.failed import Failed
from tests.image.in_production import is_administered, is_hardened
from tests.image.pip_settings import as_file, local_paths, pip_settings
from tests.image.site import Site
from tests.support.binaries import REPOSITORY, find_consul

IMAGE = "localhost/lbconsul"


def main(arguments: list[str]) -> int:
    """Run every check and return the exit status."""
    passed = 0
    try:
        for shown in run(*arguments):
            passed += 1
            print(f"ok: {shown}", flush=True)
    except Failed as failure:
        print(f"FAILED: {failure}\n{passed} passed, 1 failed", flush=True)
        return 1
    print(f"{passed} passed, 0 failed")
    return 0


def run(base: str = "") -> Iterator[str]:
    """Build, then check: each thing that was shown, as it was."""
    consul = consul_where_all_is_there()
    with Buildah() as buildah:
        chosen = buildah.pull(base) if base else base_for(dockerfile_base(), buildah)
        build(buildah, chosen)
        yield "the image builds"
        with buildah.container(IMAGE) as container, Site(consul) as site:
            yield from carries_nothing_else(container)
            with keeps_its_files(container):
                yield from balances(container, site)
                yield from speaks_twistd(container, site)
                yield from lives_without_privileges(container, site)
                yield from is_hardened(container, site)
                yield from is_administered(container, site)
                yield from serves_tls(container, site)
                yield from costs_nothing_at_start(container, site)
                yield from refuses(container)
            yield "all that left its files as they were: no pid file, no cache"


def consul_where_all_is_there() -> str:
    """The Consul binary, or a failure that says what is missing and how to get it."""
    if os.geteuid() != 0:
        raise Failed("the image can only be built and run as root here")
    if not shutil.which("buildah"):
        raise Failed("no buildah: apt-get install buildah")
    consul = find_consul()
    if consul is None:
        raise Failed(
            "no Consul: set $CONSUL to a binary, or scripts/fetch-consul .cache/consul"
        )
    return consul


def dockerfile_base() -> str:
    """The base that the Dockerfile names."""
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    named = re.search(r"^ARG BASE=(\S+)$", dockerfile, re.MULTILINE)
    if named is None:
        raise Failed("the Dockerfile names no BASE")
    return named[1]


def build(buildah: Buildah, base: str) -> None:
    """Build the image, with what pip needs on this machine.

    The first stage is built by itself and handed to the second as its named
    context, since a folder that is mounted for pip leaves an empty one behind
    in every stage.
    """
    settings = pip_settings()
    pip_conf = buildah.home / "pip.conf"
    pip_conf.write_text(as_file(settings))
    options = [f"--volume={path}:{path}:ro" for path in sorted(local_paths(settings))]
    options += ["--target=build", f"--secret=id=pip,src={pip_conf}"]
    stage = f"{IMAGE}-build"
    buildah.build(REPOSITORY, base, stage, *options)
    context = f"--build-context=build=container-image://{stage}"
    buildah.build(REPOSITORY, base, IMAGE, context)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
