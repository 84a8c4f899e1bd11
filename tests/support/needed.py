"""Programs that tests need: without one a test skips, and fails in CI."""

import os
import shutil
from typing import NoReturn

#: Programs of an administrator, whose folders an ordinary PATH may lack.
_FOLDERS = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


def needed(program: str, package: str = "") -> str:
    """The path of a program; on Debian the package is called like it, or else."""
    found = shutil.which(program, path=_FOLDERS)
    return found or lacking(
        f"no {program}: on Debian, apt-get install {package or program}"
    )


def lacking(what: str) -> NoReturn:
    """Skip the test, or fail it in CI.

    :raises RuntimeError: there is no pytest, as in the chaos suite.
    """
    try:
        import pytest
    except ModuleNotFoundError:
        raise RuntimeError(what) from None
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
