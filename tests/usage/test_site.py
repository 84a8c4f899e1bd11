"""The page of options."""

import re

from lbconsul.usage.commands import COMMANDS, PROCESS, SERVING
from lbconsul.usage.site import options


def test_all_commands() -> None:
    """The page has a part for each command, in the order of its help."""
    titles = re.findall(r"^## lbconsul (.*)$", options(), re.MULTILINE)
    assert titles == [each.name for each in COMMANDS]


def test_all_options() -> None:
    """Each option stands below its command, with its variable if it has one."""
    parts = options().split("\n## lbconsul ")
    for command, part in zip(COMMANDS, parts, strict=True):
        shared = () if command.name == "run" else (*SERVING, PROCESS)
        for group in command.groups:
            for each in group.arguments:
                entry = re.search(rf"\n````{{option}} .*--{each.name}( .*)?\n", part)
                assert (entry is None) == any(group is one for one in shared)
                if entry is not None and each.has_variable:
                    described = part[entry.end() :].partition("\n````\n")[0]
                    assert described.endswith(f"`LBCONSUL_{_upper(each.name)}`.")


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")


def test_nothing_is_markdown() -> None:
    """What help has of brackets, stars and dollars is shown as it is."""
    assert r"\[ADDRESS:\]PORT:SERVICE" in options()
    assert r"\$" in options()
