"""The architecture: who imports whom, and where each test is.

The arrows are those of the docstring of `lbconsul`::

    tap -> service -> {consul, proxy, admin, dev, handover, workers} -> balance
    worker_main -> worker -> {proxy, workers} -> balance
    config, errors and text are open to all
"""

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.binaries import REPOSITORY

PACKAGE = REPOSITORY / "lbconsul"

#: Which rooms each room may import from, beside itself.
OPEN_TO_ALL = {"config", "errors", "text"}
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "text": set(),
    "config": {"errors", "text"},
    "clock": set(),
    "conceal": set(),
    "limits": set(),
    "garbage": set(),
    "balance": {"errors", "text"},
    "net": set(),
    "privileges": {"errors"},
    "admin": {"balance", "net"} | OPEN_TO_ALL,
    "log_format": set(),
    "logs": {"log_format"} | OPEN_TO_ALL,
    "__main__": {"admin"} | OPEN_TO_ALL,
    "consul": {"balance", "clock", "state_dir"} | OPEN_TO_ALL,
    "proxy": {"balance", "net"} | OPEN_TO_ALL,
    "dev": {"balance"} | OPEN_TO_ALL,
    "handover": {"errors", "net"},
    "workers": {"balance"} | OPEN_TO_ALL,
    "worker": {"clock", "garbage", "proxy", "workers", "balance", "limits"}
    | OPEN_TO_ALL,
    "worker_main": {"worker", "workers"},
    "availability": {"consul", "proxy", "notes", "balance"} | OPEN_TO_ALL,
    "online_check": {"consul", "proxy", "balance"} | OPEN_TO_ALL,
    "state_dir": {"errors"},
    "drain_file": {"balance", "state_dir"} | OPEN_TO_ALL,
    "operations": {"drain_file", "notes", "balance"} | OPEN_TO_ALL,
    "watches": {"state_dir", "clock", "consul", "admin", "balance"} | OPEN_TO_ALL,
    "front": {"proxy", "workers", "notes", "balance"} | OPEN_TO_ALL,
    "notes": {"balance"},
    "showing": {"clock", "admin", "proxy", "workers", "notes", "balance"} | OPEN_TO_ALL,
    "lookout": {"clock", "admin", "showing", "proxy", "notes", "balance"} | OPEN_TO_ALL,
    "reload": OPEN_TO_ALL,
    "retirement": {"clock"},
    "systemd": set(),
    "succession": {"handover"} | OPEN_TO_ALL,
    "service": {
        "state_dir",
        "consul",
        "proxy",
        "lookout",
        "admin",
        "dev",
        "handover",
        "succession",
        "workers",
        "balance",
        "availability",
        "drain_file",
        "operations",
        "watches",
        "front",
        "reload",
        "retirement",
        "logs",
    }
    | OPEN_TO_ALL,
    "early_signals": set(),
    "start": {"early_signals", "tap"},
    "signals": {"early_signals"} | OPEN_TO_ALL,
    "tap": {
        "clock",
        "service",
        "signals",
        "systemd",
        "dev",
        "handover",
        "conceal",
        "garbage",
        "limits",
        "logs",
        "privileges",
        "online_check",
    }
    | OPEN_TO_ALL,
}

#: The modules of dev that the command line may see, to print what they say.
DEV_FOR_TAP = {"lbconsul.dev.hints", "lbconsul.dev.service"}

#: Neither I/O, nor a clock, nor randomness, nor a log, nor other threads.
IMPURE = {
    "asyncio", "concurrent", "ctypes", "fcntl", "http", "io", "logging",
    "multiprocessing", "os", "pathlib", "random", "secrets", "select", "selectors",
    "shutil", "signal", "socket", "ssl", "subprocess", "sys", "tempfile", "threading",
    "time", "urllib",
}  # fmt: skip

