"""The architecture: which room imports which, and where each test is.

A room is a package of `lbconsul`, or a module that stands in no package.  `ROOMS`
lists them from the ground up; a module that moves from one room to another changes
that table only if an arrow does, or if it is pure in a room that is not.  The package
is parsed once, and every failure names the module and the arrow.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from attrs import frozen

from tests.support.binaries import REPOSITORY

PACKAGE = REPOSITORY / "lbconsul"
REACTOR = "twisted.internet.reactor"


@frozen
class Room:
    """What a room may import beside itself, and which of its modules are pure.

    `sees` names rooms, and with a dot single modules of a room ("dev.hints").  In
    `pure`, "*" stands for all modules.
    """

    sees: frozenset[str]
    pure: frozenset[str]


def room(sees: str = "", *, pure: str = "") -> Room:
    """A room, from names with blanks between them."""
    return Room(frozenset(sees.split()), frozenset(pure.split()))


#: Nearly every room reads options, raises errors and prints names.
COMMON = "config errors steps text "

#: Every room, from the ground up: each sees only rooms that stand above it here.
ROOMS: dict[str, Room] = {
    "errors": room(pure="*"),
    "steps": room(pure="*"),
    "version": room(pure="*"),
    "text": room(pure="*"),
    "config": room("errors text", pure="*"),
    "balance": room("errors text", pure="*"),
    "stats": room("balance text", pure="*"),
    "net": room(
        "config errors",
        pure="cidr crc32c proxy_header proxy_protocol proxy_tlvs proxy_v1 proxy_v2"
        " rate_limit",
    ),
    "limits": room("config net.cidr stats", pure="*"),
    "extensions": room(
        COMMON + "balance net.rate_limit net.throttled_log", pure="hook_values hooks"
    ),
    "testing": room("balance extensions"),
    "process": room("config errors"),
    "logs": room(COMMON),
    "tls": room(
        "config.model config.server_names errors net.sockets process.files steps text",
        pure="client_hello errors peer",
    ),
    "http": room(COMMON, pure="*"),
    "tags": room("config http steps text", pure="*"),
    "takeover": room(COMMON + "net", pure="protocol"),
    "admin": room(
        COMMON + "net process tls.openssl tls.server",
        pure="event_log event_messages http_status short_text status_diff status_json"
        " status_model tag_routes terminal text_table upstream_id why",
    ),
    "dev": room(COMMON),
    "consul": room(
        COMMON + "balance net process tls.context tls.pem",
        pure="blocking_query catalog entries incremental keeper location registration"
        " resolv_conf watch_stats",
    ),
    "proxy": room(
        COMMON + "balance extensions http limits net process.files"
        " process.reactor_lag stats tags.router tls",
        pure="answer_reasons retry slow_upstreams",
    ),
    "checks": room(
        COMMON + "balance http net proxy.upstream_tls tls.stream",
        pure="handover http_probe schedule state",
    ),
    "workers": room(
        COMMON + "balance extensions http.htpasswd limits logs net process proxy stats"
        " tls.material tls.server",
        pure="catalog_replica catalog_sender http_messages live_rows messages"
        " restart_backoff slots traffic_messages versioned_catalog",
    ),
    "gateway": room(
        COMMON + "admin balance checks consul extensions http logs net process proxy"
        " stats tags tls version workers",
    ),
    "usage": room("config errors", pure="*"),
    "service": room(
        COMMON + "admin balance consul dev gateway logs net process proxy takeover"
    ),
    "command_line": room(COMMON + "logs process usage version"),
    "tap": room(
        COMMON + "command_line dev.quickstart gateway process service takeover version"
    ),
    "start": room("process tap"),
    "top": room(
        "admin stats.histogram text",
        pure="columns detail_page details figures keys lines link mapping_details"
        " orders problems rows summary view",
    ),
    "console": room(COMMON + "admin process top.app usage version"),
    "__main__": room("console"),
}

#: Rooms that never see each other, in either direction.
STRANGERS = [
    ("consul", "proxy"),
    ("admin", "consul"),
    ("admin", "proxy"),
    ("workers", "consul"),
]

#: Rooms that only these others may see.
ONLY_FOR = {
    "service": {"tap"},
    "command_line": {"tap"},
    "tap": {"start"},
    "gateway": {"service", "tap"},
}

#: The modules that work with the global reactor; all others are given theirs.
PROGRAMS = {"lbconsul.tap", "lbconsul.workers.worker"}

#: Neither I/O, nor a clock, nor randomness, nor a log, nor other threads.
IMPURE = {
    "asyncio", "concurrent", "ctypes", "fcntl", "http", "io", "logging",
    "multiprocessing", "os", "pathlib", "random", "secrets", "select", "selectors",
    "shutil", "signal", "socket", "ssl", "subprocess", "sys", "tempfile", "threading",
    "time", "urllib",
}  # fmt: skip

#: What pure modules import beside the standard library.
PURE_LIBRARIES = {"attrs"}

#: What a pure module may have of an impure one: it works on texts.
EXCEPT = {
    ("lbconsul.admin.upstream_id", "urllib.parse"),
    ("lbconsul.config.grammar", "urllib.parse"),
    ("lbconsul.tags.overrides", "urllib.parse"),
    ("lbconsul.tags.paths", "urllib.parse"),
    ("lbconsul.tags.tag", "urllib.parse"),
    ("lbconsul.text", "urllib.parse"),
}

#: Modules whose tests are elsewhere, and where.  What the dev catalog knows and
#: answers is checked by one suite of requests, which the real Consul answers too; one
#: suite tells what both data planes do.
CONTRACT = "tests/dev/contract"
TESTED_ELSEWHERE = {
    "lbconsul.balance.policies": "tests/balance/test_policy.py",
    "lbconsul.config.affinity": "tests/config/test_affinity_values.py",
    "lbconsul.config.affinity_options": "tests/config/test_options.py",
    "lbconsul.config.cookies": "tests/http/test_signed_cookie.py",
    "lbconsul.config.compression": "tests/config/test_compression_options.py",
    "lbconsul.admin.check_status": "tests/admin/test_status_model.py",
    "lbconsul.config.check": "tests/config/test_check_values.py",
    "lbconsul.config.check_options": "tests/config/test_options.py",
    "lbconsul.config.check_spec": "tests/config/test_check_values.py",
    "lbconsul.config.http": "tests/config/test_options.py",
    "lbconsul.config.http_options": "tests/config/test_options.py",
    "lbconsul.config.limit_options": "tests/config/test_options.py",
    "lbconsul.config.lists": "tests/config/test_options.py",
    "lbconsul.config.mapping_options": "tests/config/test_options.py",
    "lbconsul.consul.agent_services": "tests/consul/test_registrar.py",
    "lbconsul.consul.registration_log": "tests/consul/test_registrar.py",
    "lbconsul.consul.registration_round": "tests/consul/test_registrar.py",
    "lbconsul.config.register": "tests/config/test_register_values.py",
    "lbconsul.config.register_options": "tests/config/test_options.py",
    "lbconsul.config.option": "tests/config/test_options.py",
    "lbconsul.proxy.split_cookie": "tests/proxy/test_http_split.py",
    "lbconsul.config.split_options": "tests/config/test_split.py",
    "lbconsul.config.splits": "tests/config/test_split.py",
    "lbconsul.config.rewriting_options": "tests/config/test_options.py",
    "lbconsul.config.tls_options": "tests/config/test_options.py",
    "lbconsul.console.ask": "tests/console/test_main.py",
    "lbconsul.console.serve": "tests/end_to_end/test_console.py",
    "lbconsul.console.version": "tests/console/test_main.py",
    "lbconsul.console.why": "tests/console/test_main.py",
    "lbconsul.top.app": "tests/end_to_end/test_top.py",
    "lbconsul.top.detail_page": "tests/top/test_details.py",
    "lbconsul.top.main_screen": "tests/end_to_end/test_top.py",
    "lbconsul.top.mapping_details": "tests/top/test_details.py",
    "lbconsul.top.screens": "tests/end_to_end/test_top.py",
    "lbconsul.top.widgets": "tests/end_to_end/test_top.py",
    "lbconsul.consul.dns_messages": "tests/consul/test_dns_server.py",
    "lbconsul.consul.http": "tests/consul/test_client.py",
    "lbconsul.consul.query_loop": "tests/consul/test_watch.py",
    "lbconsul.dev.agent_api": f"{CONTRACT}/test_services.py",
    "lbconsul.dev.catalog_api": f"{CONTRACT}/test_external_nodes.py",
    "lbconsul.dev.catalog_registration": f"{CONTRACT}/test_external_nodes.py",
    "lbconsul.dev.views": f"{CONTRACT}/test_queries.py",
    "lbconsul.dev.http": f"{CONTRACT}/test_queries.py",
    "lbconsul.dev.records": f"{CONTRACT}/test_services.py",
    "lbconsul.dev.registration": f"{CONTRACT}/test_services.py",
    "lbconsul.dev.schemas": f"{CONTRACT}/test_queries.py",
    "lbconsul.gateway.certificate_keys": "tests/gateway/test_certificates.py",
    "lbconsul.gateway.certificate_sources": "tests/gateway/test_certificates.py",
    "lbconsul.gateway.why_tags": "tests/gateway/test_why.py",
    "lbconsul.gateway.interfaces": "tests/gateway/test_data_plane.py",
    "lbconsul.gateway.served_certificates": "tests/gateway/test_certificates.py",
    "lbconsul.http.errors": "tests/http/test_request.py",
    "lbconsul.net.proxy_header": "tests/net/test_proxy_protocol.py",
    "lbconsul.proxy.connection_drain": "tests/proxy/test_listener_manager.py",
    "lbconsul.proxy.http_dial": "tests/proxy/test_http_exchange.py",
    "lbconsul.proxy.http_held_response": "tests/proxy/test_http_retry.py",
    "lbconsul.proxy.http_own_answers": "tests/proxy/test_http_session.py",
    "lbconsul.proxy.http_requests": "tests/proxy/test_http_session.py",
    "lbconsul.proxy.http_response": "tests/proxy/test_http_exchange.py",
    "lbconsul.proxy.http_time_limits": "tests/proxy/test_http_limits.py",
    "lbconsul.proxy.request_record": "tests/proxy/test_request_log.py",
    "lbconsul.proxy.request_texts": "tests/proxy/test_request_log.py",
    "lbconsul.proxy.route_table": "tests/proxy/test_active_listener.py",
    "lbconsul.proxy.handshake_steps": "tests/proxy/test_client_handshake.py",
    "lbconsul.tags.boundaries": "tests/tags/test_table.py",
    "lbconsul.tags.building": "tests/tags/test_cases.py",
    "lbconsul.tags.host_routes": "tests/tags/test_router.py",
    "lbconsul.tags.options": "tests/tags/test_tag.py",
    "lbconsul.tags.problems": "tests/tags/test_table.py",
    "lbconsul.tags.targets": "tests/tags/test_table.py",
    "lbconsul.tls.errors": "tests/tls/test_openssl.py",
    "lbconsul.tls.peer": "tests/tls/test_inspection.py",
    "lbconsul.proxy.data_plane": "tests/gateway/test_data_plane.py",
    "lbconsul.workers.assignments": "tests/workers/test_worker.py",
    "lbconsul.workers.reporter": "tests/workers/test_worker.py",
}


@frozen
class Module:
    """A module of ours, parsed."""

    name: str
    path: Path
    tree: ast.Module
    #: All that it imports, wherever it does so.
    imports: frozenset[str]
    #: What is imported as soon as it is.
    imports_at_once: frozenset[str]

    @property
    def room(self) -> str:
        """The room that it is in; "" for the package itself."""
        return _room(self.name)

    @property
    def is_package(self) -> bool:
        """Whether it is an ``__init__``."""
        return self.path.stem == "__init__"

    @property
    def is_pure(self) -> bool:
        """Whether the table says that it is."""
        pure = ROOMS[self.room].pure if self.room in ROOMS else frozenset()
        return bool(pure & {"*", self.name.split(".")[-1]})

    @property
    def tests(self) -> Path:
        """Where one looks for its tests."""
        _, *rooms, last = self.name.split(".")
        return REPOSITORY.joinpath("tests", *rooms, f"test_{last}.py")


def _name(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room(name: str) -> str:
    return f"{name}.".split(".")[1]


def _is_ours(name: str) -> bool:
    return name.split(".")[0] == "lbconsul"


def _imported(node: ast.AST, ours: Iterable[str]) -> Iterator[str]:
    """The modules that an import statement names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"imports are absolute: {ast.unparse(node)}"
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            yield whole if whole in ours or whole == REACTOR else str(node.module)


