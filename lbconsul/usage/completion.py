"""Completions for bash, zsh and fish."""

from collections.abc import Iterator

from lbconsul.usage.argument import Argument
from lbconsul.usage.commands import COMMANDS, Command


def completion(shell: str) -> str:
    """The script that completes the command ``lbconsul`` in a shell."""
    return "\n".join(_SHELLS[shell]())


def _bash() -> Iterator[str]:
    yield "# bash completion for lbconsul; made by: lbconsul completion bash"
    yield "_lbconsul() {"
    yield "    local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]}"
    yield "    local last=${COMP_WORDS[COMP_CWORD-1]}"
    yield "    # --mode=h and mode=h are several words for bash."
    yield "    if [[ $word == = ]]; then word="
    yield "    elif [[ $last == = ]]; then last=${COMP_WORDS[COMP_CWORD-2]}; fi"
    yield "    COMPREPLY=()"
    yield "    if ((COMP_CWORD == 1)); then"
    yield f'        COMPREPLY=($(compgen -W {_quoted(_names())} -- "$word"))'
    yield "        return"
    yield "    fi"
    yield "    case $command,$last in"
    for command in COMMANDS:
        for argument in command.arguments:
            if argument.takes:
                flags = "|".join(f"{command.name},{each}" for each in argument.flags)
                yield f"    {flags}) {_bash_values(argument)}; return ;;"
    yield "    esac"
    yield "    case $command in"
    for command in COMMANDS:
        words = [flag for each in command.arguments for flag in each.flags]
        words += command.choices or (_names() if command.name == "man" else ())
        yield (
            f"    {command.name})"
            f' COMPREPLY=($(compgen -W {_quoted(words)} -- "$word")) ;;'
        )
    yield "    esac"
    yield "}"
    yield "complete -F _lbconsul lbconsul"


def _bash_values(argument: Argument) -> str:
    if argument.choices:
        return f'COMPREPLY=($(compgen -W {_quoted(argument.choices)} -- "$word"))'
    if argument.is_path:
        return 'compopt -o filenames; COMPREPLY=($(compgen -f -- "$word"))'
    return ":"


def _zsh() -> Iterator[str]:
    yield "#compdef lbconsul"
    yield "# zsh completion for lbconsul; made by: lbconsul completion zsh"
    yield "_lbconsul() {"
    yield "    local -a commands"
    yield "    commands=("
    for command in COMMANDS:
        yield f"        {_quote(f'{command.name}:{command.summary}')}"
    yield "    )"
    yield "    if ((CURRENT == 2)); then"
    yield "        _describe command commands"
    yield "        return"
    yield "    fi"
    yield "    local command=$words[2]"
    yield "    shift words"
    yield "    ((CURRENT--))"
    yield "    case $command in"
    for command in COMMANDS:
        yield f"    {command.name})"
        yield "        _arguments \\"
        for argument in command.arguments:
            yield from (f"            {each} \\" for each in _zsh_specs(argument))
        yield f"            {_zsh_rest(command)}"
        yield "        ;;"
    yield "    esac"
    yield "}"
    yield 'if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _lbconsul "$@"'
    yield "else compdef _lbconsul lbconsul; fi"


def _zsh_specs(argument: Argument) -> Iterator[str]:
    """An option as ``_arguments`` takes it: flag, explanation, and what it takes."""
    help = _zsh_text(argument.help, "[]")
    takes = _zsh_text(argument.takes, ":")
    if argument.choices:
        action = f":{takes}:({' '.join(argument.choices)})"
    elif argument.is_path:
        action = f":{takes}:_files"
    else:
        action = f":{takes}: " if argument.takes else ""
    for flag in argument.flags:
        equals = "=" if argument.takes and flag.startswith("--") else ""
        star = "*" if argument.repeats else ""
        yield _quote(f"{star}{flag}{equals}[{help}]{action}")


def _zsh_text(text: str, special: str) -> str:
    for each in f"\\{special}":
        text = text.replace(each, f"\\{each}")
    return text


def _zsh_rest(command: Command) -> str:
    words = command.choices or (_names() if command.name == "man" else ())
    if words:
        return _quote(f"1:{_zsh_text(command.takes, '[]:')}:({' '.join(words)})")
    return _quote(f"*:{_zsh_text(command.takes, '[]:')}: ")


def _fish() -> Iterator[str]:
    yield "# fish completion for lbconsul; made by: lbconsul completion fish"
    yield "complete -c lbconsul -f"
    for command in COMMANDS:
        yield (
            f"complete -c lbconsul -n __fish_use_subcommand -a {command.name}"
            f" -d {_fish_quote(command.summary)}"
        )
    for command in COMMANDS:
        seen = f"complete -c lbconsul -n '__fish_seen_subcommand_from {command.name}'"
        for argument in command.arguments:
            yield f"{seen} {_fish_option(argument)}"
        words = command.choices or (_names() if command.name == "man" else ())
        if words:
            yield f"{seen} -a {_fish_quote(' '.join(words))}"


def _fish_option(argument: Argument) -> str:
    short = f"-s {argument.short} " if argument.short else ""
    if argument.choices:
        takes = f" -x -a {_fish_quote(' '.join(argument.choices))}"
    elif argument.is_path:
        takes = " -r -F"
    else:
        takes = " -x" if argument.takes else ""
    return f"{short}-l {argument.name}{takes} -d {_fish_quote(argument.help)}"


def _names() -> tuple[str, ...]:
    return tuple(each.name for each in COMMANDS)


def _quoted(words: "list[str] | tuple[str, ...]") -> str:
    return _quote(" ".join(words))


def _quote(text: str) -> str:
    """A text as one word of bash and zsh."""
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_SHELLS = {"bash": _bash, "fish": _fish, "zsh": _zsh}
