"""A program of the tests' own: it says when it goes, and ends with its input."""

import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import IO, Self

from tests.support.binaries import REPOSITORY


class OwnProgram:
    """Runs `command`; as a context manager it has said its first line, `said`.

    Its standard error goes to `errors`, by default to that of the tests.  Leaving it
    kills the program, unless `end` was called before.
    """

    def __init__(self, command: Sequence[str], errors: IO[str] | None = None) -> None:
        self._command = command
        self._errors = errors

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.said = self.hear()
        if not self.said:
            self._process.kill()
            self._process.communicate()
            raise AssertionError(f"{self._command} does not go")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def hear(self) -> str:
        """Its next line, without the end; empty if it has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def tell(self, line: str) -> None:
        """Write a line to its input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def end(self, timeout: float) -> str:
        """Close its input; it must end well.  What it has said since its first line."""
        said, _ = self._process.communicate("", timeout=timeout)
        assert self._process.returncode == 0
        return said
