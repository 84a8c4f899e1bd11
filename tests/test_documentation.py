"""README.md and docs/: the commands, tables, blocks and links in them."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbconsul.admin.metrics import metrics
from lbconsul.command_line import CommandLine
from lbconsul.config.http_options import HTTP_OPTIONS
from lbconsul.config.mapping_options import MAPPING_OPTIONS
from lbconsul.config.options import OPTIONS
from lbconsul.config.rewriting_options import REWRITING_OPTIONS
from lbconsul.proxy.answer_reasons import REASONS
from lbconsul.stats.termination import Termination
from lbconsul.usage.commands import BY_NAME, PROCESS
from lbconsul.usage.words import parse, parted
from tests.support.binaries import REPOSITORY
from tests.support.fake_source import fake_source

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]

#: How a line begins that starts a gateway, or asks one.
STARTS = re.compile(r"(?:twistd -n |docker run .*? )?lbconsul ")


def _commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = page.read_text()
        for block in re.findall(r"(?:^ {4}\S.*\n(?: {4}.*\n)*)", text, re.MULTILINE):
            lines = re.sub(r"^ {4}", "", block, flags=re.MULTILINE)
            for line in map(str.lstrip, lines.replace("\\\n", "").splitlines()):
                if STARTS.match(line) and "[options]" not in line:
                    yield page.name, line


COMMANDS = list(_commands())


def _migrations() -> Iterator[str]:
    """What the tables for users of other balancers have in their last column."""
    page = (REPOSITORY / "docs" / "migrate.md").read_text()
    for row in re.findall(r"^\|.*", page, re.MULTILINE):
        yield from re.findall(r"`((?:--|docker run)[^`]+)`", row.split(" | ")[-1])


MIGRATIONS = list(_migrations())


def _table(title: str) -> set[str]:
    """What the first column of the table below a title of the reference names."""
    page = (REPOSITORY / "docs" / "reference.md").read_text()
    section = page.partition(f"\n{title}\n")[2]
    table = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)[0]
    cells = [row.split(" | ")[0] for row in table.splitlines()[2:]]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


@pytest.mark.usefixtures("without_environment")
@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_commands(page: str, command: str, tmp_path: Path) -> None:
    """Each command is one that is understood."""
    words = shlex.split(command, comments=True)
    words = words[: words.index("|")] if "|" in words else words
    if "--config" in words:
        file = tmp_path / "lbconsul.toml"
        file.write_text("map = ['80:web']\n")
        words[words.index("--config") + 1] = str(file)
    name, *rest = words = words[words.index("lbconsul") + 1 :]
    if not command.startswith("lbconsul ") or name not in BY_NAME:
        CommandLine().parseOptions(words)
    elif name in ("run", "check"):
        process = [each.name for each in PROCESS.arguments]
        check = ["--check"] if name == "check" else []
        others = parted(BY_NAME[name], rest, process)[1]
        CommandLine().parseOptions([*check, *others])
    else:
        parse(BY_NAME[name], rest)


def test_table_of_commands() -> None:
    """The reference has a row for each command, and for nothing else."""
    named = _table("### Commands")
    assert named == set(BY_NAME)


@pytest.mark.usefixtures("without_environment")
@pytest.mark.parametrize("options", MIGRATIONS)
def test_migrations(options: str) -> None:
    """Settings that replace those of other balancers can be pasted into a shell."""
    unquoted = re.sub(r"'[^']*'", "", options)
    assert not re.search(r"[$*?;&|<>(){}\\\"\[]", unquoted)
    words = shlex.split(options)
    if "lbconsul" in words:
        words = words[words.index("lbconsul") + 1 :]
    elif "--map" not in words:
        words += ["--map", "80:web"]
    CommandLine().parseOptions(words)


def test_commands_are_found() -> None:
    """The commands of the pages that have most are among those that are tried."""
    found = [page for page, _ in COMMANDS]
    assert found.count("README.md") >= 4
    assert found.count("tls.md") >= 12
    assert found.count("http.md") >= 12
    assert len(MIGRATIONS) >= 130


def test_options_of_mappings() -> None:
    """The reference has a row for each option of a mapping, and for nothing else."""
    of_http = _table("### Options of HTTP mode")
    assert of_http == {option.name for option in HTTP_OPTIONS}
    rewriting = _table("### Options that rewrite requests and responses")
    assert rewriting == {option.name for option in REWRITING_OPTIONS}
    own = set(MAPPING_OPTIONS) - of_http - rewriting
    assert _table("### Options of mappings") == own


def test_options_of_the_gateway() -> None:
    """The reference has a row for each option that is no mapping's."""
    flags = {"check", "online", "dev", "consul", "map", "route", "config"}
    named = {each.removeprefix("--") for each in _table("### Options of the gateway")}
    assert named == (set(OPTIONS) - set(MAPPING_OPTIONS)) | flags


def test_metrics() -> None:
    """Each metric that a page names is one that a gateway has."""
    source = fake_source(lambda: 1_760_000_000.0, 12, "ok")
    source.speak_http()
    source.check_instances()
    text = b"".join(metrics(source, {("status", 200): 7})).decode()
    known = set(re.findall(r"^(?:# TYPE )?(lbconsul_\w+)", text, re.MULTILINE))
    for page in PAGES:
        for name in re.findall(r"\blbconsul_[a-z_]+\b(?!/)", page.read_text()):
            assert name in known, (page.name, name)


def test_termination_codes() -> None:
    """The reference explains each termination that the log can have."""
    assert _table("## The log") == {each.value for each in Termination}


def test_reasons() -> None:
    """The reference explains each reason for an answer of the gateway's own."""
    assert _table("### Reasons of own answers") == REASONS


def _listed() -> set[str]:
    """The pages that have a place on the site."""
    index = (REPOSITORY / "docs" / "index.md").read_text()
    lists = re.findall(r"^```\{toctree\}\n(?::.*\n)*\n([^`]*)^```", index, re.MULTILINE)
    return {name for each in lists for name in each.split()}


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_site(page: Path) -> None:
    """Each page has a place in a list of index.md, and one title."""
    assert page.stem in _listed() | {"README", "index"}
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1


def _blocks(language: str) -> list[tuple[str, str]]:
    blocks = re.compile(rf"^( *)```{language}\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
    return [
        (page.name, textwrap.dedent(found[1]))
        for page in PAGES
        for found in blocks.findall(page.read_text())
    ]


@pytest.mark.usefixtures("without_environment")
@pytest.mark.parametrize(("page", "text"), _blocks("toml"))
def test_toml(page: str, text: str, tmp_path: Path) -> None:
    """Each block of TOML is a configuration."""
    path = tmp_path / "lbconsul.toml"
    path.write_text(text)
    CommandLine().parseOptions(["--config", str(path)])


@pytest.mark.parametrize(("page", "text"), _blocks("python"))
def test_python(page: str, text: str) -> None:
    """Each block of Python is a program."""
    compile(text, page, "exec")


def _anchors(text: str) -> set[str]:
    """What GitHub calls the headings of a page in the addresses of links."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page: Path) -> None:
    """Each link from a page to another, or within it, leads somewhere."""
    text = page.read_text()
    for path, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]*))?\)", text):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in _anchors(target.read_text()), (path, anchor)
