"""The manual pages."""

import shutil
import subprocess

import pytest

from lbconsul.usage.commands import BY_NAME, COMMANDS
from lbconsul.usage.man import page
from tests.support.needed import lacking

NAMES = ["", *BY_NAME]


@pytest.mark.parametrize("name", NAMES)
def test_lines(name: str) -> None:
    """No line of text is taken for a request, and no dash for a hyphen."""
    known = (".TH ", ".SH ", ".SS ", ".TP", ".PP", ".B ", ".BR ", ".EX", ".EE")
    for line in page(name).splitlines():
        assert line[0] not in ".'" or line.startswith(known), line
        assert "--" not in line


def test_all_commands() -> None:
    """The page of lbconsul names those of all commands."""
    for each in COMMANDS:
        assert rf".BR lbconsul\-{each.name} (1)" in page()


def test_all_options() -> None:
    """The page of a command has all its options."""
    for command in COMMANDS:
        for each in command.arguments:
            flag = f"--{each.name}".replace("-", r"\-")
            assert rf"\fB{flag}\fR" in page(command.name)


@pytest.mark.process
@pytest.mark.parametrize("name", NAMES)
def test_typeset(name: str) -> None:
    """groff has nothing to complain of."""
    groff = shutil.which("groff")
    if groff is None:
        lacking("no groff: the manual pages have not been typeset")
    ran = subprocess.run(
        [groff, "-man", "-ww", "-Tutf8", "-z"],
        input=page(name),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ran.stderr == ""
