"""A token given on the command line does not stay in the process list."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lbconsul.process.argv import conceal
from tests.support.binaries import REPOSITORY

TOKEN = "5ecre7-t0ken-ärger"

#: Conceals like the command line does, then shows what /proc shows of it, and
#: that its own arguments are whole.
PROGRAM = """
import sys
from pathlib import Path
from lbconsul.process.argv import conceal

concealed = conceal(sys.argv[1].removeprefix("--token="))
shown = Path("/proc/self/cmdline").read_bytes().split(b"\\0")
print(concealed, ascii(sys.argv[1:]), shown[3:], sep="\\n")
"""

linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="needs /proc/self"
)


def _run(*arguments: str, program: str = PROGRAM) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONUTF8": "1"},
        capture_output=True,
        check=True,
        timeout=60,
    )
    return ran.stdout.decode().splitlines()


@pytest.mark.process
@linux
@pytest.mark.parametrize(
    "options", [[TOKEN, "--token", TOKEN], [f"--token={TOKEN}"], [TOKEN, TOKEN * 2]]
)
def test_ps_does_not_show_it(options: list[str]) -> None:
    """Wherever the token stands among the arguments, ps shows x instead."""
    concealed, ours, shown = _run(*options, "--map", "80:web")
    hidden = [each.replace(TOKEN, "x" * len(TOKEN.encode())) for each in options]
    assert concealed == "True"
    assert ours == ascii([*options, "--map", "80:web"])
    assert shown == str([each.encode() for each in [*hidden, "--map", "80:web", ""]])


#: The whole command line, up to where the gateway would start.
GATEWAY = """
import sys
from pathlib import Path
from lbconsul.tap import Options

Options().parseOptions(sys.argv[1:])
print(Path("/proc/self/cmdline").read_bytes())
"""


@pytest.mark.process
@linux
@pytest.mark.parametrize(
    "options",
    [["--token", "s3cr3t"], ["--token=s3cr3t"], ["--http-auth", "ada:s3cr3t"]],
)
def test_the_command_line_conceals(options: list[str]) -> None:
    """A gateway that is started with a token does not show it in ps."""
    [shown] = _run(*options, "--map", "80:web", program=GATEWAY)
    assert "s3cr3t" not in shown
    assert "80:web" in shown
    assert "xxxxxx" in shown


def test_nothing_else_is_touched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each place where the token stands is overwritten, and not a byte beside it."""
    monkeypatch.setattr(sys, "platform", "linux")
    arguments = b"--token\0s3cr3t\0--token=s3cr3t\0s3cr3\0"
    memory = ctypes.create_string_buffer(arguments + b"s3cr3t")
    start = ctypes.addressof(memory)
    told = tmp_path / "stat"
    fields = ["0"] * 44 + [str(start), str(start + len(arguments)), "0"]
    told.write_text(f"1 (a program) R {' '.join(fields)}\n")
    assert conceal("s3cr3t", stat=told)
    assert memory.value == b"--token"
    assert memory.raw == b"--token\0xxxxxx\0--token=xxxxxx\0s3cr3\0s3cr3t\0"


@linux
def test_a_secret_that_is_not_there() -> None:
    """A token that came from elsewhere leaves the arguments as they are."""
    before = Path("/proc/self/cmdline").read_bytes()
    assert conceal("no argument of pytest says this")
    assert Path("/proc/self/cmdline").read_bytes() == before


def test_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the arguments cannot be found, that is said."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not conceal("s3cr3t")


@pytest.mark.parametrize(
    "stat",
    [None, "1 (a) b) R " + " ".join(["0"] * 49) + "\n"],
    ids=["no /proc", "not ours to look at"],
)
def test_hidden_proc(
    stat: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where /proc is not there, or does not tell, that is said."""
    monkeypatch.setattr(sys, "platform", "linux")
    told = tmp_path / "stat"
    if stat is not None:
        told.write_text(stat)
    assert not conceal("s3cr3t", stat=told)
