"""The version, in one place."""

from importlib.metadata import version

import lbconsul
from lbconsul.version import __version__


def test_version() -> None:
    """The package that is installed has the version of the code."""
    assert lbconsul.__version__ == __version__ == version("lbconsul")
