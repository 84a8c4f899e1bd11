"""What a table says of its routes, in words."""

from lbconsul.tags.model import GroupKey, Problem, TagRoute, TargetGroup
from lbconsul.tags.options import TagOptions
from lbconsul.tags.tag import RouteKey


def test_texts() -> None:
    """Routes, groups and problems are told in one line each."""
    assert str(RouteKey("x.com", "/a")) == "x.com/a"
    assert str(RouteKey("", "", port=3306)) == ":3306"
    assert str(GroupKey("web")) == "web"
    assert str(GroupKey("web", TagOptions(strip="/a"))) == "web strip=/a"
    problem = Problem("web", ("dc1", "n1", "w1"), "urlprefix-/ weight=x", "no number")
    assert str(problem) == "web: dc1/n1/w1: urlprefix-/ weight=x: no number"
    assert str(Problem("", None, "route x", "y")) == "route x: y"


def test_usable() -> None:
    """A route is usable if any of its groups gets requests."""
    key, group = RouteKey("x.com", "/"), GroupKey("web")
    assert not TagRoute(key).is_usable
    assert not TagRoute(key, (TargetGroup(group),)).is_usable
    assert TagRoute(key, (TargetGroup(group, share=1.0),)).is_usable
