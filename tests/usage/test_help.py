"""The help of the commands."""

import pytest

from lbconsul.usage.commands import BY_NAME, COMMANDS, Command
from lbconsul.usage.help import command_help, overview, twistd_help


def test_overview() -> None:
    """Without a command the help has all of them."""
    text = overview(80)
    assert all(f"  {each.name} " in text for each in COMMANDS)


@pytest.mark.parametrize("width", [20, 60, 80, 300])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: each.name)
def test_width(command: Command, width: int) -> None:
    """The text fits the terminal; it is wide enough, and no wider than can be read."""
    most = max(50, min(width, 100))
    texts = command_help(command, width).partition("\nExamples:")[0].splitlines()
    # A word such as a path may be longer than what is left of its line.
    assert all(len(each) <= most or " " not in each[most:] for each in texts)


def test_run() -> None:
    """The options of run are in groups, each with what it takes."""
    lines = command_help(BY_NAME["run"], 80).splitlines()
    assert lines[0] == "Usage: lbconsul run [OPTION...] [CONSUL]"
    assert "How to reach Consul:" in lines
    assert any(each.startswith("      --idle-timeout TIME ") for each in lines)
    assert any(each.startswith("  -f, --config FILE ") for each in lines)
    assert "  lbconsul run myconsul:8500 80:webserver 81:graphite" in lines


def test_twistd() -> None:
    """``twistd lbconsul --help`` is that of run, without the options of twistd."""
    text = twistd_help(80)
    assert "--idle-timeout TIME" in text
    assert "--check" in text
    assert "--uid" not in text