def _run_at_once(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from _run_at_once(node)


def _parse(path: Path, ours: Iterable[str]) -> Module:
    tree = ast.parse(path.read_text(), str(path))
    anywhere, at_once = (
        frozenset(each for node in nodes for each in _imported(node, ours))
        for nodes in (ast.walk(tree), _run_at_once(tree))
    )
    return Module(_name(path), path, tree, anywhere, at_once)


@pytest.fixture(scope="module")
def modules() -> dict[str, Module]:
    """Every module of the package, parsed once."""
    paths = {_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
    return {name: _parse(path, paths) for name, path in paths.items()}


def _fail_if_any(problems: Iterable[str]) -> None:
    if found := sorted(problems):
        pytest.fail("\n".join(found), pytrace=False)


def _arrows(modules: dict[str, Module]) -> Iterator[tuple[Module, str]]:
    """Each import of a module of ours by another room's."""
    for module in modules.values():
        for other in module.imports:
            if _is_ours(other) and _room(other) != module.room:
                yield module, other


def _allows(sees: frozenset[str], name: str) -> str | None:
    """The entry that lets one see this module."""
    allowed = sees & {_room(name), name.removeprefix("lbconsul.")}
    return next(iter(allowed), None)


def test_arrows(modules: dict[str, Module]) -> None:
    """A module imports from its own room, and from those that its room may see."""
    _fail_if_any(
        f"{module.name} -> {other}: room {module.room} may see"
        f" {' '.join(sorted(ROOMS[module.room].sees)) or 'no other'}"
        for module, other in _arrows(modules)
        if module.room in ROOMS and not _allows(ROOMS[module.room].sees, other)
    )


def test_table_of_rooms(modules: dict[str, Module]) -> None:
    """The table lists all rooms, from the ground up, without spare arrows."""
    rooms = {module.room for module in modules.values()} - {""}
    problems = [f"room {name} is not in ROOMS" for name in rooms - set(ROOMS)]
    problems += [f"there is no room {name}" for name in set(ROOMS) - rooms]
    used = {
        (module.room, _allows(ROOMS[module.room].sees, other))
        for module, other in _arrows(modules)
        if module.room in ROOMS
    }
    below: set[str] = set()
    for name, each in ROOMS.items():
        for seen in each.sees:
            if seen.split(".")[0] not in below:
                problems.append(f"{name} -> {seen}: not above it in ROOMS")
            if seen not in COMMON.split() and (name, seen) not in used:
                problems.append(f"{name} -> {seen}: nothing uses this arrow")
        problems += [
            f"there is no pure lbconsul.{name}.{pure}"
            for pure in each.pure - {"*"}
            if f"lbconsul.{name}.{pure}" not in modules
        ]
        below.add(name)
    _fail_if_any(problems)


def test_walls_between_rooms() -> None:
    """The table does not grow an arrow through a wall that carries the house."""
    arrows = {(name, seen.split(".")[0]) for name in ROOMS for seen in ROOMS[name].sees}
    walls = {pair for one, other in STRANGERS for pair in [(one, other), (other, one)]}
    problems = {
        f"{one} -> {other}: they never see each other" for one, other in walls & arrows
    }
    problems |= {
        f"{one} -> {other}: only {' '.join(ONLY_FOR[other]) or 'none'} may see it"
        for one, other in arrows
        if other in ONLY_FOR and one not in ONLY_FOR[other]
    }
    for name in ("balance", "config"):
        extra = ROOMS[name].sees - {"errors", "text"}
        problems |= {f"{name} -> {seen}: it stands on the ground" for seen in extra}
    _fail_if_any(problems)


def test_pure_modules(modules: dict[str, Module]) -> None:
    """Pure modules can do no I/O, nor tell the time, draw lots, or log."""
    problems = []
    for module in filter(lambda each: each.is_pure, modules.values()):
        for other in module.imports:
            top = other.split(".")[0]
            known = _is_ours(other) or top in sys.stdlib_module_names
            if (module.name, other) in EXCEPT:
                continue
            if top in IMPURE or not (known or top in PURE_LIBRARIES):
                problems.append(f"{module.name} -> {other}: it is to be pure")
    _fail_if_any(problems)


def test_no_circles(modules: dict[str, Module]) -> None:
    """Every module can be understood after those that it imports."""
    graph = {
        name: module.imports_at_once & modules.keys()
        for name, module in modules.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]), pytrace=False)


