"""The table of routes follows instances, commands and time."""

from collections.abc import Iterable

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from lbconsul.tags.model import (
    GroupKey,
    Problem,
    TableChange,
    TagInstance,
    TagRoute,
)
from lbconsul.tags.overrides import parse_commands
from lbconsul.tags.table import TagTable
from lbconsul.tags.tag import RouteKey, TagRules

X = RouteKey("x.com", "/")


def _one(
    name: str, *routes: str, tags: Iterable[str] = (), weight: int = 1
) -> TagInstance:
    tagged = tuple(f"urlprefix-{each}" for each in routes)
    return TagInstance(
        ("dc1", "n1", name), (*tagged, *tags), weight, address=f"10.0.0.1:{name}"
    )


def _down(instance: TagInstance) -> TagInstance:
    return evolve(instance, usable=False)


def _command(table: TagTable, *lines: str) -> TableChange:
    return table.use_commands(*parse_commands([("k", "\n".join(lines))], table.rules))


def _shares(route: TagRoute | None) -> dict[str, float]:
    assert route is not None
    return {str(each.key): each.share for each in route.groups}


class TestInstances:
    """Routes are known while an instance with their tag is registered."""

    def test_comes_and_goes(self) -> None:
        """A route is there with its first instance; a check does not end it."""
        table = TagTable(hold=0.0)
        change = table.update("web", [_one("1", "x.com/")], 0.0)
        [(key, route)] = change.routes.items()
        assert key == X
        assert _shares(route) == {"web": 1.0}
        change = table.update("web", [_down(_one("1", "x.com/"))], 1.0)
        route = change.routes[X]
        assert route is not None
        assert not route.is_usable
        assert [(each.registered, each.usable) for each in route.groups] == [(1, 0)]
        assert table.update("web", [], 2.0).routes == {X: None}
        assert not table.routes
        assert not list(table.services)

    def test_nothing_new(self) -> None:
        """What changes nothing about routes is no change."""
        table = TagTable()
        table.update("web", [_one("1", "x.com/")], 0.0)
        change = table.update("web", [_one("1", "x.com/", tags=["v2"])], 0.0)
        assert change == TableChange({})

    def test_several(self) -> None:
        """Instances with equal tags are one group, those of others another one."""
        table = TagTable()
        table.update("web", [_one("1", "x.com/"), _one("2", "x.com/", weight=3)], 0.0)
        change = table.update("api", [_one("3", "x.com/ strip=/a")], 0.0)
        assert _shares(change.routes[X]) == {"api strip=/a": 0.2, "web": 0.8}
        assert list(table.services) == ["web", "api"]

    def test_spelling(self) -> None:
        """A tag that is written otherwise is a group of its own, on the same route."""
        table = TagTable()
        change = table.update("web", [_one("1", "x.com/"), _one("2", "X.com")], 0.0)
        assert _shares(change.routes[X]) == {
            "web": 0.5,
            "web tag=urlprefix-X.com": 0.5,
        }

    def test_weight_of_zero(self) -> None:
        """An instance with the weight 0 is registered, and gets nothing."""
        table = TagTable()
        change = table.update("web", [_one("1", "x.com/", weight=0)], 0.0)
        assert _shares(change.routes[X]) == {"web": 0.0}

    def test_registers(self) -> None:
        """The table says as which services the gateway is to register."""
        table = TagTable()
        table.update("web", [_one("1", "x.com/ register=public", "/")], 0.0)
        assert table.registered_as == {"public"}
        table.update("api", [_one("2", "x.com/ register=public")], 0.0)
        table.update("web", [_one("1", "x.com/")], 0.0)
        assert table.registered_as == {"public"}
        table.update("api", [], 0.0)
        table.expire(table.hold)
        assert not table.registered_as


