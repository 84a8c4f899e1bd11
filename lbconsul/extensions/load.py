"""Finds the code that an option names, by ``MODULE:NAME`` or by an entry point.

Modules are looked for where Python is told to: among installed packages, and in the
directories of PYTHONPATH.  The working directory is not searched, unless PYTHONPATH
names it.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from lbconsul.balance.fault import in_words
from lbconsul.config.values import nearest
from lbconsul.errors import ConfigError

_WHERE = (
    "modules are looked for among installed packages and in PYTHONPATH, not in the"
    " working directory"
)


def load(name: str, group: str) -> object:
    """What `name` stands for: ``MODULE:NAME``, or an entry point of `group`.

    :raises ConfigError: it cannot be found or imported.
    """
    return _attribute(*_place(name, group))


def _place(name: str, group: str) -> tuple[str, str]:
    """The module and the attribute in it."""
    module, colon, attribute = name.partition(":")
    if colon:
        return module, attribute
    # Imported here: it takes time, and few names are those of entry points.
    from importlib.metadata import entry_points

    with _without_working_directory():
        found = entry_points(group=group)
    if name not in found.names:
        near = nearest(name, found.names)
        hint = f"; did you mean {near}?" if near else ""
        raise ConfigError(
            f"no installed package has an entry point of this name in the group"
            f" {group}{hint}"
        )
    entry = found[name]
    return entry.module, entry.attr


def _attribute(module: str, name: str) -> object:
    try:
        with _without_working_directory():
            found: object = import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        if missing == module or module.startswith(f"{missing}."):
            raise ConfigError(f"there is no module {missing}: {_WHERE}") from None
        raise ConfigError(f"{module} cannot be imported: it {_raised(error)}") from None
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{module} cannot be imported: it {_raised(error)}") from None
    for word in name.split("."):
        if not hasattr(found, word):
            near = nearest(word, [each for each in dir(found) if each[0] != "_"])
            hint = f"; did you mean {near}?" if near else ""
            raise ConfigError(f"{module} has no {name}{hint}")
        found = getattr(found, word)
    return found


def _raised(error: BaseException) -> str:
    if isinstance(error, SyntaxError):  # where it is, the exception itself says
        return f"has a syntax error: {error}"
    return f"raised {in_words(error)}"


@contextmanager
def _without_working_directory() -> Iterator[None]:
    """Leave the working directory out, unless PYTHONPATH or a package names it."""
    # Other threads may import meanwhile; they do without it as well.
    removed = [
        (number, each)
        for number, each in enumerate(sys.path)
        if _is_accidental(number, each)
    ]
    for number, _ in reversed(removed):
        del sys.path[number]
    try:
        yield
    finally:
        for number, each in removed:
            sys.path.insert(number, each)


def _is_accidental(number: int, entry: str) -> bool:
    """Whether Python searches this directory only because it is the working one.

    An empty entry stands for it, and ``python -m`` puts it first.
    """
    if not entry:
        return True
    by_module = getattr(sys.modules.get("__main__"), "__spec__", None) is not None
    if number or not by_module or sys.flags.safe_path:
        return False
    wanted = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    try:
        here = os.path.realpath(os.curdir)
    except OSError:  # it was removed
        return False
    return os.path.realpath(entry) == here and not any(
        each and os.path.realpath(each) == here for each in wanted
    )
