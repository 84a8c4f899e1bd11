"""The table of commands."""

from collections import Counter

import pytest

from lbconsul.command_line import CommandLine
from lbconsul.config.options import OPTIONS
from lbconsul.config.variables import OTHERS
from lbconsul.usage.commands import BY_NAME, COMMANDS, PROCESS, SERVING, Command
from lbconsul.usage.words import parse


def test_each_option_once() -> None:
    """Each option of a gateway is in one group of the help."""
    counts = Counter(each.name for group in SERVING for each in group.arguments)
    # --check is another, of run alone: that of mappings stands in them.
    assert counts == Counter((*OPTIONS.keys() - {"check"}, *OTHERS))


def test_run_takes_what_twistd_takes() -> None:
    """What ``run`` takes is what ``twistd lbconsul`` takes, and twistd itself."""
    ours = {each.name: bool(each.takes) for each in BY_NAME["run"].arguments}
    theirs = {
        each.rstrip("="): each.endswith("=") for each in CommandLine().longOpt if each
    }
    process = {each.name for each in PROCESS.arguments}
    assert {name: ours[name] for name in ours if name not in process} == theirs


@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: each.name)
def test_examples(command: Command) -> None:
    """Each example of a command is one that it takes."""
    for example in command.examples:
        for part in example.replace("source <(", "").replace(")", "").split("|")[:1]:
            program, name, *words = part.split(" >")[0].split()
            assert (program, name) == ("lbconsul", command.name)
            parse(command, words)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: each.name)
def test_flags(command: Command) -> None:
    """No two options of a command are written alike."""
    flags = Counter(flag for each in command.arguments for flag in each.all_flags)
    assert set(flags.values()) == {1}
    assert "--help" in flags
