"""How Sphinx makes the site of these pages: make docs, then build/docs/index.html.

The options come from the table that help, completions and manual pages come from.
"""

import re
import runpy
import tomllib
from pathlib import Path

from sphinx.application import Sphinx

from lbconsul import __version__
from lbconsul.usage.site import options

TOP = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))["project"]

project = "lbconsul"
author = "The lbconsul authors"
version = release = __version__

extensions = ["myst_parser"]
# README.md is about these pages, and for those who write them.
exclude_patterns = ["README.md"]
# Links lead to headings under the names that they have on GitHub.
myst_heading_anchors = 4
highlight_language = "text"
# Two dashes of an option stay two, to be copied.
smartquotes = False
nitpicky = True
# A lexer that does not know all of a language is no mistake of a page.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = f"lbconsul {version}"
html_copy_source = False
html_show_sphinx = False

#: The line of options.md that stands for all of them.
OPTIONS = "<!-- the options of all commands -->"

#: Where the rest of the repository can be read, if that is known.
SOURCE = PROJECT.get("urls", {}).get("Source")

_absolute = runpy.run_path(str(TOP / "setup.py"))["with_absolute_links"]


def _read(_: Sphinx, name: str, source: list[str]) -> None:
    """Fill in the options; let links to the rest of the repository work."""
    text = source[0].replace(OPTIONS, options())
    source[0] = re.sub(r"!?\[[^\]]*\]\(\.\./[^)]*\)", _elsewhere, text)


def _elsewhere(link: re.Match[str]) -> str:
    """A link out of this folder; a file that is no page can be downloaded."""
    path = link[0].rpartition("(")[2].rstrip(")").partition("#")[0]
    if not path.endswith((".md", "/")):
        return link[0]
    return _absolute(link[0].replace("](../", "]("), SOURCE)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _read)