#: Modules without I/O, and what beside the standard library they may import.
PURE = {
    "lbconsul.balance": {"attrs"},
    "lbconsul.config": {"attrs"},
    "lbconsul.consul.catalog": {"attrs"},
    "lbconsul.consul.cursor": {"attrs"},
    "lbconsul.consul.entries": set(),
    "lbconsul.consul.location": {"attrs"},
    "lbconsul.consul.reader": {"attrs"},
    "lbconsul.consul.record": {"attrs"},
    "lbconsul.consul.resolv_conf": {"attrs"},
    "lbconsul.admin.events": {"attrs"},
    "lbconsul.admin.figures": {"attrs"},
    "lbconsul.admin.identity": set(),
    "lbconsul.admin.model": {"attrs"},
    "lbconsul.admin.plain": {"attrs"},
    "lbconsul.admin.status": set(),
    "lbconsul.admin.terminal": {"attrs"},
    "lbconsul.errors": set(),
    "lbconsul.text": set(),
    "lbconsul.handover.wire": set(),
    "lbconsul.proxy.networks": {"attrs"},
    "lbconsul.proxy.throttle": {"attrs"},
    "lbconsul.workers.backoff": {"attrs"},
    "lbconsul.workers.ledger": {"attrs"},
    "lbconsul.workers.messages": {"attrs"},
    "lbconsul.workers.outbox": {"attrs"},
    "lbconsul.workers.printed": {"attrs"},
    "lbconsul.workers.replica": {"attrs"},
    "lbconsul.workers.slots": {"attrs"},
}

#: What a pure room may have of an impure module: it works on texts.
EXCEPT = {
    ("lbconsul.admin.identity", "urllib.parse"),
    ("lbconsul.config.grammar", "urllib.parse"),
}

#: Modules whose tests are elsewhere, and where.  What the dev catalog knows and
#: answers is told by one suite of questions, which the real Consul answers too.
CONTRACT = "tests/dev/contract"
TESTED_ELSEWHERE = {
    "lbconsul.consul.http": "tests/consul/test_client.py",
    "lbconsul.dev.agent_api": f"{CONTRACT}/test_services.py",
    "lbconsul.dev.catalog_api": f"{CONTRACT}/test_external_nodes.py",
    "lbconsul.dev.catalog_registration": f"{CONTRACT}/test_external_nodes.py",
    "lbconsul.dev.listing": f"{CONTRACT}/test_questions.py",
    "lbconsul.dev.own_node": f"{CONTRACT}/test_services.py",
    "lbconsul.dev.question": f"{CONTRACT}/test_questions.py",
    "lbconsul.dev.records": f"{CONTRACT}/test_services.py",
    "lbconsul.dev.refused": f"{CONTRACT}/test_services.py",
    "lbconsul.dev.registration": f"{CONTRACT}/test_services.py",
    "lbconsul.dev.reply": "tests/dev/test_api.py",
    "lbconsul.dev.shapes": f"{CONTRACT}/test_questions.py",
    "lbconsul.online_check": "tests/end_to_end/test_misspelt.py",
}


def _modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path
    return found


MODULES = _modules()


def _imported(node: ast.AST) -> Iterator[str]:
    """The modules that an import statement names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            submodule = whole in MODULES or whole == "twisted.internet.reactor"
            yield whole if submodule else str(node.module)


def _imports(name: str) -> set[str]:
    """All that a module imports, wherever it does so."""
    tree = ast.parse(MODULES[name].read_text())
    return {each for node in ast.walk(tree) for each in _imported(node)}


def _at_module_level(tree: ast.AST) -> Iterator[str]:
    """What is imported as soon as the module is."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _imported(node)
            yield from _at_module_level(node)


def _imports_at_once(name: str) -> set[str]:
    return set(_at_module_level(ast.parse(MODULES[name].read_text())))


def _room(module: str) -> str:
    """The room that a module of ours is in, or the module itself in the hall."""
    return module.split(".")[1]


def _tests_of(module: str) -> Path:
    """Where one looks for the tests of a module."""
    *rooms, last = module.split(".")[1:]
    return REPOSITORY.joinpath("tests", *rooms, f"test_{last}.py")


