"""Gives the package its README without links that work in the repository only.

All else about the package stands in pyproject.toml and setup.cfg.
"""

import re
import tomllib
from pathlib import Path

from setuptools import setup

TOP = Path(__file__).resolve().parent
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))["project"]


def with_absolute_links(text: str, source: str | None) -> str:
    """The text of README.md, for pages outside of the repository at `source`.

    Without a `source` the links into the repository become plain text.
    """

    def absolute(link: re.Match[str]) -> str:
        if source is None:
            return link["text"]
        kind = "raw" if link["image"] else "blob"
        return f"{link['image']}[{link['text']}]({source}/{kind}/main/{link['path']})"

    return re.sub(
        r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?!https?:|#)(?P<path>[^)]+)\)",
        absolute,
        text,
    )


if __name__ == "__main__":
    setup(
        long_description=with_absolute_links(
            (TOP / "README.md").read_text("utf-8"),
            PROJECT.get("urls", {}).get("Source"),
        ),
        long_description_content_type="text/markdown",
    )
