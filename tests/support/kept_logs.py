"""The logs of programs that tests run, kept for who reads why a test failed.

A program says where its log is when it starts, and that it has ended before the log is
removed.  When a test fails, conftest puts the logs of all that ran meanwhile, and those
in the test's own directory, into `FOLDER`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.binaries import REPOSITORY

#: Where the logs of failed tests are, a directory for each.
FOLDER = REPOSITORY / ".cache" / "failed-tests"

#: How much of a log is kept, in bytes, and shown beside the failure, in characters:
#: its end.
KEPT = 1_000_000
SHOWN = 6000

_running: set[Path] = set()
_ended: dict[Path, str] = {}


def began(log: Path) -> None:
    """A program has started that writes this log."""
    _running.add(log)


def ended(log: Path) -> None:
    """It has ended, and its log may be gone soon."""
    if log in _running:
        _running.discard(log)
        _ended[log] = _end_of(log)


def forget() -> None:
    """Another test begins: what has ended was none of its programs."""
    _ended.clear()


def logs(home: Path | None) -> Iterator[tuple[Path, str]]:
    """The logs since the test began, whose directory is `home`, and what they say."""
    yield from _ended.items()
    there = set(home.rglob("*.log")) if home is not None else set()
    for path in sorted((_running | there) - _ended.keys()):
        if path.is_file():
            yield path, _end_of(path)


def keep(test: str, log: Path, text: str) -> Path:
    """Put one log into the folder; where it is then."""
    folder = FOLDER / _file_name(test.removeprefix("tests/"))
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{log.parent.name}-{log.name}"
    kept.write_text(text)
    return kept


def _end_of(log: Path) -> str:
    if not log.is_file():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - KEPT))
        return file.read().decode(errors="replace")


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.=,+-]+", "-", text).strip("-")[:150]
