"""The CPU and memory of a program are those of all its processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import processes

pytestmark = pytest.mark.process

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def add(
    proc: Path, pid: int, ticks: tuple[int, int, int, int], pages: int, children: str
) -> None:
    """Write what /proc says of a process, whose name is as odd as names may be."""
    task = proc / str(pid) / "task" / str(pid)
    task.mkdir(parents=True)
    (task / "children").write_text(children)
    before = "S 1 1 1 0 -1 4194560 10 20 30 40"
    fields = f"{pid} (a ) b) {before} {' '.join(map(str, ticks))} 20 0 1 0"
    (proc / str(pid) / "stat").write_text(fields)
    (proc / str(pid) / "statm").write_text(f"1000 {pages} 5 1 0 9 0")


def test_a_tree_of_processes(tmp_path: Path) -> None:
    """Children and theirs count, and so do those that ended."""
    add(tmp_path, 1, (100, 20, 0, 0), 10, "2 3 ")
    add(tmp_path, 2, (7, 3, 40, 30), 20, "4 ")
    add(tmp_path, 3, (0, 0, 0, 0), 30, "")
    add(tmp_path, 4, (5, 5, 0, 0), 40, "")
    add(tmp_path, 9, (1000, 0, 0, 0), 1000, "")
    assert list(processes.tree(1, tmp_path)) == [1, 2, 4, 3]
    assert processes.tree_cpu(1, tmp_path) == pytest.approx(210 / TICK)
    assert processes.tree_memory(1, tmp_path) == 100 * PAGE


def test_a_child_that_ends_meanwhile(tmp_path: Path) -> None:
    """A process that is gone when one looks counts nothing."""
    add(tmp_path, 1, (100, 20, 0, 0), 10, "2 ")
    assert processes.tree_cpu(1, tmp_path) == pytest.approx(120 / TICK)
    assert processes.tree_memory(1, tmp_path) == 10 * PAGE


def test_real_children_are_found() -> None:
    """The kernel tells of children as we think it does."""
    code = "import subprocess, sys; subprocess.run(['cat'])"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE
    ) as parent:
        while len(list(processes.tree(parent.pid))) < 2:
            assert parent.poll() is None
        assert processes.tree_memory(parent.pid) > 0
        parent.communicate(b"")


def test_a_program_that_does_not_serve_says_why(tmp_path: Path) -> None:
    """What a program printed before it ended is in the error."""
    command = [sys.executable, "-c", "print('no such option')"]
    program = processes.start("odd one", 1, command, tmp_path)
    program.process.wait()
    with pytest.raises(RuntimeError, match=r"odd one does not serve.*\n.*no such opt"):
        program.wait_until_serving()
    with pytest.raises(RuntimeError, match="odd one has ended"):
        program.cpu()
    program.stop()


def test_the_children_end_with_their_program(tmp_path: Path) -> None:
    """Nothing is left of a program, even if it left its children behind."""
    code = "import subprocess as s; print(s.Popen(['sleep', '60']).pid, flush=True)"
    program = processes.start("parent", 1, [sys.executable, "-c", code], tmp_path)
    program.process.wait()
    child = int(program.output.read_text())
    program.stop()
    end = time.monotonic() + 10
    while _lives(child):
        assert time.monotonic() < end


def _lives(pid: int) -> bool:
    """Whether there is such a process that is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
