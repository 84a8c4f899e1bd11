"""The packages of the image: pinned, with hashes, and those that the project wants."""

import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lbconsul.version import __version__
from tests.support.binaries import REPOSITORY

ANEW = "make pin writes it anew"

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())

#: What markers are evaluated for: each Python of the classifiers.
PYTHONS = [
    each.rpartition(" ")[2]
    for each in PROJECT["project"]["classifiers"]
    if re.search(r":: 3\.\d+$", each)
]


def _pins(name: str) -> dict[str, tuple[Requirement, list[str]]]:
    """The packages of a file by their names, each with its hashes."""
    text = (REPOSITORY / "docker" / name).read_text().replace("\\\n", " ")
    lines = [each for each in text.splitlines() if not each.startswith("#")]
    pins: dict[str, tuple[Requirement, list[str]]] = {}
    for each in lines:
        requirement, *hashes = each.split("--hash=sha256:")
        found = Requirement(requirement.strip())
        pins[canonicalize_name(found.name)] = found, [one.strip() for one in hashes]
    assert len(pins) == len(lines)
    return pins


@pytest.mark.parametrize("name", ["requirements.txt", "build-requirements.txt"])
def test_pinned(name: str) -> None:
    """Each package has one version, with the hashes of its files."""
    for pin, hashes in _pins(name).values():
        assert [each.operator for each in pin.specifier] == ["=="], pin
        assert hashes, pin
        assert all(re.fullmatch("[0-9a-f]{64}", each) for each in hashes), pin


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("requirements.txt", PROJECT["project"]["dependencies"]),
        ("build-requirements.txt", PROJECT["build-system"]["requires"]),
    ],
)
def test_project(name: str, wanted: list[str]) -> None:
    """Each package that pyproject.toml names is there, in a version that it allows."""
    pins = _pins(name)
    for each in map(Requirement, wanted):
        key = canonicalize_name(each.name)
        assert key in pins, f"{each} is not in docker/{name}: {ANEW}"
        [pin] = pins[key][0].specifier
        allowed = each.specifier.contains(pin.version)
        assert allowed, f"docker/{name} has {pins[key][0]}, not {each}: {ANEW}"


def test_packages_of_packages() -> None:
    """What those packages need is there, too, as far as the same versions are here."""
    pins = _pins("requirements.txt")
    for name, (pin, _) in pins.items():
        try:
            here = distribution(name)
        except PackageNotFoundError:  # it is for another platform
            continue
        if pin.specifier.contains(here.version):
            missing = set(_names(here.requires or ())) - set(pins)
            assert not missing, f"{pin} needs {missing}: {ANEW}"


def _names(texts: Iterable[str]) -> Iterable[str]:
    for each in map(Requirement, texts):
        if each.marker is None or any(
            each.marker.evaluate({"extra": "", "python_version": python})
            for python in PYTHONS
        ):
            yield canonicalize_name(each.name)


def test_version() -> None:
    """The label of the image says which version it has."""
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    found: Any = re.search(r'image\.version="([^"]+)"', dockerfile)
    assert found[1] == __version__