class TestHolding:
    """A route whose last instance was deregistered is held for a time."""

    def test_hold(self) -> None:
        """It is known for so long, without a share, and gone after that."""
        table = TagTable(hold=10.0)
        table.update("web", [_one("1", "x.com/")], 0.0)
        assert table.expires is None
        change = table.update("web", [], 5.0)
        assert _shares(change.routes[X]) == {"web": 0.0}
        assert table.expires == pytest.approx(15.0)
        assert table.expire(14.0) == TableChange({})
        assert table.expire(15.0).routes == {X: None}
        assert table.expires is None

    def test_returns(self) -> None:
        """If an instance returns it is the same group, and nothing is held any more."""
        table = TagTable(hold=10.0)
        first = table.update("web", [_one("1", "x.com/")], 0.0).routes[X]
        table.update("web", [], 5.0)
        assert table.update("web", [_one("2", "x.com/")], 6.0).routes[X] == first
        assert table.expire(20.0) == TableChange({})

    def test_changed_tag(self) -> None:
        """An instance that registers anew without the tag ends the route at once."""
        table = TagTable(hold=10.0)
        table.update("web", [_one("1", "x.com/")], 0.0)
        change = table.update("web", [_one("1", "y.com/")], 1.0)
        assert change.routes[X] is None

    def test_command(self) -> None:
        """A command that removes the service ends what is held, too."""
        table = TagTable(hold=10.0)
        table.update("web", [_one("1", "x.com/")], 0.0)
        table.update("web", [], 1.0)
        assert _command(table, "route del other").routes == {}
        assert _command(table, "route del web").routes == {X: None}

    def test_closed(self) -> None:
        """A route that only an invalid tag has is held without a group."""
        table = TagTable(hold=10.0)
        table.update("web", [_one("1", "x.com/ weight=x")], 0.0)
        table.update("web", [], 1.0)
        assert table.routes == {X: TagRoute(X)}
        assert table.expire(11.0).routes == {X: None}

    def test_flapping(self) -> None:
        """One that was held before is held anew from the last time."""
        table = TagTable(hold=10.0)
        for now in (0.0, 8.0):
            table.update("web", [_one("1", "x.com/")], now)
            table.update("web", [], now + 1)
        assert table.expire(11.5) == TableChange({})
        assert X in table.routes
        assert table.expire(19.0).routes == {X: None}