def _is_ours(module: str) -> bool:
    return module.split(".")[0] == "lbconsul"


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"lbconsul"}))
def test_arrows(name: str) -> None:
    """A module imports from its own room, and from those that its room may see."""
    mine = _room(name)
    allowed = ARROWS[mine] | {mine}
    ours = {each for each in _imports(name) if _is_ours(each)}
    assert {each for each in ours if _room(each) not in allowed} == set()
    if mine == "tap":
        of_dev = {each for each in ours if _room(each) == "dev"}
        assert of_dev <= DEV_FOR_TAP


def test_every_room_has_its_arrows() -> None:
    """A room that is added says here whom it may see."""
    assert {_room(name) for name in MODULES if name != "lbconsul"} == set(ARROWS)


def test_arrows_are_as_drawn() -> None:
    """Consul's room and the proxy's never see each other, balance sees nobody."""
    assert "proxy" not in ARROWS["consul"]
    assert "consul" not in ARROWS["proxy"]
    assert ARROWS["balance"] == {"errors", "text"}
    assert not ARROWS["workers"] & {"proxy", "consul", "service"}
    assert [room for room in ARROWS if "worker" in ARROWS[room]] == ["worker_main"]
    assert [room for room in ARROWS if "worker_main" in ARROWS[room]] == []
    assert [room for room in ARROWS if "conceal" in ARROWS[room]] == ["tap"]
    assert [room for room in ARROWS if "service" in ARROWS[room]] == ["tap"]
    assert [room for room in ARROWS if "tap" in ARROWS[room]] == ["start"]


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        (name, prefix)
        for name in MODULES
        for prefix in PURE
        if f"{name}.".startswith(f"{prefix}.")
    ],
)
def test_pure(name: str, prefix: str) -> None:
    """What decides can do no I/O, nor tell the time, draw lots, or log."""
    others = {each for each in _imports(name) if not _is_ours(each)}
    others -= {module for user, module in EXCEPT if user == name}
    tops = {each.split(".")[0] for each in others}
    assert tops & IMPURE == set()
    assert tops - sys.stdlib_module_names <= PURE[prefix]


def test_no_circles() -> None:
    """Every module can be understood after those that it imports."""
    graph = {
        name: {each for each in _imports_at_once(name) if each in MODULES}
        for name in MODULES
    }
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
    assert set(order) == set(MODULES)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_reactor_at_module_level(name: str) -> None:
    """To import a module of ours does not install a reactor."""
    assert "twisted.internet.reactor" not in _imports_at_once(name)


def test_only_programs_take_the_global_reactor() -> None:
    """Everybody else is given the reactor that it works with."""
    users = {name for name in MODULES if "twisted.internet.reactor" in _imports(name)}
    assert users == {"lbconsul.tap", "lbconsul.worker"}


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("__init__.py")), ids=lambda path: path.parent.name
)
def test_packages_are_signposts(path: Path) -> None:
    """An ``__init__`` holds a docstring that says what the room is for: no more."""
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


@pytest.mark.parametrize(
    "name", sorted(each for each, path in MODULES.items() if path.stem != "__init__")
)
def test_each_module_has_its_tests(name: str) -> None:
    """The tests of a module are where one looks for them."""
    elsewhere = TESTED_ELSEWHERE.get(name)
    tests = REPOSITORY / elsewhere if elsewhere else _tests_of(name)
    assert tests.is_file()


def test_no_stale_exceptions() -> None:
    """A module that is gone, or has its tests in their place, is no exception."""
    stale = [
        name
        for name in TESTED_ELSEWHERE
        if name not in MODULES or _tests_of(name).is_file()
    ]
    assert stale == []


def test_each_module_says_what_it_is_for() -> None:
    """Every module of ours begins with a docstring."""
    silent = [
        name
        for name, path in MODULES.items()
        if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []
