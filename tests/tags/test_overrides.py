"""Commands in Consul's KV are read as fabio reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.tags.options import TagOptions
from lbconsul.tags.overrides import MOST_COMMANDS, Command, Verb, parse_commands
from lbconsul.tags.tag import TagRules

RULES = TagRules()


def _parse(line: str) -> Command:
    [command], problems = parse_commands([("fabio/config", line)], RULES)
    assert not problems
    assert command.where == f"fabio/config, line 1: {line.strip()}"
    return command


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (
            "route add web X.com/a http://10.0.0.1:8080/",
            Command(
                Verb.ADD,
                "web",
                "x.com",
                "/a",
                address="10.0.0.1:8080",
                options=TagOptions(proto="http"),
            ),
        ),
        (
            '  route  add web /a https://h weight 0.5 tags "b, a" opts "strip=/a x=y"',
            None,
        ),
        (
            "route add db :3306 tcp://10.0.0.1:3306",
            Command(
                Verb.ADD,
                "db",
                "",
                "",
                3306,
                address="10.0.0.1:3306",
                options=TagOptions(proto="tcp"),
            ),
        ),
        ("route del web", Command(Verb.DEL, "web")),
        ("route del web x.com/a", Command(Verb.DEL, "web", "x.com", "/a")),
        ("route del web x.com", Command(Verb.DEL, "web", "x.com", "/")),
        ("route del web X.com/a", Command(Verb.DEL, "web", "X.com", "/a")),
        (
            "route del web /a http://10.0.0.1:80/",
            Command(Verb.DEL, "web", "", "/a", address="10.0.0.1:80"),
        ),
        ('route del web tags "b,a"', Command(Verb.DEL, "web", tags=("a", "b"))),
        ('route del tags "a"', Command(Verb.DEL, tags=("a",))),
        (
            "route weight web /a weight 0.2",
            Command(Verb.WEIGHT, "web", "", "/a", weight=0.2),
        ),
        (
            'route weight web /a weight -1 tags "a"',
            Command(Verb.WEIGHT, "web", "", "/a", tags=("a",)),
        ),
        (
            'route weight x.com/ weight 1 tags "a"',
            Command(Verb.WEIGHT, "", "x.com", "/", tags=("a",), weight=1),
        ),
        (
            'route weight :3306 weight 1 tags "a"',
            Command(Verb.WEIGHT, "", "", "", 3306, tags=("a",), weight=1),
        ),
    ],
)
def test_commands(line: str, command: Command | None) -> None:
    """Each form of a command says what it is about."""
    if command is not None:
        assert _parse(line) == command
        return
    [found], [odd] = parse_commands([("fabio/config", line)], RULES)
    options = TagOptions(proto="https", strip="/a")
    assert found == Command(
        Verb.ADD,
        "web",
        "",
        "/a",
        tags=("a", "b"),
        address="h:443",
        weight=0.5,
        options=options,
    )
    assert odd.is_warning
    assert "unknown option 'x' is ignored" in str(odd)


def test_lines() -> None:
    """Comments and blank lines are none; a bad line harms no other."""
    text = "# one\n\n// two\n  \nroute del a\nroute dell b\nroute del c\n"
    commands, [problem] = parse_commands([("k/1", text), ("k/2", "route del d")], RULES)
    assert [each.service for each in commands] == ["a", "c", "d"]
    assert str(problem) == (
        "k/1, line 6: route dell b: must begin with route add, route del or route"
        " weight"
    )


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("route", "must begin with route add"),
        ("add web", "must begin with route add"),
        ("route add web /a", "must be route add SERVICE SRC DST"),
        ("route add web /a 10.0.0.1:80", "must be http://HOST:PORT/"),
        ("route add web /a http://u:p@h/", "must be http://HOST:PORT/"),
        ("route add web /a http://h:x/", "must be http://HOST:PORT/"),
        ("route add web /a grpc://h:1", "must be http://HOST:PORT/"),
        ('route add web /a http://h/ opts "allow=x"', "must be ip:NETWORK"),
        ("route add web /a http://h/ weight x", "the weight x must be a number"),
        ("route add web bad[/ http://h/", "neither"),
        ("route del", "must be route del SERVICE"),
        ("route del a /b c", "must be http://HOST:PORT/"),
        ('route del a /b tags "x"', "must be route del SERVICE"),
        ("route del a /../b", "above the root"),
        ("route weight a /b", "must be route weight SERVICE SRC weight W"),
        ("route weight /b weight 1", "must be route weight"),
        ("route weight a /b weight nan", "must be a number"),
        ("route del " + "x" * 5000, "4096 characters"),
    ],
)
def test_no_commands(line: str, wrong: str) -> None:
    """A line that is no command is a problem, which says what would be right."""
    commands, problems = parse_commands([("k", line)], RULES)
    assert not commands
    [problem] = problems
    assert not problem.is_warning
    assert wrong in problem.why


def test_query() -> None:
    """The query of a target is told to be ignored."""
    _, [odd] = parse_commands([("k", "route add a /a http://[::1]:80/?x=1")], RULES)
    assert odd.why == "the target's query is ignored"


def test_too_many() -> None:
    """Beyond so many commands each line is a problem, and no memory."""
    text = "route del a\n" * (MOST_COMMANDS + 2)
    commands, problems = parse_commands([("k", text)], RULES)
    assert len(commands) == MOST_COMMANDS
    assert len(problems) == 2


@given(st.text() | st.text('route adlwigh/:."\\=0x', max_size=60))
def test_any_text(text: str) -> None:
    """Whatever is in the store, each problem is one printable line."""
    _, problems = parse_commands([("k", text)], RULES)
    assert all(str(each).isprintable() for each in problems)
