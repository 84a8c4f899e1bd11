"""What a build of the image needs of this machine's pip configuration.

The build must reach the packages that this machine reaches, whatever was set
for that here, and the image must keep nothing of it.
"""

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

Settings = dict[str, dict[str, str]]

#: Where `pip config list` files what stands in the environment.
ENVIRONMENT = ":env:"

#: Options that name the folder of an index, whose links lead to folders beside it.
INDEXES = frozenset({"index-url", "extra-index-url"})


def pip_settings() -> Settings:
    """Sections of options in force here, empty if this Python has no pip."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
    )
    return parse(listing.stdout)


def parse(listing: str) -> Settings:
    """Cut up what `pip config list` prints; the environment wins, as with pip."""
    lines = [line.partition("=") for line in listing.splitlines() if "=" in line]
    settings: Settings = defaultdict(dict)
    for name, _, quoted in sorted(lines, key=lambda line: line[0] < ENVIRONMENT):
        section, _, option = name.rpartition(".")
        value = " ".join(ast.literal_eval(quoted).split())
        settings[section][option] = value
    settings["global"].update(settings.pop(ENVIRONMENT, {}))
    return settings


def as_file(settings: Settings) -> str:
    """The settings as the text of a pip.conf."""
    return "".join(
        f"[{section}]\n" + "".join(f"{key} = {text}\n" for key, text in options.items())
        for section, options in settings.items()
    )


def local_paths(settings: Settings) -> set[Path]:
    """The files and folders of this machine that the settings name."""
    named = {
        (option, Path(word.removeprefix("file://")))
        for options in settings.values()
        for option, value in options.items()
        for word in value.split()
        if word.startswith(("/", "file:///"))
    }
    needed = {path.parent if name in INDEXES else path for name, path in named}
    return {path for path in needed if path.exists() and path != Path("/")}