class TestProblems:
    """A bad tag is told, and harms no other route."""

    def test_bad(self) -> None:
        """It is a problem for as long as it is there; its route is closed."""
        table = TagTable()
        tag = "urlprefix-x.com/ allow=10.0.0.0/8"
        change = table.update("web", [_one("1", "x.com/ allow=10.0.0.0/8", "/ok")], 0.0)
        [problem] = change.new
        assert (problem.service, problem.instance, problem.tag) == (
            "web",
            ("dc1", "n1", "1"),
            tag,
        )
        assert not problem.is_warning
        assert table.routes[X] == TagRoute(X, closed=problem.why)
        assert table.routes[RouteKey("", "/ok")].is_usable
        assert list(table.problems) == [problem]
        assert table.update("web", [_one("1", "/ok")], 0.0).gone == (problem,)
        assert not list(table.problems)

    def test_several_faults(self) -> None:
        """A route with nothing but invalid tags says what is wrong, in short."""
        table = TagTable()
        table.update(
            "web", [_one("1", "x.com/ weight=x"), _one("2", "x.com/ weight=x")], 0.0
        )
        why = "weight=x must be a number, such as 0.1"
        assert table.routes[X].closed == why
        table.update("api", [_one("3", "x.com/ weight=y")], 0.0)
        assert table.routes[X].closed == f"{why} (and 1 more)"

    def test_beside_a_good_one(self) -> None:
        """Where another instance has the route it gets all requests."""
        table = TagTable()
        table.update("web", [_one("1", "x.com/ weight=x"), _one("2", "x.com/")], 0.0)
        assert _shares(table.routes[X]) == {"web": 1.0}

    def test_warning(self) -> None:
        """What is odd is told, and served."""
        table = TagTable()
        [problem] = table.update("web", [_one("1", "x.com/ stripp=/a")], 0.0).new
        assert problem.is_warning
        assert table.routes[X].is_usable

    def test_no_route(self) -> None:
        """A tag without a route is a problem, and nothing else."""
        table = TagTable()
        change = table.update("web", [_one("1", "x.com[/")], 0.0)
        assert len(change.new) == 1
        assert not change.routes

    def test_twins(self) -> None:
        """Of an instance's tags for one route that which is last in order holds."""
        table = TagTable()
        both = _one("1", "x.com/", "x.com/ strip=/a", "x.com/ strip=/b")
        change = table.update("web", [both, _one("2", "x.com/")], 0.0)
        groups = table.routes[X].groups
        assert [each.registered for each in groups] == [1, 1]
        assert {each.tag for each in change.new} == {
            "urlprefix-x.com/",
            "urlprefix-x.com/ strip=/a",
        }
        assert all("strip=/b" in each.why or "/a" in each.why for each in change.new)
        [other] = [each.key for each in groups if not each.key.options.strip]
        # It must not have the first instance, which has its tag as well.
        assert "urlprefix-x.com/ strip=/a" in str(other.selection.lacking)

    def test_boundary(self) -> None:
        """Routes that meet within a segment are told of; boundary= ends it."""
        table = TagTable()
        table.update("web", [_one("1", "/foo", "/foo/x", "/")], 0.0)
        assert not list(table.problems)
        change = table.update("api", [_one("2", "/foobar", "/foo-bar", "/foo1")], 0.0)
        [problem] = table.problems
        assert problem in change.new
        assert problem.tag == "/foo"
        assert problem.why.startswith("beside /foo-bar and /foo1 it takes")
        change = table.update("web", [_one("1", "/foo boundary=segment")], 0.0)
        assert change.gone == (problem,)
        assert not list(table.problems)

    def test_boundary_of_two(self) -> None:
        """A path has a route while it has one of either kind."""
        table = TagTable(hold=0.0)
        one = _one("1", "/foo boundary=segment")
        table.update("web", [one], 0.0)
        table.update("api", [_one("2", "/foo", "/foobar")], 0.0)
        assert len(list(table.problems)) == 1
        table.update("api", [_one("2", "/foobar")], 0.0)
        assert not list(table.problems)
        assert len(table.update("api", [_one("2", "/foo", "/foobar")], 0.0).new) == 1

    def test_boundaries_of_globs(self) -> None:
        """Globs are whole paths, and meet nothing."""
        table = TagTable(TagRules(matcher="glob"))
        table.update("web", [_one("1", "/foo", "/foobar")], 0.0)
        assert not list(table.problems)

    def test_tcp(self) -> None:
        """TCP routes have keys with a port, and are no paths."""
        table = TagTable(hold=0.0)
        table.update("db", [_one("1", ":3306 proto=tcp")], 0.0)
        assert [*table.routes] == [RouteKey("", "", port=3306)]
        assert table.update("db", [], 0.0).routes == {RouteKey("", "", port=3306): None}


