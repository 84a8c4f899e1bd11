"""The options of all commands, as a page of the documentation's site.

It is MyST, Markdown with the directives of Sphinx: each option can be linked to.
"""

import re
from collections.abc import Iterator

from lbconsul.usage.argument import Argument
from lbconsul.usage.commands import COMMANDS, PROCESS, SERVING, Command

#: What stands in the help of ``run``, and is not said again.
_OF_RUN = (*SERVING, PROCESS)


def options() -> str:
    """The options of each command below a heading of its own."""
    return "\n".join(line for each in COMMANDS for line in _of_command(each))


def _of_command(command: Command) -> Iterator[str]:
    yield f"## lbconsul {command.name}\n"
    yield from (f"{_text(each)}\n" for each in command.description)
    yield f"```text\nlbconsul {command.name} [options] {command.takes}".rstrip()
    yield "```\n"
    if command.examples:
        yield "For example:\n"
        yield "\n".join(("```text", *command.examples, "```\n"))
    yield f"```{{program}} lbconsul {command.name}\n```\n"
    own = [each for each in command.groups if command.name == "run" or _is_own(each)]
    for group in own:
        yield f"### {_text(group.title)}\n"
        for argument in group.arguments:
            yield from _argument(argument)
    if len(own) < len(command.groups):
        yield "All options of [`run`](#lbconsul-run) as well.\n"


def _is_own(group: object) -> bool:
    return all(group is not each for each in _OF_RUN)


def _argument(argument: Argument) -> Iterator[str]:
    takes = f" {argument.takes}" if argument.takes else ""
    yield f"````{{option}} {', '.join(f'{each}{takes}' for each in argument.flags)}"
    yield _sentence(argument.help)
    if argument.repeats:
        yield "\nIt may be given more than once."
    if argument.variable:
        yield f"\nIn the environment: `{argument.variable}`."
    yield "````\n"


def _sentence(text: str) -> str:
    """The help of an option, which is the part of a sentence, as one."""
    first = text[:1].upper() + text[1:] if text[:1].islower() else text
    return f"{_text(first)}."


def _text(text: str) -> str:
    """A text in which nothing is Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#|$])", r"\\\1", text)
