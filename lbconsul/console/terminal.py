"""The terminal that a command writes to."""

import os
import shutil
import sys


def width() -> int:
    """How many columns there are: $COLUMNS, the terminal's, or 80."""
    return shutil.get_terminal_size().columns


def is_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def is_dumb() -> bool:
    """Whether the terminal can do nothing but print lines."""
    return os.environ.get("TERM") == "dumb"


def has_colours() -> bool:
    """Whether to write colours: to a terminal that has some, unless NO_COLOR is set."""
    return is_terminal() and not is_dumb() and not os.environ.get("NO_COLOR")
