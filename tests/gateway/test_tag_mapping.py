"""What changes of tags mean for the rows of a mapping."""

from attrs import evolve
from twisted.internet.task import Clock

from lbconsul import configure
from lbconsul.balance.instance import Health, Instance
from lbconsul.gateway.tag_mapping import TagMapping
from lbconsul.proxy.live_routes import RowChanges
from tests.support.instances import an_instance


def instance(name: str, *tags: str, is_well: bool = True) -> Instance:
    """An instance with these tags."""
    health = Health() if is_well else Health("critical", "down")
    found = an_instance(name)
    return evolve(found, tags=tags, health=health)


class Stage:
    """A mapping of tags, with a clock."""

    def __init__(self, options: str = "") -> None:
        [mapping] = configure(mappings=[f"80:@tags,mode=http{options}"]).mappings
        self.clock = Clock()
        self.tags = TagMapping(mapping, self.clock.seconds, "dc1")

    def update(self, service: str, *instances: Instance) -> RowChanges | None:
        """The change of rows that these instances of a service make."""
        return self.tags.follow(self.tags.update(service, instances, ()))


def test_rows_come_and_go() -> None:
    """A route has a row for each group; rows that stay are not touched."""
    stage = Stage()
    first = stage.update("web", instance("a", "urlprefix-/foo strip=/foo"))
    assert first is not None
    [row] = first.put
    assert row.service == "web" and row.rewriting.strip_prefix == "/foo"
    assert not row.tags.is_on
    [(key, shares)] = first.routes
    assert str(key) == "/foo" and shares == ((row.route, 1.0),)
    second = stage.update("other", instance("b", "urlprefix-/foo"))
    assert second is not None and len(second.put) == 1 and not second.drop
    [(_, shares)] = second.routes
    assert sorted(share for _, share in shares or ()) == [0.5, 0.5]
    assert stage.update("other", instance("b", "urlprefix-/foo")) is None
    third = stage.update("other", instance("b"))
    assert third is not None and not third.put
    assert third.drop == (second.put[0].route,)
    assert list(stage.tags.rows) == [row]


def test_without_an_instance_a_route_is_known_for_a_time() -> None:
    """Its row stays, with a share of nothing, until the hold is over."""
    stage = Stage(",route-hold=60s")
    stage.update("web", instance("a", "urlprefix-/foo"))
    critical = stage.update("web", instance("a", "urlprefix-/foo", is_well=False))
    assert critical is not None and not critical.drop
    stage.update("web")
    assert len(list(stage.tags.rows)) == 1
    assert stage.tags.expire() is None
    stage.clock.advance(61)
    change = stage.tags.expire()
    assert change is not None
    rows = stage.tags.follow(change)
    assert rows is not None and len(rows.drop) == 1
    assert not list(stage.tags.rows)


def test_a_bad_tag_is_a_known_route() -> None:
    """What cannot be served is told of, and is 503: it has a row without a service."""
    stage = Stage()
    found = stage.update("web", instance("a", "urlprefix-/foo allow=10.0.0.0/8"))
    assert found is not None
    assert [row.service for row in found.put] == [""]
    [problem] = stage.tags.problems
    assert "allow=" in str(problem)


def test_another_prefix() -> None:
    """After a reload the rows of before stay until all is known, and then go."""
    stage = Stage()
    stage.update("web", instance("a", "urlprefix-/foo", "r-/bar"))
    [mapping] = configure(mappings=["80:@tags,mode=http,tag-prefix=r-"]).mappings
    stage.tags = stage.tags.altered(mapping, "dc1")
    found = stage.update("web", instance("a", "urlprefix-/foo", "r-/bar"))
    assert found is not None and not found.drop
    assert len(list(stage.tags.rows)) == 2
    last = stage.tags.complete()
    assert last.is_complete and len(last.drop) == 1
    assert [str(key) for key, _ in last.routes] == ["/foo"]


def test_commands() -> None:
    """Commands of Consul's KV alter the routes."""
    stage = Stage()
    stage.update("web", instance("a", "urlprefix-/foo"))
    change = stage.tags.use_commands([("fabio/config", "route del web")])
    rows = stage.tags.follow(change)
    assert rows is not None and len(rows.drop) == 1


def test_tcp() -> None:
    """A port that is allowed is a mapping of its own; any other is told of."""
    stage = Stage(",tcp-listeners=3000-3999")
    stage.update("db", instance("a", "urlprefix-:3306 proto=tcp"))
    [mapping] = stage.tags.tcp
    assert str(mapping) == "3306:db" and mapping.mode == "tcp"
    stage.update("ssh", instance("b", "urlprefix-:22 proto=tcp"))
    assert len(stage.tags.tcp) == 1
    [problem] = stage.tags.problems
    assert problem.why == "port 22 is not among those of tcp-listeners=3000-3999"
    stage.update("db2", instance("c", "urlprefix-:3306 proto=tcp"))
    assert any("have the same port" in each.why for each in stage.tags.problems)
    stage.update("db", instance("a"))
    stage.update("db2", instance("c"))
    assert not stage.tags.tcp