class TestCommands:
    """Commands in Consul's KV alter the routes that tags make."""

    @pytest.fixture
    def table(self) -> TagTable:
        """Two services on one route, one of which is blue in part."""
        table = TagTable()
        table.update("web", [_one("1", "x.com/")], 0.0)
        blue = [_one("2", "x.com/", tags=["blue"]), _one("3", "x.com/")]
        table.update("api", blue, 0.0)
        return table

    def test_weight(self, table: TagTable) -> None:
        """The share is that of all matching instances together."""
        _command(table, "route weight api x.com/ weight 0.5")
        assert _shares(table.routes[X]) == {"api": 0.5, "web": 0.5}
        change = table.update(
            "api", [_one("2", "x.com/"), _down(_one("3", "x.com/"))], 0
        )
        assert _shares(change.routes[X] if change.routes else table.routes[X]) == {
            "api": 0.5,
            "web": 0.5,
        }

    def test_weight_of_tags(self, table: TagTable) -> None:
        """Those with the tags are a group, and the others of the service another."""
        _command(table, 'route weight api x.com/ weight 0.5 tags "blue"')
        assert _shares(table.routes[X]) == {
            "api with=blue": 0.5,
            "api without=blue": 0.25,
            "web": 0.25,
        }
        assert _command(table).routes
        assert _shares(table.routes[X]) == pytest.approx({"api": 2 / 3, "web": 1 / 3})

    def test_del(self, table: TagTable) -> None:
        """Targets are removed by service, route, address and tags."""
        for line, left in [
            ("route del api", {"web"}),
            ("route del api x.com/", {"web"}),
            ("route del api y.com/", {"web", "api"}),
            (
                "route del api x.com/ http://10.0.0.1:2/",
                {"web", "api not-at=10.0.0.1:2"},
            ),
            ('route del tags "blue"', {"web without=blue", "api without=blue"}),
            ('route del api tags "blue"', {"web", "api without=blue"}),
            (
                'route del api tags "blue,green"',
                {"web", "api with=blue without=green", "api without=blue"},
            ),
        ]:
            _command(table, line)
            assert _shares(table.routes[X]).keys() == left
        assert _command(table, "route del api", "route del web").routes == {X: None}

    def test_add(self, table: TagTable) -> None:
        """A target that is added is there with the next lines, and without tags."""
        line = 'route add m x.com/ http://10.0.0.9:80/ tags "blue"'
        _command(table, line, line)
        assert len(table.routes[X].groups) == 3
        added = "m proto=http 10.0.0.9:80"
        assert _shares(table.routes[X])[added] == pytest.approx(0.25)
        _command(table, line, 'route weight x.com/ weight 0.4 tags "blue"')
        assert _shares(table.routes[X])[added] == pytest.approx(0.2)
        change = _command(table, "route add m z.com/ http://10.0.0.9:80/")
        z = RouteKey("z.com", "/")
        assert _shares(change.routes[z]) == {added: 1.0}
        assert _command(table).routes == {z: None}

    def test_order(self, table: TagTable) -> None:
        """Commands act in their order."""
        add = "route add m x.com/ http://10.0.0.9:80/"
        _command(table, "route del m", add)
        assert len(table.routes[X].groups) == 3
        _command(table, add, "route del m")
        assert len(table.routes[X].groups) == 2

    def test_idle(self, table: TagTable) -> None:
        """A weight for nothing is told, until there is something."""
        lines = [
            'route weight X.com/ weight 1 tags "blue"',
            "route weight later y.com/ weight 1",
        ]
        change = _command(table, *lines)
        upper, later = change.new
        assert upper.why.endswith("hosts of routes are in lower case")
        assert later.why == "no target has this route, service and tags"
        change = table.update("later", [_one("4", "y.com/")], 0.0)
        assert change.gone == (later,)
        assert table.update("later", [_one("4", "z.com/")], 0.0).new == (later,)
        assert set(_command(table).gone) == {upper, later}

    def test_weight_beside_a_bad_tag(self, table: TagTable) -> None:
        """An instance whose tag is invalid is none of those that share a weight."""
        table.update("web", [_one("1", "x.com/"), _one("4", "x.com/ weight=x")], 0.0)
        _command(table, "route weight web x.com/ weight 0.5")
        assert _shares(table.routes[X]) == {"api": 0.5, "web": 0.5}

    def test_bad_lines(self, table: TagTable) -> None:
        """What is wrong in the store is told, and gone with it."""
        [problem] = _command(table, "route x").new
        assert list(table.problems) == [problem]
        assert _command(table).gone == (problem,)


