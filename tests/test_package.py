"""The package as it is published: metadata, README, change notes, and a whole sdist."""

import re
import runpy
import tomllib
from collections.abc import Callable
from fnmatch import fnmatch

import pytest

import lbconsul
from tests.support.binaries import REPOSITORY

PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]

#: What belongs to a working copy, not to a release.
IGNORED = [
    line.strip("/")
    for line in (REPOSITORY / ".gitignore").read_text().splitlines()
    if line
]


def test_licences() -> None:
    """Each licence that comes with the package is named, with its text."""
    assert PROJECT["license"] == "MIT"
    named = {REPOSITORY / each for each in PROJECT["license-files"]}
    vendored = set((REPOSITORY / "lbconsul").rglob("*LICENSE*"))
    assert named == vendored | {REPOSITORY / "LICENSE"}
    assert all("MIT" in each.read_text() for each in named)


def test_pythons() -> None:
    """The oldest Python that is allowed is the first one of the classifiers."""
    versions = re.findall(r":: (3\.\d+)\n", "\n".join(PROJECT["classifiers"]) + "\n")
    assert versions == [f"3.{minor}" for minor in range(11, 15)]
    assert PROJECT["requires-python"] == f">={versions[0]}"


@pytest.fixture
def for_elsewhere() -> Callable[[str | None], str]:
    """The README as it is outside of the repository, whose address may be known."""
    convert: Callable[[str, str | None], str]
    convert = runpy.run_path(str(REPOSITORY / "setup.py"))["with_absolute_links"]
    return lambda source: convert((REPOSITORY / "README.md").read_text(), source)


def test_links(for_elsewhere: Callable[[str | None], str]) -> None:
    """Outside of the repository the README's links lead into it."""
    source = "https://code.example/lbconsul"
    text = for_elsewhere(source)
    links = re.findall(r"\]\(([^)]*)\)", text)
    ours = [each for each in links if each.startswith(source)]
    assert len(ours) > 20
    for each in ours:
        path = re.sub(r"^/(raw|blob)/main/|#.*$", "", each.removeprefix(source))
        assert (REPOSITORY / path).exists(), each
    assert all(each.startswith(("https://", "#")) for each in links)
    assert f"![dark]({source}/raw/main/docs/screenshots/dark.png)" in text


def test_links_without_an_address(for_elsewhere: Callable[[str | None], str]) -> None:
    """Where the repository has no public address the README has no link into it."""
    text = for_elsewhere(None)
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert all(each.startswith(("https://", "#")) for each in links)
    assert "![" not in text
    assert "docs/reference.md has every option" in text


def test_urls() -> None:
    """The addresses of the project are real ones, each with the name that it has."""
    urls = PROJECT.get("urls", {})
    assert urls.keys() <= {"Documentation", "Source", "Issues", "Changelog"}
    assert not urls or "Source" in urls
    assert all(
        re.fullmatch(r"https://[^/]+\.[a-z]+/.*", each) for each in urls.values()
    )


def test_sdist_is_whole() -> None:
    """An sdist has every folder of the repository: tests, docs, examples."""
    manifest = (REPOSITORY / "MANIFEST.in").read_text().split()
    ours = [*manifest, *IGNORED, "lbconsul", "twisted", ".git"]
    left_out = {
        each.name
        for each in REPOSITORY.iterdir()
        if each.is_dir() and not any(fnmatch(each.name, one) for one in ours)
    }
    assert left_out == set()


def test_change_notes() -> None:
    """Each change note has a kind that the changelog has a heading for."""
    kinds = {each["directory"] for each in PYPROJECT["tool"]["towncrier"]["type"]}
    for note in (REPOSITORY / "changelog.d").iterdir():
        if note.name not in ("README.md", "template.md.jinja"):
            _, kind, suffix = note.name.split(".")
            assert (kind in kinds, suffix) == (True, "md"), note.name
            assert note.read_text().strip(), note.name


def test_changelog() -> None:
    """The changelog has a place for the notes of the next release."""
    start = PYPROJECT["tool"]["towncrier"]["start_string"]
    assert (REPOSITORY / "CHANGELOG.md").read_text().count(start) == 1
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {
        "attr": "lbconsul.version.__version__"
    }
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", lbconsul.__version__)