def test_reactor(modules: dict[str, Module]) -> None:
    """To import a module of ours installs no reactor; programs alone take it."""
    _fail_if_any(
        f"{module.name} -> {REACTOR}"
        for module in modules.values()
        if REACTOR in module.imports_at_once
        or (REACTOR in module.imports) != (module.name in PROGRAMS)
    )


def test_docstrings(modules: dict[str, Module]) -> None:
    """Each module says what it is for; a room's ``__init__`` holds nothing else."""
    for_what = {each for each in modules.values() if not ast.get_docstring(each.tree)}
    problems = [f"{each.name} does not say what it is for" for each in for_what]
    problems += [
        f"{each.name} holds more than its docstring"
        for each in modules.values()
        if each.is_package and each.room and len(each.tree.body) > 1
    ]
    _fail_if_any(problems)


def test_places_of_tests(modules: dict[str, Module]) -> None:
    """The tests of a module are where one looks for them, or where it is said."""
    problems = []
    for module in (each for each in modules.values() if not each.is_package):
        elsewhere = TESTED_ELSEWHERE.get(module.name)
        tests = REPOSITORY / elsewhere if elsewhere else module.tests
        if not tests.is_file():
            problems.append(f"{module.name} has no {tests.relative_to(REPOSITORY)}")
        if elsewhere and module.tests.is_file():
            problems.append(f"{module.name} has tests in their place")
    gone = TESTED_ELSEWHERE.keys() - modules.keys()
    _fail_if_any(problems + [f"{name} is gone" for name in gone])


