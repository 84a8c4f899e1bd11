"""Completions: by a real bash, and by zsh and fish where they are installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from lbconsul.usage.commands import BY_NAME, COMMANDS
from lbconsul.usage.completion import completion
from tests.support.needed import lacking

#: Completes the words that it is given, as bash does, and prints what it offers.
BASH = """
source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_lbconsul 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""


def _offered(folder: Path, *words: str) -> set[str]:
    script = folder / "lbconsul.bash"
    script.write_text(completion("bash"))
    ran = subprocess.run(
        ["bash", "-c", BASH, "bash", script, "lbconsul", *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        timeout=60,
    )
    assert ran.stderr == ""
    return set(ran.stdout.split())


@pytest.mark.process
def test_bash(tmp_path: Path) -> None:
    """bash completes commands, options and values."""
    (tmp_path / "my.toml").touch()
    assert _offered(tmp_path, "") == {each.name for each in COMMANDS}
    assert _offered(tmp_path, "st") == {"status"}
    run = {flag for each in BY_NAME["run"].arguments for flag in each.flags}
    assert _offered(tmp_path, "run", "") == run
    assert _offered(tmp_path, "run", "--admin-t") == {
        "--admin-tls",
        "--admin-token",
        "--admin-token-file",
    }
    assert _offered(tmp_path, "run", "--policy", "r") == {"random", "roundrobin"}
    assert _offered(tmp_path, "run", "--policy", "=") == {
        "hash", "leastconn", "p2c", "random", "roundrobin",
    }  # fmt: skip
    assert _offered(tmp_path, "run", "--policy", "=", "p") == {"p2c"}
    assert _offered(tmp_path, "run", "--config", "my") == {"my.toml"}
    assert _offered(tmp_path, "run", "--connect-timeout", "") == set()
    assert _offered(tmp_path, "completion", "f") == {"fish"}
    assert _offered(tmp_path, "man", "ej") == {"eject"}


@pytest.mark.process
@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_syntax(shell: str, tmp_path: Path) -> None:
    """Each shell takes its script."""
    program = shutil.which(shell)
    if program is None:
        lacking(f"no {shell}: its completions have not been tried")
    script = tmp_path / "script"
    script.write_text(completion(shell))
    subprocess.run([program, "-n", script], check=True, timeout=60)


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_all_options(shell: str) -> None:
    """Each option of each command is completed."""
    script = completion(shell)
    for command in COMMANDS:
        for each in command.arguments:
            assert each.name in script


def test_zsh() -> None:
    """What is special to zsh in a help text is escaped."""
    script = completion("zsh")
    assert script.startswith("#compdef lbconsul\n")
    assert r"'--attempts=[how many upstreams to try for one connection, in" in script
    assert r"\[3\]]:NUMBER: '" in script
    assert r"'*--set-header=[NAME: VALUE of" in script
    assert r"the client'\''s" in script


def test_fish() -> None:
    """What is special to fish in a help text is escaped."""
    lines = completion("fish").splitlines()
    run = "complete -c lbconsul -n '__fish_seen_subcommand_from run'"
    assert (
        f"{run} -l policy -x -a 'hash leastconn p2c random roundrobin' -d"
        in "".join(
            each for each in lines if "-l policy" in each and "from run'" in each
        )
    )
    assert any(r"that authority\'s" in each or r"\'s" in each for each in lines)