ROUTES = [
    "x.com/",
    "x.com/ strip=/a",
    "*.com/b",
    "/foo weight=0.3",
    "/foo",
    ":1 proto=tcp",
]
BAD = ["x.com/ weight=x", "/foo allow=1", "/b[/x", "", "x.com/ auth=a", ":x"]
COMMANDS = [
    "route del b",
    'route weight a x.com/ weight 0.4 tags "t1"',
    'route del tags "t2"',
    "route add c x.com/ http://10.0.0.9:80/",
    "route del a /foo http://10.0.0.1:1/",
]
INSTANCES = st.dictionaries(
    st.sampled_from("12"),
    st.builds(
        lambda routes, tags, usable, weight: (routes, tags, usable, weight),
        st.lists(st.sampled_from([*ROUTES, *BAD]), max_size=3),
        st.sets(st.sampled_from(["t1", "t2"])),
        st.booleans(),
        st.integers(0, 3),
    ),
    max_size=2,
)
CHANGES = st.lists(
    st.tuples(st.sampled_from("ab"), INSTANCES) | st.sets(st.sampled_from(COMMANDS)),
    max_size=6,
)


def _made(
    given_: dict[str, tuple[list[str], set[str], bool, int]],
) -> list[TagInstance]:
    return [
        TagInstance(
            ("dc1", "n1", name),
            (*(f"urlprefix-{each}" for each in routes), *sorted(tags)),
            weight,
            usable,
            f"10.0.0.1:{name}",
        )
        for name, (routes, tags, usable, weight) in given_.items()
    ]


@settings(deadline=None)
@given(CHANGES)
def test_changes_add_up(changes: list[tuple[str, dict] | set[str]]) -> None:  # type: ignore[type-arg]
    """However it came there, a table is that of what there is now.

    What its changes say adds up to it, and shares to 1.
    """
    table, now = TagTable(hold=0.0), dict[str, list[TagInstance]]()
    routes = dict[RouteKey, TagRoute]()
    problems = set[Problem]()
    lines: list[str] = []
    for each in changes:
        if isinstance(each, set):
            lines = sorted(each)
            change = _command(table, *lines)
        else:
            now[each[0]] = _made(each[1])
            change = table.update(each[0], now[each[0]], 0.0)
        for key, route in change.routes.items():
            assert routes.get(key) != route
            if route is None:
                del routes[key]
            else:
                routes[key] = route
        assert not problems.intersection(change.new)
        assert problems.issuperset(change.gone)
        problems = problems.union(change.new).difference(change.gone)
    fresh = TagTable(hold=0.0)
    _command(fresh, *lines)
    for service, instances in now.items():
        fresh.update(service, instances, 0.0)
    assert table.routes == fresh.routes == routes
    assert problems == set(table.problems) == set(fresh.problems)
    for route in routes.values():
        total = sum(each.share for each in route.groups)
        assert total == pytest.approx(1 if route.is_usable else 0)


@settings(deadline=None)
@given(
    good=st.lists(st.sampled_from(ROUTES), max_size=3),
    bad=st.lists(st.sampled_from(BAD), min_size=1, max_size=3),
)
def test_a_bad_tag_changes_no_other_route(good: list[str], bad: list[str]) -> None:
    """Whatever bad tags others have, a service's good routes lead to it as before."""
    table = TagTable()
    table.update("web", [_one("1", *good)], 0.0)
    before = dict(table.routes)
    table.update("bad", [_one("2", *bad)], 0.0)
    assert {key: table.routes[key] for key in before} == before


def test_groups_stay() -> None:
    """A group is the same while instances come and go."""
    table = TagTable()
    table.update("web", [_one("1", "x.com/")], 0.0)
    [before] = table.routes[X].groups
    table.update("web", [_one("2", "x.com/"), _one("3", "x.com/")], 0.0)
    [after] = table.routes[X].groups
    assert before.key == after.key
    assert isinstance(after.key, GroupKey)
