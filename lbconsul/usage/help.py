"""The help of a command, for a terminal."""

import textwrap
from collections.abc import Iterable, Iterator

from lbconsul.usage.argument import Argument
from lbconsul.usage.commands import (
    BY_NAME,
    COMMANDS,
    PROCESS,
    SUMMARY,
    Command,
    Group,
)

#: Where the meaning of an option begins, and of a command.
_INDENT, _COMMAND = 30, 14

#: The narrowest and the widest text.
_LEAST, _MOST = 50, 100


def overview(width: int) -> str:
    """The help without a command."""
    width = _bounded(width)
    names = [_row(f"  {each.name}", each.summary, _COMMAND, width) for each in COMMANDS]
    return "\n".join(
        (
            "Usage: lbconsul COMMAND [OPTION...]",
            "",
            SUMMARY,
            "",
            "Commands:",
            *names,
            "",
            "lbconsul COMMAND --help has the options of a command.",
        )
    )


def command_help(command: Command, width: int, program: str = "") -> str:
    """The help of one command, which `program` begins with."""
    width = _bounded(width)
    program = program or f"lbconsul {command.name}"
    takes = f" {command.takes}" if command.takes else ""
    return "\n".join(
        (
            *_filled(f"Usage: {program} [OPTION...]{takes}", width, "    "),
            *_paragraphs(command.description, width),
            *options(command.groups, width),
            *_examples(command),
        )
    )


def twistd_help(width: int) -> str:
    """The help of ``twistd lbconsul`` behind its first line: that of ``run``, without
    the options that stand before ``lbconsul`` there.
    """
    run = BY_NAME["run"]
    groups = (each for each in run.groups if each is not PROCESS)
    described = _paragraphs(run.description, _bounded(width))
    return "\n".join((*described, *options(groups, width), ""))


def options(groups: Iterable[Group], width: int) -> Iterator[str]:
    """The lines about these options, a paragraph for each group."""
    width = _bounded(width)
    for group in groups:
        yield ""
        yield f"{group.title}:"
        for each in group.arguments:
            yield _row(f"  {_left(each)}", each.help, _INDENT, width)


def _left(argument: Argument) -> str:
    flags = ", ".join(argument.flags)
    takes = f" {argument.takes}" if argument.takes else ""
    # Long options stand below each other.
    return f"{'' if argument.short else '    '}{flags}{takes}"


def _row(left: str, right: str, indent: int, width: int) -> str:
    """`right` beside `left`, or below it if that is too long."""
    lines = textwrap.wrap(right, width - indent) or [""]
    if len(left) > indent - 2:
        lines.insert(0, "")
    first, *rest = lines
    beside = f"{left.ljust(indent)}{first}".rstrip()
    return "\n".join((beside, *(f"{'':{indent}}{each}" for each in rest)))


def _paragraphs(texts: Iterable[str], width: int) -> Iterator[str]:
    for each in texts:
        yield ""
        yield from _filled(each, width)


def _examples(command: Command) -> Iterator[str]:
    if command.examples:
        yield ""
        yield "Examples:"
        yield from (f"  {each}" for each in command.examples)


def _filled(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        width,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _bounded(width: int) -> int:
    return max(_LEAST, min(width, _MOST))
