"""Gives the package its README with links that work outside of the repository.

All else about the package stands in pyproject.toml and setup.cfg.
"""

import re
import tomllib
from pathlib import Path

from setuptools import setup

TOP = Path(__file__).resolve().parent
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))["project"]


def with_absolute_links(text: str, source: str) -> str:
    """The text of README.md, for pages outside of the repository at `source`."""

    def absolute(link: re.Match[str]) -> str:
        kind = "raw" if link["image"] else "blob"
        return f"{link['begin']}{source}/{kind}/main/{link['path']})"

    return re.sub(
        r"(?P<begin>(?P<image>!?)\[[^\]]*\]\()(?!https?:|#)(?P<path>[^)]+)\)",
        absolute,
        text,
    )


if __name__ == "__main__":
    setup(
        long_description=with_absolute_links(
            (TOP / "README.md").read_text("utf-8"), PROJECT["urls"]["Source"]
        ),
        long_description_content_type="text/markdown",
    )