def _members(node: ast.AST) -> Iterator[str]:
    """The names that a module or a class defines, those of a class's members too."""
    for each in ast.iter_child_nodes(node):
        if isinstance(each, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield each.name
        if isinstance(each, ast.ClassDef):
            yield from (f"{each.name}.{name}" for name in _members(each))
        targets = each.targets if isinstance(each, ast.Assign) else []
        targets += [each.target] if isinstance(each, ast.AnnAssign) else []
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def test_rooms_on_the_page() -> None:
    """The table of docs/architecture.md has each room, and no other."""
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(ROOMS)


def test_names_on_the_page(modules: dict[str, Module]) -> None:
    """Each module, class and method that docs/architecture.md names exists."""
    known = {name.partition(".")[2] for name in modules}
    for module in modules.values():
        for name in _members(module.tree):
            known |= {name, f"{module.name.partition('.')[2]}.{name}"}
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    named = re.findall(r"`((?:[a-z_]+\.)*[A-Z]\w*(?:\.\w+)?|[a-z_]+(?:\.\w+)+)`", page)
    _fail_if_any(
        f"docs/architecture.md names {name}, which does not exist"
        for name in set(named) - known
        if name.split(".")[0] in ROOMS or re.match(r"[A-Z]\w*[a-z]", name)
    )
