"""``lbconsul routes``: the table of routes that are tags."""

import json
from typing import Any, cast

import pytest
from attrs import frozen

from lbconsul.admin.client import Admin, CannotAsk
from lbconsul.console.routes import routes
from lbconsul.usage.commands import BY_NAME
from lbconsul.usage.words import parse

TARGETS = [
    {"name": "", "service": "web", "options": "strip=/a", "share": 0.75,
     "instances": 3, "usable": 3},
    {"name": "", "service": "new", "options": "", "share": 0.25, "instances": 2,
     "usable": 1},
]  # fmt: skip
MAPPING = {
    "name": "80:@tags", "listen": "0.0.0.0:80", "prefix": "urlprefix-",
    "complete": True, "routes": 1, "problems": 0, "error": "",
}  # fmt: skip


@frozen
class FakeAdmin:
    """A gateway that has this document."""

    document: Any
    address: str = "127.0.0.1:9200"

    def routes(self) -> Any:
        return self.document


def asked(document: Any, *words: str) -> int:
    """The exit status of the command."""
    admin = cast(Admin, FakeAdmin(document))
    return routes(admin, parse(BY_NAME["routes"], list(words)))


def document(**more: Any) -> dict[str, Any]:
    """A document with one route."""
    route = {"mapping": "80:@tags", "route": "a.com/a", "targets": TARGETS}
    return {"mappings": [MAPPING], "routes": [route], "problems": [], **more}


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Each target of a route has a line, and the first one names the route."""
    assert asked(document()) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "80:@tags: 1 routes"
    assert said[1].split() == ["ROUTE", "SHARE", "UP", "SERVICE", "OPTIONS"]
    assert said[2].split() == ["a.com/a", "75%", "3/3", "web", "strip=/a"]
    assert said[3].split() == ["25%", "1/2", "new"]


def test_problems(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong tag is told of with the instance that carries it; it is not all well."""
    problem = {
        "mapping": "80:@tags", "service": "web", "instance": "dc1/n/web-1",
        "tag": "urlprefix-/x weight=much", "why": "must be a number",
        "is_warning": False,
    }  # fmt: skip
    lone = {"mapping": "80:@tags", "route": "/x", "targets": []}
    unknown = {**MAPPING, "complete": False, "error": "refused"}
    found = document(problems=[problem], routes=[lone], mappings=[unknown])
    assert asked(found) == 1
    said = capsys.readouterr().out
    assert "1 routes, not all of them known yet" in said
    assert "Consul does not list services: refused" in said
    assert "! web (dc1/n/web-1): urlprefix-/x weight=much: must be a number" in said
    assert "0/0" in said


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints the document as it is."""
    assert asked(document(), "--json") == 0
    assert json.loads(capsys.readouterr().out) == document()


def test_none(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a mapping of tags it says how to have one."""
    assert asked({"mappings": [], "routes": [], "problems": []}) == 0
    assert "--map 80:@tags,mode=http" in capsys.readouterr().out


def test_no_answer() -> None:
    """What is no such document is an error."""
    with pytest.raises(CannotAsk, match="the answer is not lbconsul's"):
        asked({"routes": 1, "problems": []})
