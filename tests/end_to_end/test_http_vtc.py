"""Scenarios of HTTP/1.1 through a gateway, played by varnishtest: the files in vtc/.

Each file has a service of its own with the instances ``${s1}`` and, if it names it,
``${s2}``, and a mapping at ``${lb}``, whose options it may name: ``# options: ...``.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.end_to_end.registrar import Place, Registrar
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway
from tests.support.needed import needed
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.consul

FILES = sorted(Path(__file__).with_name("vtc").glob("*.vtc"))


class Scene(NamedTuple):
    """The ports of one file: the gateway's, and its instances'."""

    lb: int
    instances: dict[str, int]


@pytest.fixture(scope="module")
def scenes(
    consul: ConsulAgent, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Path, Scene]]:
    """What each file plays on: they share one gateway."""
    registrar, maps, scenes = Registrar(consul), [], {}
    for file in FILES:
        text, service = file.read_text(), f"vtc-{file.stem.replace('_', '-')}"
        lb, *ports = free_ports(3)
        # One that is not started refuses its connections.
        named = ("s1", "s2") if "${s2}" in text else ("s1",)
        instances = dict(zip(named, ports, strict=False))
        for name, port in instances.items():
            registrar.add(service, Place(name, port))
        options = "".join(f",{each}" for each in re.findall(r"# options: (\S+)", text))
        maps += ["--map", f"{lb}:{service},mode=http,eject-after=0{options}"]
        scenes[file] = Scene(lb, instances)
    home = tmp_path_factory.mktemp("vtc")
    told = ["--consul", f"127.0.0.1:{consul.port}", *maps]
    with Gateway(home, *told):
        yield scenes
    registrar.clean_up()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_scenario(scenes: dict[Path, Scene], file: Path) -> None:
    """A scenario comes to its end as its file has it."""
    scene = scenes[file]
    macros = [f"-Dlb=127.0.0.1:{scene.lb}"]
    macros += [f"-D{n}=127.0.0.1:{port}" for n, port in scene.instances.items()]
    played = subprocess.run(
        [needed("varnishtest", "varnish"), "-t", "20", *macros, str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )
    assert played.returncode == 0, played.stdout
