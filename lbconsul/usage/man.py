"""Manual pages, in the language of man(7)."""

import re
from collections.abc import Iterator

from lbconsul.usage.argument import Argument
from lbconsul.usage.commands import BY_NAME, COMMANDS, SUMMARY, Command


def page(name: str = "") -> str:
    """The manual page of a command, or of lbconsul as a whole."""
    lines = _of_command(BY_NAME[name]) if name else _overview()
    return "\n".join(lines)


def _overview() -> Iterator[str]:
    yield from _head("lbconsul", SUMMARY[0].lower() + SUMMARY[1:].rstrip("."))
    yield ".B lbconsul"
    yield r"\fICOMMAND\fR [\fIOPTION\fR...]"
    yield ".SH DESCRIPTION"
    yield _text(
        "lbconsul balances ports over the healthy instances of the services that are"
        " registered in Consul. It asks and controls a running gateway, too."
    )
    yield ".SH COMMANDS"
    for each in COMMANDS:
        yield ".TP"
        yield rf"\fB{_text(each.name)}\fR"
        yield f"{_text(each.summary)}; see"
        yield rf".BR lbconsul\-{each.name} (1)"
    yield ".SH ENVIRONMENT"
    yield _text(
        "Each option of run can be given as a variable: --connect-timeout as"
        " LBCONSUL_CONNECT_TIMEOUT. The variables of Consul's own tools, such as"
        " CONSUL_HTTP_ADDR, have their meaning. NO_COLOR turns colours off."
    )
    yield from _see_also(*(f"lbconsul-{each.name}" for each in COMMANDS))


def _of_command(command: Command) -> Iterator[str]:
    yield from _head(f"lbconsul-{command.name}", command.summary)
    yield rf".B lbconsul {command.name}"
    yield rf"[\fIOPTION\fR...] {_text(command.takes)}".rstrip()
    yield ".SH DESCRIPTION"
    for number, each in enumerate(command.description):
        if number:
            yield ".PP"
        yield _text(each)
    yield ".SH OPTIONS"
    for group in command.groups:
        yield f".SS {_text(group.title)}"
        for argument in group.arguments:
            yield from _argument(argument)
    if command.examples:
        yield ".SH EXAMPLES"
        yield ".EX"
        yield from map(_text, command.examples)
        yield ".EE"
    yield from _see_also("lbconsul")


def _head(name: str, summary: str) -> Iterator[str]:
    yield rf'.TH "{_text(name.upper())}" "1" "" "lbconsul" "User Commands"'
    yield ".SH NAME"
    yield rf"{_text(name)} \- {_text(summary)}"
    yield ".SH SYNOPSIS"


def _argument(argument: Argument) -> Iterator[str]:
    flags = ", ".join(rf"\fB{_text(each)}\fR" for each in argument.flags)
    takes = rf" \fI{_text(argument.takes)}\fR" if argument.takes else ""
    yield ".TP"
    yield f"{flags}{takes}"
    yield _text(argument.help)


def _see_also(*pages: str) -> Iterator[str]:
    yield ".SH SEE ALSO"
    for number, each in enumerate(pages, 1):
        comma = " ," if number < len(pages) else ""
        yield rf".BR {_text(each)} (1){comma}"


def _text(text: str) -> str:
    """A text in which nothing is a request or an escape of roff."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    escaped = escaped.replace("^", r"\(ha").replace("~", r"\(ti")
    return re.sub(r"^([.'])", r"\\&\1", escaped, flags=re.MULTILINE)
