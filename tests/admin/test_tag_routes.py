"""Routes that are tags, as ``/routes`` shows them."""

import json

from lbconsul.admin.status_json import tag_routes
from lbconsul.admin.tag_routes import (
    ProblemStatus,
    TagMappingStatus,
    TagRoutesSource,
    TagRouteStatus,
    TargetStatus,
)


def test_document() -> None:
    """Mappings, routes and problems are lists."""
    target = TargetStatus("80:/a=web", "web", "strip=/a", 1.0, 2, 1)
    source = TagRoutesSource(
        lambda: iter([TagMappingStatus("80:@tags", "80", "urlprefix-", True, 2, 1)]),
        lambda: iter(
            [
                TagRouteStatus("80:@tags", "/a", (target,)),
                TagRouteStatus("80:@tags", "/b", ()),
            ]
        ),
        lambda: iter([ProblemStatus("80:@tags", "web", "", "urlprefix-", "why")]),
    )
    document = json.loads(b"".join(tag_routes(source)))
    assert [each["route"] for each in document["routes"]] == ["/a", "/b"]
    assert document["routes"][0]["targets"][0]["usable"] == 1
    assert document["mappings"][0]["prefix"] == "urlprefix-"
    assert document["problems"][0]["why"] == "why"


def test_nothing() -> None:
    """Without such mappings all lists are empty."""
    document = json.loads(b"".join(tag_routes(TagRoutesSource())))
    assert document == {"mappings": [], "routes": [], "problems": []}
