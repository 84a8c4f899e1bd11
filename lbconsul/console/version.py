"""The versions of lbconsul and of what it stands on."""

import platform
from importlib.metadata import PackageNotFoundError, version

from lbconsul.version import __version__


def versions() -> str:
    """One line: of lbconsul, Python, Twisted and pyOpenSSL."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    twisted, openssl = _version("twisted"), _version("pyopenssl")
    return f"lbconsul {__version__} ({python}, Twisted {twisted}, pyOpenSSL {openssl})"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # vendored, or made into one file
        return "of unknown version"
