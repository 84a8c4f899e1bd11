"""What is shown of routes that are tags."""

from typing import cast

from twisted.internet.task import Clock

from lbconsul import configure
from lbconsul.gateway.tag_mapping import TagMapping
from lbconsul.gateway.tag_routes import TagRoutes
from lbconsul.gateway.tag_status import tag_routes_source
from tests.gateway.test_tag_mapping import instance


class FakeRoutes:
    """The routes of one mapping."""

    def __init__(self, mapping: TagMapping) -> None:
        self._mapping = mapping

    def all(self) -> list[TagMapping]:
        return [self._mapping]

    def error(self, mapping: object) -> str:
        return "refused"


def test_what_is_shown() -> None:
    """Routes have their targets, with how many of their instances are usable."""
    [mapping] = configure(mappings=["80:@tags,mode=http,tcp-listeners=3306"]).mappings
    tags = TagMapping(mapping, Clock().seconds)
    tags.update(
        "web",
        [
            instance("a", "urlprefix-/foo strip=/foo", "urlprefix-/bad weight=x"),
            instance("b", "urlprefix-/foo strip=/foo", is_well=False),
        ],
        (),
    )
    tags.update("db", [instance("c", "urlprefix-:3306 proto=tcp")], ())
    source = tag_routes_source(cast(TagRoutes, FakeRoutes(tags)))
    [told] = source.mappings()
    assert (told.name, told.routes, told.problems) == ("80:@tags", 3, 1)
    assert (told.complete, told.error) == (False, "refused")
    routes = {each.route: each for each in source.routes()}
    assert routes["/bad"].targets == ()
    [target] = routes["/foo"].targets
    assert (target.service, target.options) == ("web", "strip=/foo")
    assert (target.share, target.instances, target.usable) == (1.0, 2, 1)
    assert target.name.startswith("80:/foo=web")
    [target] = routes[":3306"].targets
    assert (target.name, target.service) == ("", "db")
    [problem] = source.problems()
    assert problem.service == "web" and problem.tag == "urlprefix-/bad weight=x"
    assert problem.instance.endswith("/a")
