"""The plugin: twistd knows the word lbconsul, and pays nothing for it."""

import ast
import configparser
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.binaries import REPOSITORY

PLUGIN = REPOSITORY / "twisted" / "plugins" / "lbconsul_plugin.py"

#: Loads the plugin file as twistd does, and shows what came along.
LOADER = """
import runpy, sys
before = set(sys.modules)
runpy.run_path(sys.argv[1])
print(*sorted(set(sys.modules) - before), sep="\\n")
"""


def _run(*arguments: str, folder: Path = REPOSITORY) -> str:
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return ran.stdout


@pytest.mark.process
def test_costs_other_commands_nothing() -> None:
    """Other twistd commands import neither us nor a reactor on our account: with a
    reactor twistd --reactor would fail, on the first start after an installation.
    """
    loaded = _run("-c", LOADER, str(PLUGIN)).split()
    assert "twisted.application.service" in loaded
    assert "twisted.internet.reactor" not in loaded
    assert [each for each in loaded if each.startswith("lbconsul")] == []


def test_strings_only() -> None:
    """The file imports Twisted's ServiceMaker and nothing else, for an import that
    fails would make the command vanish.
    """
    imports = [
        node
        for node in ast.walk(ast.parse(PLUGIN.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert [ast.unparse(each) for each in imports] == [
        "from twisted.application.service import ServiceMaker"
    ]


@pytest.mark.process
def test_twistd_lists_it(tmp_path: Path) -> None:
    """twistd --help names lbconsul and says what it is for."""
    twistd = "import sys; from twisted.scripts.twistd import run; run()"
    listed = _run("-c", twistd, "--help", folder=tmp_path)
    [line] = [each for each in listed.splitlines() if "lbconsul" in each]
    assert "Balance TCP ports over what Consul calls healthy." in line


@pytest.mark.process
def test_twist_lists_it() -> None:
    """So does the newer twist."""
    assert "lbconsul" in _run("-m", "twisted", "--help")


#: Loads what the plugin names, as twistd does; it handles signals from then on.
NAMES = """
from twisted.application.service import IServiceMaker
from twisted.plugin import IPlugin
from twisted.plugins.lbconsul_plugin import lbconsul as maker
from zope.interface.verify import verifyObject

from lbconsul import tap

assert maker.tapname == "lbconsul"
assert maker.options is tap.Options
assert maker.makeService is tap.makeService
assert verifyObject(IPlugin, maker)
assert verifyObject(IServiceMaker, maker)
print("all are there")
"""


@pytest.mark.process
def test_the_names_resolve() -> None:
    """The names in the plugin exist: the options, and the service maker."""
    assert _run("-c", NAMES) == "all are there\n"


def test_no_package_of_that_name() -> None:
    """Neither `twisted` nor `twisted.plugins` is a package here: the one would hide
    Twisted itself, the other would hide the plugin.
    """
    assert list((REPOSITORY / "twisted").rglob("__init__.py")) == []


def test_an_installation_has_every_package() -> None:
    """An installation is whole: setup.cfg lists each package."""
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    listed = set(setup["options"]["packages"].split())
    rooms = (REPOSITORY / "lbconsul").rglob("__init__.py")
    there = {".".join(each.parent.relative_to(REPOSITORY).parts) for each in rooms}
    assert listed == there | {"twisted.plugins"}
